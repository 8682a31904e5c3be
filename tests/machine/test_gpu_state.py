"""The state of GPUs by a driver that tells all, and by one that tells next to nothing."""

from __future__ import annotations

import os
import sys
import types
from typing import Any

import pytest

from harness.machine import gpu_state
from harness.machine.gpu_state import GpuProcess, GpuState

GIB = 2**30


class NVMLError(Exception):
    pass


class Driver(types.ModuleType):
    """A GPU at rest, and one with every trouble, on which this process and a stranger compute."""

    NVMLError = NVMLError

    def __init__(self) -> None:
        super().__init__("pynvml")

    def nvmlInit(self) -> None: ...

    def nvmlShutdown(self) -> None: ...

    def nvmlDeviceGetCount(self) -> int:
        return 2

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetIndex(self, gpu: int) -> int:
        return gpu

    def nvmlDeviceGetName(self, _gpu: int) -> str:
        return "NVIDIA H100 80GB HBM3"

    def nvmlDeviceGetTotalEccErrors(self, gpu: int, kind: int, counter: int) -> int:
        assert (kind, counter) == (1, 0)
        return (0, 3)[gpu]

    def nvmlDeviceGetRemappedRows(self, gpu: int) -> tuple[int, int, int, int]:
        return (0, 1, gpu, 0)

    def nvmlDeviceGetPowerManagementLimit(self, gpu: int) -> int:
        return (700_000, 350_000)[gpu]

    def nvmlDeviceGetPowerManagementDefaultLimit(self, _gpu: int) -> int:
        return 700_000

    def nvmlDeviceGetApplicationsClock(self, gpu: int, kind: int) -> int:
        assert kind == 1
        return (1980, 1200)[gpu]

    def nvmlDeviceGetDefaultApplicationsClock(self, _gpu: int, _kind: int) -> int:
        return 1980

    def nvmlDeviceGetTemperature(self, gpu: int, _kind: int) -> int:
        return (35, 91)[gpu]

    def nvmlDeviceGetCurrentClocksThrottleReasons(self, gpu: int) -> int:
        return (0x1, 0x40)[gpu]  # idle; hot

    def nvmlDeviceGetComputeRunningProcesses(self, gpu: int) -> list[Any]:
        nobody = 2**22 + 1  # above every process
        strangers = [(os.getpid(), 2 * GIB), (nobody, None)]
        found = [types.SimpleNamespace(pid=p, usedGpuMemory=used) for p, used in strangers]
        return found if gpu else []


def test_every_trouble_of_a_gpu_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", Driver())
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    well, ill = gpu_state.collect()

    assert well == GpuState(
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
    assert (ill.uncorrected_errors, ill.repair_pending) == (3, True)
    assert (ill.power_limit_w, ill.set_clock_mhz) == (350.0, 1200)
    assert (ill.held_back_by, ill.temperature_c) == ("temperature", 91)
    own, stranger = ill.processes
    assert (own.pid, own.memory_bytes) == (os.getpid(), 2 * GIB)
    assert own.name is not None
    assert stranger == GpuProcess(2**22 + 1, None, None)
    assert gpu_state.collect(first=1) == [well]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert [state.index for state in gpu_state.collect()] == [1]


def test_what_a_driver_does_not_tell_is_not_known(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent(types.ModuleType):
        NVMLError = NVMLError
        nvmlInit = nvmlShutdown = staticmethod(lambda: None)
        nvmlDeviceGetCount = staticmethod(lambda: 1)
        nvmlDeviceGetHandleByIndex = staticmethod(lambda index: index)

    monkeypatch.setitem(sys.modules, "pynvml", Silent("pynvml"))
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    (state,) = gpu_state.collect()

    assert state == GpuState(None, None, False, None, None, None, None, None, None, None, None, ())


def test_without_a_driver_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)

    assert gpu_state.collect() == []
