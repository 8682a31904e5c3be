"""The system description of a submission: 35 fields from the machine and from the submitter."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.submission import system_description
from tests import submission_facts

GIB = 2**30
CONFIG: dict[str, Any] = {
    "flags": {"category": "datacenter", "distributed_executor_backend": None},
    "system": {
        "gpu_count": 8,
        "gpu_name": "NVIDIA H200",
        "gpu_memory_bytes": 140 * GIB,
        "driver_version": "580.1",
        "cuda_version": "13.0",
        "cpu": "A CPU",
        "memory_bytes": 2048 * GIB,
        "os": "Debian 12",
        "kernel": "6.1",
        "python_version": "3.12",
        "torch_version": "2.13",
        "vllm_version": "0.32",
        "loadgen_version": "5.1.2",
        "hardware": {
            "cpu_sockets": 2,
            "cpu_cores_per_socket": 56,
            "cpu_max_mhz": 3800.0,
            "cpu_caches": "L3 105 MB",
            "storage_bytes": 4096 * GIB,
            "storage_type": "NVMe SSD",
            "network_cards": 3,
            "gpu_max_mhz": 1980,
            "gpu_pcie": "PCIe Gen5 x16",
            "gpu_nvlinks": 18,
        },
    },
}
WORDS = {
    "status": "available",
    "system_name": "A box",
    "host_memory_configuration": "32 x 64 GB",
    "host_networking": "100 GbE",
    "host_networking_topology": "N/A",
    "accelerator_memory_configuration": "HBM3e",
    "cooling": "air",
}


def describe(config: dict[str, Any] = CONFIG, **given: Any) -> dict[str, Any]:
    return system_description.describe(
        config, {**WORDS, **given}, submitter="ACME", division="closed"
    )


def with_system(**changes: Any) -> dict[str, Any]:
    return {**CONFIG, "system": {**CONFIG["system"], **changes}}


def test_the_fields_are_those_of_the_official_checker() -> None:
    assert list(system_description.FIELDS) == submission_facts.SYSTEM_FIELDS
    may_be_empty = set(system_description.FIELDS) - set(system_description.MEANINGFUL)
    assert may_be_empty == set(submission_facts.MAY_BE_EMPTY)
    assert len(system_description.FIELDS) == 35


def test_the_machine_fills_what_it_knows() -> None:
    described = describe()

    assert list(described) == submission_facts.SYSTEM_FIELDS
    assert {name: value for name, value in described.items() if name not in WORDS} == {
        "division": "closed",
        "submitter": "ACME",
        "number_of_nodes": "1",
        "host_processor_model_name": "A CPU",
        "host_processors_per_node": "2",
        "host_processor_core_count": "56",
        "host_memory_capacity": "2048 GB",
        "host_storage_capacity": "4096 GB",
        "host_storage_type": "NVMe SSD",
        "accelerators_per_node": "8",
        "accelerator_model_name": "NVIDIA H200",
        "accelerator_memory_capacity": "140 GB",
        "framework": "vLLM 0.32, PyTorch 2.13",
        "operating_system": "Debian 12, Linux 6.1",
        "system_type": "datacenter",
        "other_software_stack": "NVIDIA driver 580.1, CUDA 13.0, LoadGen 5.1.2, Python 3.12",
        "host_processor_frequency": "3800 MHz",
        "host_processor_caches": "L3 105 MB",
        "host_processor_interconnect": "",
        "accelerator_frequency": "1980 MHz",
        "accelerator_host_interconnect": "PCIe Gen5 x16",
        "accelerator_interconnect": "NVLink, 18 links of each GPU",
        "accelerator_interconnect_topology": "",
        "accelerator_on-chip_memories": "",
        "hw_notes": "",
        "sw_notes": "",
        "host_network_card_count": "3",
        "system_type_detail": "",
    }


def test_the_submitters_words_win_over_what_was_found() -> None:
    assert describe(host_network_card_count="1 x 400 GbE")["host_network_card_count"] == (
        "1 x 400 GbE"
    )


def test_a_machine_without_a_gpu_has_no_empty_field() -> None:
    described = describe(with_system(gpu_count=0, gpu_name=None, gpu_memory_bytes=None))

    assert described["accelerators_per_node"] == "0"
    assert described["accelerator_model_name"] == "N/A"


@pytest.mark.parametrize(
    ("config", "missing"),
    [
        (with_system(hardware=None), "host_processors_per_node"),
        (with_system(hardware={}), "accelerator_interconnect"),
        ({**CONFIG, "flags": {**CONFIG["flags"], "distributed_executor_backend": "ray"}},
         "number_of_nodes"),
    ],
)  # fmt: skip
def test_what_the_machine_did_not_tell_is_asked_for(config: dict[str, Any], missing: str) -> None:
    with pytest.raises(UsageError, match=f"  {missing}: "):
        describe(config)


def test_one_gpu_has_nothing_to_be_joined_to() -> None:
    assert describe(with_system(gpu_count=1))["accelerator_interconnect"] == "N/A"


def test_a_status_of_ones_own_is_refused() -> None:
    with pytest.raises(UsageError, match="one of available, preview, rdi"):
        describe(status="soon")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "cannot be read"),
        ("[" * 100_000, r"cannot be read \(it is nested too deep\)"),
        ('{"cooling": "\\ud800"}', r"cannot be read \(cooling holds half a character"),
        ("[]", "no JSON object"),
        ('{"cooler": "air"}', "no field cooler"),
        ('{"submitter": "X"}', "submitter is set by --submitter"),
        ('{"system_type": "edge"}', "system_type is set by the runs"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "system.json"
    path.write_text(text)

    with pytest.raises(UsageError, match=words):
        system_description.read_json(path)


def test_a_missing_file_is_refused_and_no_file_is_no_words(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        system_description.read_json(tmp_path / "none.json")
    assert system_description.read_json(None) == {}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_good_file_is_read(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "system.json"
    path.write_text(json.dumps(WORDS), encoding=encoding)

    assert system_description.read_json(path) == WORDS


def test_the_example_of_the_pages_is_a_good_file() -> None:
    page = (Path(__file__).parents[2] / "docs" / "official.md").read_text(encoding="utf-8")
    example = page.partition('\n{"status"')[2].partition("\n```")[0]

    described = system_description.describe(
        CONFIG, json.loads('{"status"' + example), submitter="ACME", division="closed"
    )

    assert described["system_name"] == "Box 9000 (8x H200)"


def test_machines_that_ray_joined_are_counted() -> None:
    config = with_system(others=[{"gpu_count": 8}])
    config["flags"] = {**config["flags"], "distributed_executor_backend": "ray"}

    assert describe(config)["number_of_nodes"] == "2"
