"""The user's cache: where what is built or downloaded once is kept, and how it is locked."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from harness import bundle, formatting
from harness.errors import UsageError
from harness.language import phrase
from harness.terminal import Terminal

ELSEWHERE = phrase("set XDG_CACHE_HOME to a folder that has it")
FULL = (errno.ENOSPC, errno.EDQUOT)  # what an error says of a disk that takes no more


def cache_folder() -> Path:
    """The folder of this program in the user's cache, which a bundle stands in for; it may not be
    there yet.
    """
    if (carried := bundle.folder()) is not None:
        return carried
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
                Terminal().say(
                    phrase(
                        "waiting for another process that makes {name} in {folder} ...",
                        name=name, folder=folder,
                    )
                )  # fmt: skip
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def remove_unfinished(folder: Path, mark: str) -> None:
    """Removes what a process that was killed has left of a folder, and the folder without `mark`.

    `mark` is a file that every whole one has. To be called under the lock, which says that nobody
    is at work. Raises OSError.
    """
    left = list(folder.parent.glob(f".{folder.name}-*"))
    if folder.is_dir() and not (folder / mark).is_file():
        left.append(folder)
    for one in left:
        shutil.rmtree(one)


@contextlib.contextmanager
def writing(flag: str, folder: Path, elsewhere: str = ELSEWHERE) -> Iterator[None]:
    """Turns what keeps the block from writing to a folder into a UsageError that names `flag`.

    `elsewhere` tells how to choose another folder.
    """
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            text = phrase("the disk is full: {folder} cannot take more; make room", folder=folder)
        else:
            text = phrase(
                "{folder} cannot be written ({error}); make it writable",
                folder=folder, error=error.strerror or error,
            )  # fmt: skip
        raise UsageError(f"{flag}: {text}, or {elsewhere}; then type the command again.") from error


def free_bytes(folder: Path) -> int:
    """Bytes that are free where a folder is or would be. Raises OSError."""
    existing = next(place for place in (folder, *folder.absolute().parents) if place.is_dir())
    return shutil.disk_usage(existing).free


def check_room(
    flag: str, what: str, needed_bytes: int, folder: Path, elsewhere: str = ELSEWHERE
) -> None:
    """Raises UsageError where so many bytes do not fit in a folder, which may not be there yet."""
    free = free_bytes(folder)
    if free < needed_bytes:
        raise UsageError(
            f"{flag}: {what} needs {formatting.megabytes(needed_bytes)} more in {folder}, where "
            f"{formatting.megabytes(free)} are free; make room, or {elsewhere}."
        )
