"""The rows on the machine in every report: what it has, and what the run may use of it."""

from __future__ import annotations

from typing import Any

import pytest

from harness.language import translated
from harness.report import pages

GIB = 2**30
LIMITS = {
    "machine_cpu_count": 8,
    "cpu_quota": None,
    "memory_limit_bytes": None,
    "open_files": 1024,
    "shared_memory_bytes": 64 << 20,
}


@pytest.mark.parametrize(
    ("limits", "cores", "memory"),
    [
        (None, "2", "24.0 GiB"),  # a folder of an earlier version
        (LIMITS, "2 of the machine's 8", "24.0 GiB"),
        ({**LIMITS, "machine_cpu_count": 2}, "2", "24.0 GiB"),
        ({**LIMITS, "cpu_quota": 1.5}, "2 of the machine's 8, with the time of 1.5", "24.0 GiB"),
        ({**LIMITS, "machine_cpu_count": None, "cpu_quota": 4.0}, "2", "24.0 GiB"),
        (
            {**LIMITS, "memory_limit_bytes": 8 * GIB},
            "2 of the machine's 8",
            "24.0 GiB, of which the run may use 8.0 GiB",
        ),
        ({**LIMITS, "memory_limit_bytes": 24 * GIB}, "2 of the machine's 8", "24.0 GiB"),
    ],
)
def test_the_machine_and_what_the_run_may_use_of_it_are_both_said(
    limits: dict[str, Any] | None, cores: str, memory: str
) -> None:
    system = {"cpu_count": 2, "memory_bytes": 24 * GIB, "limits": limits}

    assert list(pages.machine_rows(system)) == [("CPU cores in use", cores), ("memory", memory)]


@pytest.mark.usefixtures("korean")
def test_what_the_run_may_use_is_said_in_the_chosen_language() -> None:
    limits = {**LIMITS, "cpu_quota": 1.5, "memory_limit_bytes": 8 * GIB}
    system = {"cpu_count": 2, "memory_bytes": 24 * GIB, "limits": limits}

    assert [translated(value) for _, value in pages.machine_rows(system)] == [
        "장비의 8개 중 2개, 사용 시간은 1.5개분",
        "24.0 GiB, 실행이 쓸 수 있는 양은 8.0 GiB",
    ]


def test_what_is_not_known_of_the_machine_is_said_to_be_unknown() -> None:
    system = {"cpu_count": None, "memory_bytes": None, "limits": LIMITS}

    assert [value for _, value in pages.machine_rows(system)] == ["not known", "not known"]


def test_every_other_machine_of_a_run_has_a_row() -> None:
    other = {
        "gpu_count": 8,
        "gpu_name": "NVIDIA H100",
        "cpu": "AMD EPYC",
        "driver_version": "580.1",
        "vllm_version": "0.26.0",
    }
    system = {"cpu": "AMD EPYC", "others": [other, {**other, "gpu_count": 4}]}

    assert list(pages.machine_rows(system))[1:] == [
        ("machine 2", "8 x NVIDIA H100, CPU AMD EPYC, driver 580.1, vLLM 0.26.0"),
        ("machine 3", "4 x NVIDIA H100, CPU AMD EPYC, driver 580.1, vLLM 0.26.0"),
    ]
