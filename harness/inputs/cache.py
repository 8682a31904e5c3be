"""The user's cache: where what is built or downloaded once is kept, and how it is locked."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path


def cache_folder() -> Path:
    """The folder of this program in the user's cache; it may not be there yet."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "mlperf-llama31-vllm"


@contextlib.contextmanager
def locked(folder: Path, name: str) -> Iterator[None]:
    """Keeps other processes from making the same thing in a folder, which is made if need be.

    The lock goes with the process that holds it. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / f".{name}.lock").open("a") as lock:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
