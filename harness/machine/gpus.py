"""What the NVIDIA driver says of the GPUs this process may use, by NVML. An unknown is None."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True)
class Gpus:
    """The visible GPUs, described by the first of them, and their driver."""

    count: int
    name: str | None = None
    memory_bytes: int | None = None  # of one GPU
    driver_version: str | None = None
    cuda_version: str | None = None  # the newest the driver supports
    max_mhz: int | None = None
    pcie: str | None = None  # "PCIe Gen5 x16"
    nvlinks: int | None = None  # links in use, of one GPU


def collect() -> Gpus:
    """Describes the visible GPUs without importing torch. Never raises."""

    def describe(nvml: Any, handle: Any) -> dict[str, Any]:
        cuda = nvml.nvmlSystemGetCudaDriverVersion()
        return {
            "name": nvml.nvmlDeviceGetName(handle),
            "memory_bytes": int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
            "driver_version": nvml.nvmlSystemGetDriverVersion(),
            "cuda_version": f"{cuda // 1000}.{cuda % 1000 // 10}",
            **_connections(nvml, handle),
        }

    descriptions = _ask_each_gpu(describe)
    return Gpus(len(descriptions), **(descriptions[0] if descriptions else {}))


def free_and_total_memory_bytes() -> tuple[int | None, int | None]:
    """Memory of the GPU with the smallest free part; None without a GPU."""

    def sizes(nvml: Any, handle: Any) -> tuple[int, int]:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        return int(memory.free), int(memory.total)

    return min(_ask_each_gpu(sizes), default=(None, None))


def energy_joules() -> float | None:
    """What all visible GPUs have used since their driver was loaded; None where it is unknown."""
    used = _ask_each_gpu(lambda nvml, gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000)
    return sum(used) if used else None


@contextlib.contextmanager
def opened() -> Iterator[tuple[Any, list[Any]]]:
    """pynvml and the handles of the visible GPUs, for as long as the block lasts.

    Without pynvml, a driver or a GPU: no handles.
    """
    try:
        import pynvml

        pynvml.nvmlInit()
    except ImportError:
        yield None, []
        return
    except pynvml.NVMLError:
        yield pynvml, []
        return
    try:
        yield pynvml, list(_visible_handles(pynvml))
    finally:
        pynvml.nvmlShutdown()


def _ask_each_gpu(question: Callable[[Any, Any], _T]) -> list[_T]:
    """`question(pynvml, handle)` of each visible GPU; nothing without pynvml or driver."""
    try:
        import pynvml
    except ImportError:
        return []
    answers: list[_T] = []
    try:
        pynvml.nvmlInit()
        try:
            for handle in _visible_handles(pynvml):
                answers.append(question(pynvml, handle))
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        pass
    return answers


def _visible_handles(nvml: Any) -> Iterator[Any]:
    """NVML shows all GPUs of the machine; CUDA only those of CUDA_VISIBLE_DEVICES."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        visible = ",".join(str(index) for index in range(nvml.nvmlDeviceGetCount()))
    for name in filter(None, (part.strip() for part in visible.split(","))):
        if name.startswith(("GPU-", "MIG-")):
            yield nvml.nvmlDeviceGetHandleByUUID(name)
        elif name.isdecimal() and int(name) < nvml.nvmlDeviceGetCount():
            yield nvml.nvmlDeviceGetHandleByIndex(int(name))
        else:
            return  # CUDA too ignores what follows a name it does not know


def _connections(nvml: Any, handle: Any) -> dict[str, Any]:
    """Clock and links of a GPU, as far as its driver knows them."""

    def ask(function: str, *arguments: Any) -> Any:
        try:
            return getattr(nvml, function)(handle, *arguments)
        except (AttributeError, nvml.NVMLError):
            return None

    generation = ask("nvmlDeviceGetMaxPcieLinkGeneration")
    width = ask("nvmlDeviceGetMaxPcieLinkWidth")
    links = range(getattr(nvml, "NVML_NVLINK_MAX_LINKS", 0))
    return {
        "max_mhz": ask("nvmlDeviceGetMaxClockInfo", getattr(nvml, "NVML_CLOCK_SM", 1)),
        "pcie": f"PCIe Gen{generation} x{width}" if generation and width else None,
        "nvlinks": sum(bool(ask("nvmlDeviceGetNvLinkState", link)) for link in links),
    }
