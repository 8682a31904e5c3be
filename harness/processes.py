"""No process is left behind, whatever ends a run."""

from __future__ import annotations

import contextlib
import time

TERMINATE_GRACE_S = 3.0
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


def age_s() -> float:
    """Seconds since this process was started, Python's own start included."""
    import psutil

    return time.time() - float(psutil.Process().create_time())


def adopt_orphans() -> None:
    """Makes this process the parent of grandchildren whose own parent dies.

    A worker whose engine process is gone would otherwise belong to nobody we can ask about.
    """
    import ctypes

    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_children(grace_s: float = TERMINATE_GRACE_S) -> int:
    """Ends every process below this one: asked first, killed after `grace_s`.

    Returns how many there were.
    multiprocessing's resource tracker is left alone: it cleans up shared memory and ends with us.
    """
    import psutil

    children = [
        child
        for child in psutil.Process().children(recursive=True)
        if not _is_resource_tracker(child)
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


def end_children_for_good(limit_s: float = 20.0) -> None:
    """Repeats until no child is left, for when a thread may still be starting some."""
    deadline = time.monotonic() + limit_s
    while end_children() and time.monotonic() < deadline:
        pass


def _is_resource_tracker(process: object) -> bool:
    import psutil

    assert isinstance(process, psutil.Process)
    try:
        return any("resource_tracker" in part for part in process.cmdline())
    except psutil.Error:
        return False
