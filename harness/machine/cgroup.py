"""What the control groups of this process allow it: processor time and memory.

Both versions are read, as they are mounted. The limits of a group hold for all that are inside it,
so each is looked for from the group of this process upwards, and the smallest counts. Kernel
documentation: admin-guide/cgroup-v2.rst, admin-guide/cgroup-v1/memory.rst, scheduler/sched-bwc.rst.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TypeVar

_T = TypeVar("_T", int, float)
_UNLIMITED_BYTES = 1 << 60  # version 1 says a number beyond this where there is no limit


@dataclass(frozen=True)
class Memory:
    """What the groups leave of memory; None: no limit, or not known."""

    limit_bytes: int | None
    free_bytes: int | None  # what the kernel would take back from files counts as free


def cpu_quota(root: Path = Path("/")) -> float | None:
    """How many cores' worth of time there is; None: no quota, or not known. Never raises."""
    return _smallest(root, {"cpu": _quota_v1, "": _quota_v2})


def memory(root: Path = Path("/")) -> Memory:
    """The smallest limit, and the smallest free part of any. Never raises."""
    limit = _smallest(root, {"memory": _limit_v1, "": _limit_v2})
    return Memory(limit, _smallest(root, {"memory": _free_v1, "": _free_v2}))


def _smallest(root: Path, readers: dict[str, Callable[[Path], _T | None]]) -> _T | None:
    """The smallest that any group says; a reader for each controller, "" for version 2."""
    values = [
        value
        for controller, read in readers.items()
        for group in _groups(root, controller)
        if (value := read(group)) is not None
    ]
    return min(values, default=None)


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """The folders of this process's group and of those around it, as far as they can be seen."""
    path = _path_of_the_process(root, controller)
    mount = _mount(root, controller)
    if path is None or mount is None:
        return
    top, shown = mount
    # Where a container sees the machine's names of groups, or none of its own, its mount is its
    # own group.
    inner = path.relative_to(shown) if path.is_relative_to(shown) else PurePosixPath()
    folder = top if ".." in inner.parts else top / inner
    yield folder
    while folder != top:
        folder = folder.parent
        yield folder


def _path_of_the_process(root: Path, controller: str) -> PurePosixPath | None:
    for line in _lines(root / "proc/self/cgroup"):
        _, controllers, path = (*line.split(":", 2), "", "")[:3]  # "4:memory:/user.slice"
        if controller in controllers.split(",") and path.startswith("/"):
            return PurePosixPath(path)
    return None


def _mount(root: Path, controller: str) -> tuple[Path, PurePosixPath] | None:
    """Where the groups are mounted, and which of them is at its top."""
    for line in _lines(root / "proc/self/mountinfo"):
        before, separator, after = line.partition(" - ")
        place, kind = before.split(" "), after.split(" ")
        if not separator or len(place) < 5 or len(kind) < 3:
            continue
        of_v2 = kind[0] == "cgroup2" and not controller
        of_v1 = kind[0] == "cgroup" and controller in kind[2].split(",")
        if of_v2 or of_v1:
            return root / place[4].lstrip("/"), PurePosixPath(place[3])
    return None


def _quota_v2(group: Path) -> float | None:
    quota, period = (*_words(group / "cpu.max"), "", "")[:2]  # "150000 100000", "max 100000"
    return _ratio(_whole(quota), _whole(period))


def _quota_v1(group: Path) -> float | None:
    quota, period = (_whole(_word(group / f"cpu.cfs_{name}_us")) for name in ("quota", "period"))
    return _ratio(quota, period)


def _ratio(quota: int | None, period: int | None) -> float | None:
    return quota / period if quota and period else None


def _limit_v2(group: Path) -> int | None:
    limits = (_whole(_word(group / f"memory.{name}")) for name in ("max", "high"))
    return min((limit for limit in limits if limit is not None), default=None)


def _limit_v1(group: Path) -> int | None:
    limit = _whole(_word(group / "memory.limit_in_bytes"))
    return None if limit is None or limit >= _UNLIMITED_BYTES else limit


def _free_v2(group: Path) -> int | None:
    return _free(group, _limit_v2(group), "memory.current", "inactive_file")


def _free_v1(group: Path) -> int | None:
    return _free(group, _limit_v1(group), "memory.usage_in_bytes", "total_inactive_file")


def _free(group: Path, limit: int | None, used_file: str, files_key: str) -> int | None:
    used = _whole(_word(group / used_file))
    if limit is None or used is None:
        return limit
    pairs = (line.split(" ") for line in _lines(group / "memory.stat"))
    of_files = next((_whole(pair[1]) for pair in pairs if pair[0] == files_key and pair[1:]), None)
    return min(limit, max(0, limit - used + (of_files or 0)))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []


def _words(path: Path) -> list[str]:
    return " ".join(_lines(path)).split()


def _word(path: Path) -> str:
    return next(iter(_words(path)), "")


def _whole(text: str) -> int | None:
    """A number of bytes or microseconds; None for "max" and for -1, which mean no limit."""
    return int(text) if text.isdecimal() else None
