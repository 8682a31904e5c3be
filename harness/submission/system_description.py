"""systems/<system>.json of a submission: from the machine as the run saw it, and the submitter.

Which fields there are, and which must not be empty: lines 1833-1899 of
tools/submission/submission_checker/constants.py of github.com/mlcommons/inference (b66003e1).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import formatting, json_text
from harness.errors import UsageError
from harness.language import joined, phrase

# Every field and its meaning. Those of MEANINGFUL must say something, the others may be empty.
FIELDS = {
    "division": phrase("closed or open; set by --division"),
    "submitter": phrase("who submits; set by --submitter"),
    "status": phrase("available, preview or rdi (research, development, internal)"),
    "system_name": phrase("the system's name as it shall stand in the results table"),
    "number_of_nodes": phrase("how many machines"),
    "host_processor_model_name": phrase("the CPU"),
    "host_processors_per_node": phrase("CPU sockets of a machine"),
    "host_processor_core_count": phrase("cores of a CPU"),
    "host_memory_capacity": phrase("memory of a machine"),
    "host_storage_capacity": phrase("disk space of a machine"),
    "host_storage_type": phrase("kind of disk, such as NVMe SSD"),
    "accelerators_per_node": phrase("GPUs of a machine"),
    "accelerator_model_name": phrase("the GPU"),
    "accelerator_memory_capacity": phrase("memory of a GPU"),
    "framework": phrase("the inference software"),
    "operating_system": phrase("the operating system"),
    "system_type": phrase("datacenter or edge; set by the runs"),
    "other_software_stack": phrase("driver, CUDA and what else matters"),
    "host_processor_frequency": phrase("clock of the CPU"),
    "host_processor_caches": phrase("caches of the CPU"),
    "host_memory_configuration": phrase("memory modules, such as 16 x 64 GB DDR5-4800"),
    "host_processor_interconnect": phrase("what joins the CPUs"),
    "host_networking": phrase("the network, such as 100 GbE"),
    "host_networking_topology": phrase("how machines are joined; N/A for a single one"),
    "accelerator_frequency": phrase("clock of the GPU"),
    "accelerator_host_interconnect": phrase("what joins GPU and CPU, such as PCIe Gen5 x16"),
    "accelerator_interconnect": phrase("what joins the GPUs, such as NVLink; N/A for a single one"),
    "accelerator_interconnect_topology": phrase("how the GPUs are joined"),
    "accelerator_memory_configuration": phrase("kind of the GPU's memory, such as HBM3e"),
    "accelerator_on-chip_memories": phrase("caches of the GPU"),
    "cooling": phrase("air, liquid, ..."),
    "hw_notes": phrase("remarks on the hardware"),
    "sw_notes": phrase("remarks on the software"),
    "host_network_card_count": phrase("network cards of a machine, such as 2 x 100 GbE"),
    "system_type_detail": phrase("remarks on the kind of system"),
}
MEANINGFUL = (
    "division",
    "submitter",
    "system_type",
    "status",
    "system_name",
    "number_of_nodes",
    "host_processor_model_name",
    "host_processors_per_node",
    "host_processor_core_count",
    "host_memory_capacity",
    "host_memory_configuration",
    "host_storage_capacity",
    "host_storage_type",
    "host_networking",
    "host_network_card_count",
    "host_networking_topology",
    "accelerators_per_node",
    "accelerator_model_name",
    "accelerator_memory_capacity",
    "accelerator_host_interconnect",
    "accelerator_memory_configuration",
    "accelerator_interconnect",
    "cooling",
    "framework",
    "operating_system",
    "other_software_stack",
)
STATUSES = ("available", "preview", "rdi")
SET_ELSEWHERE = {
    "division": phrase("set by --division"),
    "submitter": phrase("set by --submitter"),
    "system_type": phrase("set by the runs"),
}
NONE = "N/A"
_ACCELERATOR = tuple(name for name in FIELDS if name.startswith("accelerator_"))


def read_json(path: Path | None) -> dict[str, Any]:
    """The submitter's own words; nothing without a file. Raises UsageError."""
    if path is None:
        return {}
    try:
        given = json_text.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise UsageError(f"--system-json {path}: it cannot be read ({error}).") from None
    if not isinstance(given, dict):
        raise UsageError(f"--system-json {path}: it holds no JSON object, which begins with {{.")
    if unknown := sorted(given.keys() - FIELDS.keys()):
        raise UsageError(
            f"--system-json {path}: MLCommons' system description has no field "
            f"{', '.join(unknown)}; correct the name or take it out."
        )
    if fixed := [name for name in SET_ELSEWHERE if name in given]:
        raise UsageError(
            phrase(
                "--system-json {path}: {field} is {set_elsewhere}; take it out of the file.",
                path=path, field=fixed[0], set_elsewhere=SET_ELSEWHERE[fixed[0]],
            )
        )  # fmt: skip
    return given


