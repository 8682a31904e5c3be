"""The user's cache: where what is built or downloaded once is kept, and how it is locked."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness import formatting
from harness.errors import UsageError
from harness.terminal import Terminal

_FULL = (errno.ENOSPC, errno.EDQUOT)


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
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                Terminal().say(f"waiting for another process that makes {name} in {folder} ...")
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def writing(flag: str, folder: Path) -> Iterator[None]:
    """Turns what keeps the block from writing to a folder into a UsageError that names `flag`."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            text = f"the disk is full: {folder} cannot take more; make room"
        else:
            text = f"{folder} cannot be written ({error.strerror or error}); make it writable"
        raise UsageError(
            f"{flag}: {text}, or set XDG_CACHE_HOME to a folder that has it; then type the "
            "command again."
        ) from error


def check_room(flag: str, what: str, needed_bytes: int, folder: Path) -> None:
    """Raises UsageError where so many bytes do not fit, and OSError where there is no folder."""
    free_bytes = shutil.disk_usage(folder).free
    if free_bytes < needed_bytes:
        raise UsageError(
            f"{flag}: {what} needs {formatting.megabytes(needed_bytes)} more in {folder}, where "
            f"{formatting.megabytes(free_bytes)} are free; make room, or set XDG_CACHE_HOME to a "
            "folder that has it."
        )
