"""Machines for the tests of `run.py check`, and how its lines are looked at."""

from __future__ import annotations

import dataclasses
import re

from harness.config import RunConfig
from harness.machine.gpu_state import GpuState
from harness.measure import check, check_software
from harness.measure.check_line import Line
from tests.engine.plans import machine

DEMO = RunConfig(model="demo", dataset="sample")
GPU_RUN = RunConfig(weights="dummy", dataset="synthetic", mode="performance")
GIB = 2**30
WELL = GpuState(
    name="NVIDIA H100 80GB HBM3",
    index=0,
    is_slice=False,
    uncorrected_errors=0,
    repair_pending=False,
    power_limit_w=700.0,
    usual_power_limit_w=700.0,
    set_clock_mhz=1980,
    usual_clock_mhz=1980,
    temperature_c=35,
    held_back_by=None,
    processes=(),
)


class OneGpu:
    """A machine with one H100, whose state and free memory a test decides."""

    def __init__(self) -> None:
        self.state = WELL
        self.free_bytes = 79 * GIB
        self.system = dataclasses.replace(
            machine(vllm_version=str(check_software._listed("gpu"))),
            driver_version="580.1",
            cuda_version="13.0",
        )


def lines_of(config: RunConfig) -> dict[str, Line]:
    lines = check.look(config)
    assert len({line.name for line in lines}) == len(lines)
    return {line.name: line for line in lines}


def states_of(lines: dict[str, Line], *unlike: str) -> set[str]:
    """The states of all lines but some."""
    return {line.state for name, line in lines.items() if name not in unlike}


def assert_matches(line: Line, pattern: str) -> None:
    assert re.search(pattern, line.text), line.text
