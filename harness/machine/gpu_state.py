"""In what state the GPUs are before a run: slices, errors, limits, and who computes on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.machine import gpus
from harness.machine.gpu_readings import NOTHING, held_back_by
from harness.machine.visible import Device, ask

_SM_CLOCK, _UNCORRECTED, _SINCE_THE_DRIVER = 1, 1, 0  # numbers of nvml.h


@dataclass(frozen=True)
class GpuProcess:
    """A process that computes on a GPU; what the driver or the machine does not tell is None."""

    pid: int
    name: str | None  # None also where it belongs to another container
    memory_bytes: int | None


@dataclass(frozen=True)
class GpuState:
    """One visible GPU; an unknown is None."""

    name: str | None
    index: int | None  # nvidia-smi's number of it, which CUDA_VISIBLE_DEVICES does not change
    is_slice: bool  # a part of a GPU (MIG)
    uncorrected_errors: int | None  # of its memory, since the driver was loaded
    repair_pending: bool | None  # memory that the driver will replace at the next start
    power_limit_w: float | None
    usual_power_limit_w: float | None
    set_clock_mhz: int | None  # that it is held at
    usual_clock_mhz: int | None  # that it is held at by default
    temperature_c: int | None
    held_back_by: str | None  # "power+temperature"; None: nothing
    processes: tuple[GpuProcess, ...]


def collect(first: int | None = None) -> list[GpuState]:
    """The `first` so many visible GPUs, or all, in CUDA's order. Never raises."""
    with gpus.opened(first) as (nvml, devices):
        return [_state(nvml, device) for device in devices]


def _state(nvml: Any, device: Device) -> GpuState:
    gpu = device.gpu  # which alone has limits, clocks and errors
    reasons = ask(nvml, "nvmlDeviceGetCurrentClocksThrottleReasons", gpu)
    held = None if reasons is None else held_back_by([reasons])
    processes = ask(nvml, "nvmlDeviceGetComputeRunningProcesses", device.handle) or ()
    return GpuState(
        name=ask(nvml, "nvmlDeviceGetName", device.handle),
        index=ask(nvml, "nvmlDeviceGetIndex", gpu),
        is_slice=device.is_slice,
        uncorrected_errors=ask(
            nvml, "nvmlDeviceGetTotalEccErrors", gpu, _UNCORRECTED, _SINCE_THE_DRIVER
        ),
        repair_pending=_repair_pending(nvml, gpu),
        power_limit_w=_watts(ask(nvml, "nvmlDeviceGetPowerManagementLimit", gpu)),
        usual_power_limit_w=_watts(ask(nvml, "nvmlDeviceGetPowerManagementDefaultLimit", gpu)),
        set_clock_mhz=ask(nvml, "nvmlDeviceGetApplicationsClock", gpu, _SM_CLOCK),
        usual_clock_mhz=ask(nvml, "nvmlDeviceGetDefaultApplicationsClock", gpu, _SM_CLOCK),
        temperature_c=ask(nvml, "nvmlDeviceGetTemperature", gpu, 0),
        held_back_by=None if held == NOTHING else held,
        processes=tuple(map(_process, processes)),
    )


def _repair_pending(nvml: Any, gpu: Any) -> bool | None:
    """Newer GPUs remap rows of their memory, older ones retire pages."""
    remapped = ask(nvml, "nvmlDeviceGetRemappedRows", gpu)  # corrected, not, pending, failed
    if remapped is not None:
        return bool(remapped[2])
    retired = ask(nvml, "nvmlDeviceGetRetiredPagesPendingStatus", gpu)
    return None if retired is None else bool(retired)


def _watts(milliwatts: int | None) -> float | None:
    return None if milliwatts is None else milliwatts / 1000


def _process(found: Any) -> GpuProcess:
    import psutil

    try:
        name = psutil.Process(found.pid).name()
    except psutil.Error:
        name = None
    used = found.usedGpuMemory
    return GpuProcess(found.pid, name, None if used is None else int(used))
