"""What the NVIDIA driver says of the GPUs this process may use, by NVML. An unknown is None.

Each question may concern the first few of them alone: an engine takes the first ones that it needs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from harness.machine.visible import Device, ask, devices

_T = TypeVar("_T")
JOINED = " + "  # between the names of GPUs that differ


@dataclass(frozen=True)
class Gpus:
    """Some of the visible GPUs, and their driver. What is said of one holds for each of them."""

    count: int
    name: str | None = None  # all names where they differ: "NVIDIA H200 + NVIDIA L4"
    memory_bytes: int | None = None  # of the smallest
    driver_version: str | None = None
    cuda_version: str | None = None  # the newest the driver supports
    max_mhz: int | None = None
    pcie: str | None = None  # "PCIe Gen5 x16"
    nvlinks: int | None = None  # links in use, of one GPU


def collect(first: int | None = None) -> Gpus:
    """Describes the `first` so many visible GPUs, or all, without importing torch. Never raises."""
    described = _ask_each_gpu(_describe, first)
    if not described:
        return Gpus(0)
    names = dict.fromkeys(one["name"] for one in described if one["name"])
    memory = [one["memory_bytes"] for one in described]
    shared = {
        key: value for key, value in described[0].items() if all(g[key] == value for g in described)
    }
    return Gpus(
        len(described),
        **{
            **shared,
            "name": JOINED.join(names) or None,
            "memory_bytes": None if None in memory else min(memory),
        },
    )


def free_and_total_memory_bytes(first: int | None = None) -> tuple[int | None, int | None]:
    """Memory of the GPU with the smallest free part; None where no GPU tells."""

    def sizes(nvml: Any, device: Device) -> tuple[int, int] | None:
        memory = ask(nvml, "nvmlDeviceGetMemoryInfo", device.handle)
        return None if memory is None else (int(memory.free), int(memory.total))

    known = [size for size in _ask_each_gpu(sizes, first) if size is not None]
    return min(known, default=(None, None))


def energy_joules(first: int | None = None) -> float | None:
    """What GPUs have used since their driver was loaded; None where it is not known of each.

    A slice has no meter, and that of its GPU counts what others use.
    """

    def used(nvml: Any, device: Device) -> float | None:
        if device.is_slice:
            return None
        millijoules = ask(nvml, "nvmlDeviceGetTotalEnergyConsumption", device.gpu)
        return None if millijoules is None else millijoules / 1000

    joules = _ask_each_gpu(used, first)
    known = [amount for amount in joules if amount is not None]
    return sum(known) if known and len(known) == len(joules) else None


@contextlib.contextmanager
def opened(first: int | None = None) -> Iterator[tuple[Any, list[Device]]]:
    """pynvml and the `first` visible GPUs, for as long as the block lasts.

    Without pynvml, a driver or a GPU: none.
    """
    try:
        import pynvml
    except ImportError:
        yield None, []
        return
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        yield pynvml, []
        return
    try:
        yield pynvml, devices(pynvml)[:first]
    finally:
        ask(pynvml, "nvmlShutdown")


def _ask_each_gpu(question: Callable[[Any, Device], _T], first: int | None) -> Sequence[_T]:
    """`question(pynvml, device)` of the `first` visible GPUs; nothing without pynvml or driver."""
    with opened(first) as (nvml, found):
        return [question(nvml, device) for device in found]


def _describe(nvml: Any, device: Device) -> dict[str, Any]:
    """A device as far as its driver tells: a GB10 has no memory of its own to tell of."""
    memory = ask(nvml, "nvmlDeviceGetMemoryInfo", device.handle)
    cuda = ask(nvml, "nvmlSystemGetCudaDriverVersion")
    generation = ask(nvml, "nvmlDeviceGetMaxPcieLinkGeneration", device.gpu)
    width = ask(nvml, "nvmlDeviceGetMaxPcieLinkWidth", device.gpu)
    return {
        "name": ask(nvml, "nvmlDeviceGetName", device.handle),
        "memory_bytes": None if memory is None else int(memory.total),
        "driver_version": ask(nvml, "nvmlSystemGetDriverVersion"),
        "cuda_version": None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
        "max_mhz": ask(
            nvml, "nvmlDeviceGetMaxClockInfo", device.gpu, getattr(nvml, "NVML_CLOCK_SM", 1)
        ),
        "pcie": f"PCIe Gen{generation} x{width}" if generation and width else None,
        "nvlinks": _nvlinks(nvml, device),
    }


def _nvlinks(nvml: Any, device: Device) -> int | None:
    links = range(getattr(nvml, "NVML_NVLINK_MAX_LINKS", 0))
    states = [ask(nvml, "nvmlDeviceGetNvLinkState", device.gpu, link) for link in links]
    known = [state for state in states if state is not None]
    return sum(map(bool, known)) if known else None
