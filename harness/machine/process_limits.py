"""What this process may use of its machine: cores, memory, open files, shared memory.

A container, a batch system or `taskset` leaves a process less than the machine has. An unknown is
None, never zero.
"""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
from dataclasses import dataclass
from pathlib import Path

from harness.machine import cgroup

SHARED_MEMORY = "dev/shm"
_ROOT = Path("/")
_MOST_FILES = 65_535  # as many as vLLM's own server asks for; some code walks through them all


@dataclass(frozen=True)
class ProcessLimits:
    """What a process may use, beside what its machine has."""

    machine_cpu_count: int | None  # logical cores of the machine
    cpu_quota: float | None  # cores' worth of time that its control group gives; None: all
    memory_limit_bytes: int | None  # of its control group; None: all of the machine's
    open_files: int | None  # that each process may have; None: any number
    shared_memory_bytes: int | None  # size of /dev/shm


@dataclass(frozen=True)
class Room:
    """A whole, and what is free of it."""

    total_bytes: int
    free_bytes: int


def collect(root: Path = _ROOT) -> ProcessLimits:
    """Looks at /proc, /sys and /dev under `root`. Never raises."""
    shared = shared_memory(root)
    return ProcessLimits(
        machine_cpu_count=os.cpu_count(),
        cpu_quota=cgroup.cpu_quota(root),
        memory_limit_bytes=cgroup.memory(root).limit_bytes,
        open_files=open_files(),
        shared_memory_bytes=None if shared is None else shared.total_bytes,
    )


def allowed_cores() -> frozenset[int] | None:
    """The numbers of the logical cores that this process may run on."""
    with contextlib.suppress(AttributeError, OSError):  # a system that is not Linux has none
        return frozenset(os.sched_getaffinity(0))
    return None


def core_count(root: Path = _ROOT) -> int | None:
    """How many cores can be kept busy: those allowed or, where it is less, the time for them.

    At least one: with half a core's time, work is done all the same.
    """
    allowed = allowed_cores()
    count = os.cpu_count() if allowed is None else len(allowed)
    quota = cgroup.cpu_quota(root)
    if count is None or quota is None:
        return count
    return max(1, min(count, int(quota)))


def memory(root: Path = _ROOT) -> Room | None:
    """The machine's memory or, where it is less, what the control group gives."""
    try:
        import psutil

        machine = psutil.virtual_memory()
    except (ImportError, OSError):
        return None
    group = cgroup.memory(root)
    total = _least(int(machine.total), group.limit_bytes)
    return Room(total, min(total, _least(int(machine.available), group.free_bytes)))


def memory_is_limited(root: Path = _ROOT) -> bool:
    """Whether a control group gives less than the machine has."""
    room, limit = memory(root), cgroup.memory(root).limit_bytes
    return room is not None and room.total_bytes == limit


def shared_memory(root: Path = _ROOT) -> Room | None:
    """/dev/shm, through which processes of one engine talk; None where there is none."""
    try:
        usage = shutil.disk_usage(root / SHARED_MEMORY)
    except OSError:
        return None
    return Room(usage.total, usage.free)


def open_files() -> int | None:
    """How many files this process may have open at a time; None: any number."""
    return _number(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def most_open_files() -> int | None:
    """To how many it may raise that by itself; None: any number."""
    return _number(resource.getrlimit(resource.RLIMIT_NOFILE)[1])


def raise_open_files() -> None:
    """Raises the limit as far as it may, for this process and those it starts."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _least(_MOST_FILES, _number(hard))
    if soft != resource.RLIM_INFINITY and soft < most:
        # A sandbox may forbid what the limit allows; whoever asked sees that it is as it was.
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _number(limit: int) -> int | None:
    return None if limit == resource.RLIM_INFINITY else limit


def _least(number: int, limit: int | None) -> int:
    return number if limit is None else min(number, limit)