def describe(
    config: dict[str, Any], given: dict[str, Any], *, submitter: str, division: str
) -> dict[str, Any]:
    """All 35 fields: what was `given`, else what the run's config.json knows.

    Raises UsageError that lists everything that is missing, with its meaning.
    """
    known = from_machine(config)
    fixed = {
        "division": division,
        "submitter": submitter,
        "system_type": config["flags"]["category"],
    }
    described = {name: {**known, **given, **fixed}.get(name, "") for name in FIELDS}
    missing = [name for name in MEANINGFUL if not described[name]]
    if missing:
        first = phrase(
            "The system description lacks {count} {fields} that no program can know. Write them "
            "into a JSON file, such as {example}, and give it with --system-json FILE:",
            count=formatting.count(len(missing)),
            fields=phrase("field") if len(missing) == 1 else phrase("fields"),
            example=f'{{"{missing[0]}": "..."}}',
        )
        lines = (joined("", (f"  {name}: ", FIELDS[name])) for name in missing)
        raise UsageError(joined("\n", (first, *lines)))
    if str(described["status"]).lower() not in STATUSES:
        raise UsageError(
            f"--system-json: status is {described['status']!r}; it must be one of "
            f"{', '.join(STATUSES)}."
        )
    return described


def from_machine(config: dict[str, Any]) -> dict[str, Any]:
    """What config.json knows of the machine that ran; fields it cannot tell are left out."""
    system = config["system"]
    hardware = system.get("hardware") or {}
    several = config["flags"]["distributed_executor_backend"] == "ray"
    known = {
        "number_of_nodes": _nodes(system) if several else "1",
        "host_processor_model_name": system.get("cpu"),
        "host_processors_per_node": _text(hardware.get("cpu_sockets")),
        "host_processor_core_count": _text(hardware.get("cpu_cores_per_socket")),
        "host_processor_frequency": _mhz(hardware.get("cpu_max_mhz")),
        "host_processor_caches": hardware.get("cpu_caches"),
        "host_memory_capacity": _size(system.get("memory_bytes")),
        "host_storage_capacity": _size(hardware.get("storage_bytes")),
        "host_storage_type": hardware.get("storage_type"),
        "host_network_card_count": _text(hardware.get("network_cards")),
        "framework": _versions(system, ("vllm", "vLLM"), ("torch", "PyTorch")),
        "operating_system": _operating_system(system),
        "other_software_stack": _versions(
            system,
            ("driver", "NVIDIA driver"),
            ("cuda", "CUDA"),
            ("loadgen", "LoadGen"),
            ("python", "Python"),
        ),
        **_accelerator(system, hardware),
    }
    return {name: value for name, value in known.items() if value}


def _accelerator(system: dict[str, Any], hardware: dict[str, Any]) -> dict[str, str | None]:
    count = system.get("gpu_count") or 0
    if count == 0:
        # As a text: the checker takes the number 0 for an empty field.
        return {"accelerators_per_node": "0", **dict.fromkeys(_ACCELERATOR, NONE)}
    links = hardware.get("gpu_nvlinks")
    joined = f"NVLink, {links} links of each GPU" if links else None
    return {
        "accelerators_per_node": str(count),
        "accelerator_model_name": system.get("gpu_name"),
        "accelerator_memory_capacity": _size(system.get("gpu_memory_bytes")),
        "accelerator_frequency": _mhz(hardware.get("gpu_max_mhz")),
        "accelerator_host_interconnect": hardware.get("gpu_pcie"),
        "accelerator_interconnect": NONE if count == 1 else joined,
    }


def _nodes(system: dict[str, Any]) -> str | None:
    """How many machines; earlier versions did not note the others."""
    others = system.get("others")
    return None if others is None else str(1 + len(others))


def _text(number: int | None) -> str | None:
    return None if number is None else str(number)


def _size(number: int | None) -> str | None:
    return None if number is None else f"{number / 2**30:.0f} GB"


def _mhz(number: float | None) -> str | None:
    return None if number is None else f"{number:.0f} MHz"


def _versions(system: dict[str, Any], *parts: tuple[str, str]) -> str:
    known = ((name, system.get(f"{key}_version")) for key, name in parts)
    return ", ".join(f"{name} {version}" for name, version in known if version)


def _operating_system(system: dict[str, Any]) -> str:
    kernel = f"Linux {system['kernel']}" if system.get("kernel") else None
    return ", ".join(filter(None, (system.get("os"), kernel)))
