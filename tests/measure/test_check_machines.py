"""`run.py check` on GPUs: each trouble is a line of its own."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from harness.engine.plan import Site
from harness.machine import gpu_state
from harness.machine.gpu_state import GpuProcess
from harness.measure import check_software
from harness.measure.check_line import DOUBTFUL, MISSING, OK
from tests.measure.checked import (
    DEMO,
    GIB,
    GPU_RUN,
    WELL,
    OneGpu,
    assert_matches,
    lines_of,
    states_of,
)


@pytest.mark.usefixtures("gpu_machine")
def test_a_gpu_at_rest_is_ready_for_random_weights() -> None:
    lines = lines_of(GPU_RUN)

    assert states_of(lines) == {OK}, lines
    assert lines["GPUs"].text == "1 x NVIDIA H100 80GB HBM3"
    assert lines["GPU memory"].text == "enough: 79.0 GiB of 80.0 GiB are free"
    assert lines["power limit"].text == "700 W"
    assert lines["punkt_tab"].text == "not needed: this run scores nothing"


# The GPU


@pytest.mark.parametrize(
    ("name", "changes", "text"),
    [
        ("MIG", {"is_slice": True}, "GPU 0 is a slice of one.*`sudo nvidia-smi -i 0 -mig 0`"),
        ("ECC errors", {"uncorrected_errors": 3}, "GPU 0 counts 3 errors.*restart the machine"),
        ("ECC errors", {"repair_pending": True}, "memory to be replaced.*restart the machine"),
        ("power limit", {"power_limit_w": 350.0}, "350 of its usual 700 W; .* -i 0 -pl 700`"),
        ("clocks", {"set_clock_mhz": 1200}, "held at 1,200 of its usual 1,980 MHz; .* -i 0 -rac`"),
        (
            "throttling now",
            {"held_back_by": "temperature", "temperature_c": 91},
            "slowed down by temperature now at 91 degrees C; see to its cooling",
        ),
        (
            "other processes",
            {"processes": (GpuProcess(4242, "python", 20 * GIB), GpuProcess(7, None, None))},
            r"GPU 0 is used by process 4242 \(python, 20.0 GiB\), process 7 \(of another "
            r"container or user\); end that",
        ),
    ],
)
def test_each_trouble_of_a_gpu_is_a_doubt_of_its_own(
    name: str, changes: dict[str, Any], text: str, gpu_machine: OneGpu
) -> None:
    gpu_machine.state = dataclasses.replace(WELL, **changes)

    lines = lines_of(GPU_RUN)

    assert lines[name].state == DOUBTFUL
    assert_matches(lines[name], text)
    assert states_of(lines, name) == {OK}


def test_a_gpu_is_named_and_mended_by_the_number_that_nvidia_smi_has_for_it(
    gpu_machine: OneGpu,
) -> None:
    """The first one that CUDA_VISIBLE_DEVICES shows may be the machine's fourth."""
    gpu_machine.state = dataclasses.replace(WELL, index=3, power_limit_w=350.0, is_slice=True)

    lines = lines_of(GPU_RUN)

    assert_matches(lines["power limit"], r"GPU 3 .*`sudo nvidia-smi -i 3 -pl 700`")
    assert_matches(lines["MIG"], r"GPU 3 .*`sudo nvidia-smi -i 3 -mig 0`")


def test_a_gpu_that_another_program_has_filled_cannot_take_the_engine(gpu_machine: OneGpu) -> None:
    gpu_machine.free_bytes = 10 * GIB

    line = lines_of(GPU_RUN)["GPU memory"]

    assert line.state == MISSING
    assert "only 10.0 GiB of the GPU's 80.0 GiB are free; end the program that uses it" in line.text


@pytest.mark.parametrize(
    ("driver", "state", "text"),
    [
        (None, MISSING, "no NVIDIA driver answers; .*in docker: --gpus all"),
        ("12.4", MISSING, "CUDA up to 12.4, torch is built for 13.0; install a driver for"),
        ("13.1", OK, "driver 580.1 for CUDA up to 13.1, torch is built for 13.0"),
    ],
)
def test_the_driver_is_held_against_the_cuda_of_torch(
    driver: str | None, state: str, text: str, gpu_machine: OneGpu
) -> None:
    gpu_machine.system = dataclasses.replace(gpu_machine.system, cuda_version=driver)

    line = lines_of(GPU_RUN)["CUDA driver"]

    assert line.state == state
    assert_matches(line, text)


def test_the_cuda_build_without_a_gpu_says_so(
    gpu_machine: OneGpu, monkeypatch: pytest.MonkeyPatch
) -> None:
    gpu_machine.system = dataclasses.replace(
        gpu_machine.system, gpu_count=0, gpu_name=None, cuda_version=None
    )
    monkeypatch.setattr(gpu_state, "collect", lambda _first: [])

    lines = lines_of(GPU_RUN)

    assert lines["GPUs"].state == lines["CUDA driver"].state == MISSING


def test_gpus_that_would_stay_idle_are_a_doubt(gpu_machine: OneGpu) -> None:
    line = check_software.devices(DEMO, Site("cpu", gpu_machine.system))

    assert line.state == DOUBTFUL
    assert_matches(line, "1 x NVIDIA H100 80GB HBM3 would stay idle.*make venv VARIANT=gpu")
