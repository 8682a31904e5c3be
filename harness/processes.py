"""No process is left behind, whatever ends a run."""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from harness import watchdog

if TYPE_CHECKING:
    import psutil

TERMINATE_GRACE_S = 3.0
PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_CHILD_SUBREAPER = 36
MARK = "MLPERF_RUN"  # the environment variable that every process started by a run inherits

log = logging.getLogger("harness")

_watchdog: subprocess.Popen[bytes] | None = None


def age_s() -> float:
    """Seconds since this process was started, Python's own start included."""
    import psutil

    return time.time() - float(psutil.Process().create_time())


def adopt_orphans() -> None:
    """Makes this process the parent of grandchildren whose own parent dies.

    A worker whose engine process is gone would otherwise belong to nobody we can ask about.
    """
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def die_with_parent(parent: int) -> None:
    """Has this process killed when the thread that started it, or its whole process, ends."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it was gone before the line above
        os._exit(1)


def _prctl(option: int, value: int) -> None:
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def watch_over_children() -> None:
    """Starts the process that ends all others of this program, should this one be killed.

    Everything started or forked from now on belongs to it. It ends with this process, and there
    is one for a program, however many runs it makes.
    """
    global _watchdog
    if _watchdog is not None and _watchdog.poll() is None:
        return
    mark = f"{os.getpid()}-{secrets.token_hex(8)}"
    command = [sys.executable, "-E", "-S", watchdog.__file__, str(os.getpid()), f"{MARK}={mark}"]
    try:
        # Away from the terminal's signals and from our output, whose reader may wait for its end.
        _watchdog = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )
    except OSError as error:
        log.warning("no process watches over the engine's (%s)", error)
        return
    os.environ[MARK] = mark  # after its start: the watchdog is not one of those it ends
    # vLLM's processes give themselves a title, which else is written over what shows their mark.
    os.environ["SPT_NOENV"] = "1"
    atexit.register(_end_watchdog, os.getpid())


def _end_watchdog(owner: int) -> None:
    if _watchdog is not None and os.getpid() == owner:
        _watchdog.kill()
        _watchdog.wait()


def end_children(grace_s: float = TERMINATE_GRACE_S) -> int:
    """Ends every process below this one: asked first, killed after `grace_s`.

    Returns how many there were.
    multiprocessing's resource tracker, which cleans up shared memory, and our watchdog are left
    alone: they end with us.
    """
    import psutil

    children = [
        child for child in psutil.Process().children(recursive=True) if not _ends_with_us(child)
    ]
    for child in children:
        with contextlib.suppress(psutil.Error):
            child.terminate()
    _, alive = psutil.wait_procs(children, timeout=grace_s)
    for child in alive:
        with contextlib.suppress(psutil.Error):
            child.kill()
    psutil.wait_procs(alive, timeout=grace_s)
    return len(children)


class StoppedWatch:
    """Notices processes that are stopped (kill -STOP, or a debugger) and stay so.

    Such a process neither works nor ends, and whoever waits for it waits for ever.
    """

    def __init__(self, limit_s: float) -> None:
        self._limit_s = limit_s
        self._since: dict[int, float] = {}  # when each was first seen stopped

    def look(self, pids: Iterable[int]) -> int | None:
        """The first of these that has been stopped for longer than the limit."""
        now = time.monotonic()
        self._since = {pid: self._since.get(pid, now) for pid in pids if _is_stopped(pid)}
        return next((p for p, since in self._since.items() if now - since > self._limit_s), None)


def _is_stopped(pid: int) -> bool:
    import psutil

    try:
        return psutil.Process(pid).status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP)
    except psutil.Error:
        return False


def children() -> list[int]:
    """Every process below this one."""
    import psutil

    return [child.pid for child in psutil.Process().children(recursive=True)]


def end_children_for_good(limit_s: float = 20.0) -> None:
    """Repeats until no child is left, for when a thread may still be starting some."""
    deadline = time.monotonic() + limit_s
    while end_children() and time.monotonic() < deadline:
        pass


def is_of_vllm(process: psutil.Process) -> bool:
    """Whether it is one of the engine's, by the title that vLLM gives its processes."""
    import psutil

    try:
        return " ".join(process.cmdline()).startswith("VLLM::")
    except psutil.Error:
        return False


def _ends_with_us(process: psutil.Process) -> bool:
    import psutil

    if _watchdog is not None and process.pid == _watchdog.pid:
        return True
    try:
        return any("resource_tracker" in part for part in process.cmdline())
    except psutil.Error:
        return False
