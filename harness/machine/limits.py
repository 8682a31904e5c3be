"""What a container or a shell allows a process: memory, cores, shared memory, open files.

Control groups of both versions are read, this process's own and all above it.
"""

from __future__ import annotations

import resource
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_GROUPS = Path("sys/fs/cgroup")
_NO_LIMIT = 1 << 60  # above this a number stands for none: version 1 has no word for it


@dataclass(frozen=True)
class Limits:
    """What this process may use; None: no limit, or an unknown one."""

    free_memory_bytes: int | None  # that the control groups leave
    cores: float | None  # whose time the control groups give
    free_shared_memory_bytes: int | None  # in /dev/shm
    open_files: int | None


def collect(root: Path = Path("/")) -> Limits:
    """Looks at /proc, /sys and /dev under `root`. Never raises."""
    memory = [left for group in _groups(root, "memory") if (left := _memory_left(group))]
    cores = [count for group in _groups(root, "cpu") if (count := _cores(group))]
    try:
        shared = shutil.disk_usage(root / "dev/shm").free
    except OSError:
        shared = None
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return Limits(
        free_memory_bytes=min(memory, default=None),
        cores=min(cores, default=None),
        free_shared_memory_bytes=shared,
        open_files=None if files == resource.RLIM_INFINITY else files,
    )


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of the groups that hold this process, its own first.

    A container may see no more of them than the uppermost, which is then its own.
    """
    for line in _lines(root / "proc/self/cgroup"):
        number, controllers, path = line.split(":", 2)
        if number == "0":  # version 2
            top = root / _GROUPS
        elif controller in controllers.split(","):
            top = root / _GROUPS / controller
        else:
            continue
        group = top / path.lstrip("/")
        yield from (folder for folder in (group, *group.parents) if folder.is_relative_to(top))


def _memory_left(group: Path) -> int | None:
    for limit_name, used_name, cache_name in (
        ("memory.max", "memory.current", "inactive_file"),
        ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ):
        limit, used = _number(group / limit_name), _number(group / used_name)
        if limit is None or used is None or limit > _NO_LIMIT:
            continue
        words = (line.split() for line in _lines(group / "memory.stat"))
        # Files that were read stay in memory until somebody needs it.
        cache = sum(int(count) for name, count in words if name == cache_name)
        return max(0, limit - used + cache)
    return None


def _cores(group: Path) -> float | None:
    """Microseconds of processor time in each period."""
    words = " ".join(_lines(group / "cpu.max")).split()
    if not words:
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        words = [word for name in names for word in _lines(group / name)]
    if len(words) != 2 or not all(word.isdecimal() for word in words):  # "max", or -1
        return None
    quota, period = map(int, words)
    return quota / period if period else None


def _number(path: Path) -> int | None:
    text = "".join(_lines(path)).strip()
    return int(text) if text.isdecimal() else None


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return []
