"""A small process that outlives run.py and ends the processes which run.py could not end.

Whoever is killed by SIGKILL, as the out-of-memory killer does, ends nothing; an engine would then
hold its GPU for minutes. This process only waits. When its parent is gone it ends what carries
the parent's mark in its environment (programs that were started), what holds this process's
standard input open (forks, which inherit an open pipe), and what descends from those.

Started by `processes.watch_over_children`, as a script and without any of our other modules, so
that it costs a few milliseconds and nothing while it waits.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
import time
from pathlib import Path

LOOK_EVERY_S = 1.0
TERMINATE_GRACE_S = 3.0
LIMIT_S = 30.0  # a process in an uninterruptible call to a driver may take long to go


def wait_for_the_end_of(parent: int) -> None:
    """Returns when the parent is gone, however it ended."""
    while os.getppid() == parent:
        # The input ends when no process holds the other end any more; it never brings anything.
        if select.select([0], [], [], LOOK_EVERY_S)[0]:
            return


def left_behind(mark: str, pipe: str) -> list[int]:
    """The processes that belong to a parent that is gone."""
    parents = _parents()
    members = {pid for pid in parents if _carries(pid, mark) or _holds(pid, pipe)}
    while more := {pid for pid, parent in parents.items() if parent in members} - members:
        members |= more
    return [pid for pid in members if pid != os.getpid() and not _cleans_up_by_itself(pid)]


def end_all(mark: str, pipe: str) -> None:
    """Ends them: asked first, killed after a while, until none is left."""
    began = time.monotonic()
    asked: set[int] = set()
    while (alive := left_behind(mark, pipe)) and time.monotonic() < began + LIMIT_S:
        kill = time.monotonic() > began + TERMINATE_GRACE_S
        for pid in alive if kill else set(alive) - asked:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL if kill else signal.SIGTERM)
        asked.update(alive)
        time.sleep(0.1)


def _parents() -> dict[int, int]:
    """Every process that is alive, with its parent."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError, ValueError, IndexError):
            # The name, in parentheses, may hold anything.
            words = (entry / "stat").read_text(errors="replace").rpartition(")")[2].split()
            if words[0] != "Z":
                parents[int(entry.name)] = int(words[1])
    return parents


def _carries(pid: int, mark: str) -> bool:
    with contextlib.suppress(OSError):
        return mark.encode() in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    return False


def _holds(pid: int, pipe: str) -> bool:
    with contextlib.suppress(OSError):
        for entry in os.scandir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                if str(Path(entry.path).readlink()) == pipe:
                    return True
    return False


def _cleans_up_by_itself(pid: int) -> bool:
    """Whether this is multiprocessing's resource tracker.

    It frees shared memory when the others are gone, and ends then.
    """
    with contextlib.suppress(OSError):
        return b"resource_tracker" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


if __name__ == "__main__":
    wait_for_the_end_of(int(sys.argv[1]))
    end_all(sys.argv[2], str(Path("/proc/self/fd/0").readlink()))
