"""What the driver says of GPUs at one moment, and the same of several machines together."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from harness.machine.visible import Device, ask

NOTHING = "nothing"  # holds the GPUs back
# NVML's clocks event reasons (nvml.h), in words; the others are no limit that is met.
_HELD_BACK = {
    "power": 0x4 | 0x80,  # the software power cap, the power brake of the board
    "temperature": 0x20 | 0x40,  # slowed by software, by hardware
    "hardware": 0x8,  # slowed by hardware, for whichever of the two
}
_MIB = 2**20


@dataclass(frozen=True)
class GpuReadings:
    """Each GPU of a machine; one whose driver does not answer is absent from a tuple."""

    utilisation_percent: tuple[float, ...] = ()
    power_mw: tuple[int, ...] = ()
    sm_mhz: tuple[int, ...] = ()
    temperature_c: tuple[int, ...] = ()
    memory_bytes: tuple[int, ...] = ()
    held_back: tuple[int, ...] = ()  # NVML's reasons
    ecc_errors: tuple[int, ...] = ()
    pcie_kb_per_s: tuple[int, ...] = ()
    other_processes: int | None = None


def read(nvml: Any, devices: Sequence[Device], own_pids: AbstractSet[int]) -> GpuReadings:
    """Asks the driver about these GPUs, on which `own_pids` are the processes of this run."""

    def of_each(function: str, *arguments: Any) -> list[Any]:
        answers = (ask(nvml, function, device.gpu, *arguments) for device in devices)
        return [answer for answer in answers if answer is not None]

    of_slices = [ask(nvml, "nvmlDeviceGetMemoryInfo", device.handle) for device in devices]
    corrected, uncorrected = 0, 1
    lists = of_each("nvmlDeviceGetComputeRunningProcesses")
    return GpuReadings(
        tuple(rates.gpu for rates in of_each("nvmlDeviceGetUtilizationRates")),
        power_mw=tuple(of_each("nvmlDeviceGetPowerUsage")),
        sm_mhz=tuple(of_each("nvmlDeviceGetClockInfo", 1)),  # NVML_CLOCK_SM
        temperature_c=tuple(of_each("nvmlDeviceGetTemperature", 0)),  # NVML_TEMPERATURE_GPU
        memory_bytes=tuple(int(info.used) for info in of_slices if info is not None),
        held_back=tuple(of_each("nvmlDeviceGetCurrentClocksThrottleReasons")),
        ecc_errors=tuple(  # since the driver was loaded
            count
            for kind in (corrected, uncorrected)
            for count in of_each("nvmlDeviceGetTotalEccErrors", kind, 0)
        ),
        pcie_kb_per_s=tuple(
            rate for way in (0, 1) for rate in of_each("nvmlDeviceGetPcieThroughput", way)
        ),
        other_processes=_others([p.pid for found in lists for p in found], own_pids),
    )


def columns(machines: Sequence[GpuReadings | None]) -> dict[str, Any]:
    """The columns of telemetry.csv for the GPUs of all machines.

    None stands for a machine that does not answer: half of the GPUs would be mistaken for all.
    """
    answering = [machine for machine in machines if machine is not None]
    if len(answering) < len(machines):
        return {}

    def all_of(name: str) -> list[Any]:
        return [value for machine in answering for value in getattr(machine, name)]

    utilisation, power = all_of("utilisation_percent"), all_of("power_mw")
    clocks, temperature = all_of("sm_mhz"), all_of("temperature_c")
    memory, reasons = all_of("memory_bytes"), all_of("held_back")
    errors, traffic = all_of("ecc_errors"), all_of("pcie_kb_per_s")
    others = [machine.other_processes for machine in answering]
    return {
        "gpu_utilisation_percent": fmean(utilisation) if utilisation else None,
        "gpu_power_w": sum(power) / 1000 if power else None,
        "gpu_sm_mhz": float(min(clocks)) if clocks else None,
        "gpu_temperature_c": float(max(temperature)) if temperature else None,
        "gpu_memory_mib": max(memory) / _MIB if memory else None,
        "gpu_held_back_by": held_back_by(reasons) if reasons else None,
        "gpu_ecc_errors": sum(errors) if errors else None,
        "gpu_pcie_mb_per_s": sum(traffic) / 1000 if traffic else None,
        "gpu_other_processes": None if None in others else sum(filter(None, others)),
    }


def held_back_by(reasons: Iterable[int]) -> str:
    """What slows any of the GPUs down, in words."""
    masks = list(reasons)
    met = [word for word, bits in _HELD_BACK.items() if any(mask & bits for mask in masks)]
    return "+".join(met) or NOTHING


def _others(pids: list[int], own_pids: AbstractSet[int]) -> int | None:
    """Processes on the GPUs that are not this run's.

    None where none of ours is among them: in a container the driver tells the host's numbers.
    """
    own = own_pids | {os.getpid()}
    return sum(pid not in own for pid in pids) if any(pid in own for pid in pids) else None
