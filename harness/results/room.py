"""Whether there is room for a run's files: before it begins, and why there no longer is."""

from __future__ import annotations

import errno
import os
import resource
import secrets
import shutil
from pathlib import Path

from harness import formatting
from harness.errors import UsageError

# Engine's words, plots, reports, and what is held back for the end of a run.
BYTES_OF_ANY_RUN = 16 * 2**20
# Its lines in LoadGen's logs, and its article and reference in answers.jsonl.
BYTES_OF_A_SAMPLE = 1500
BYTES_OF_A_QUERY = 100  # its line in samples.csv
BYTES_OF_A_TOKEN = 24  # as LoadGen's accuracy log and answers.jsonl write it
NEARLY_FULL_BYTES = 2**20  # a log that was cut short leaves less than it wanted to write
_PROBE_BYTES = 2**16

_FULL = (errno.ENOSPC, errno.EDQUOT)
_FORBIDDEN = (errno.EROFS, errno.EACCES, errno.EPERM)
_AGAIN = "and type the command again."


def needed_bytes(samples: int, tokens_each: int, queries: int) -> int:
    """What the folder of a run will hold at most, roughly.

    Of each sample an answer is logged; `queries` are those of the performance test.
    """
    answers = samples * (BYTES_OF_A_SAMPLE + tokens_each * BYTES_OF_A_TOKEN)
    return BYTES_OF_ANY_RUN + answers + queries * BYTES_OF_A_QUERY


def check(results_dir: Path, needed: int) -> None:
    """Raises UsageError where so many bytes of one run cannot be written there."""
    check_free(results_dir, needed)
    limit = _file_size_limit()
    if limit is not None and limit < needed:
        raise UsageError(
            f"This shell lets no file grow beyond {formatting.megabytes(limit)} (ulimit -f) and "
            f"the run will need {formatting.megabytes(needed)}; ulimit -f unlimited lifts it."
        )


def check_free(results_dir: Path, needed: int, of: str = "the run") -> None:
    """Raises UsageError where so many bytes are not free under the results folder."""
    existing = results_dir
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    free = free_bytes(existing)
    if free is not None and free < needed:
        raise UsageError(
            f"--results-dir {results_dir}: {formatting.megabytes(free)} are free there and {of} "
            f"will need {formatting.megabytes(needed)}; free some, or choose another folder."
        )


def free_bytes(path: Path) -> int | None:
    """Bytes that may still be written there; None: it cannot be known."""
    try:
        return shutil.disk_usage(path).free
    except OSError:
        return None


def trouble(run_dir: Path, *, run_failed: bool) -> str | None:
    """Why nothing more can be written in a run folder, in sentences; None: it can.

    Whatever a fault in the middle looks like to the one it meets, a full disk is found here. A
    disk that is only nearly full explains a run that failed, but does not make it fail.
    """
    if not run_dir.is_dir():
        return (
            f"{run_dir} is gone: it was removed or moved while the run was at work, and what was "
            f"measured with it. Leave the results folder alone until a run ends, {_AGAIN}"
        )
    limit = _file_size_limit()
    grown = [path for path in run_dir.rglob("*") if limit is not None and _size(path) >= limit]
    if grown and limit is not None:
        return (
            f"{grown[0]} has reached the limit of this shell on the size of a file "
            f"({formatting.megabytes(limit)}; ulimit -f) and is cut short. What was written until "
            f"then is kept. Raise the limit (ulimit -f unlimited) {_AGAIN}"
        )
    probe = run_dir / f".probe.{secrets.token_hex(4)}.tmp"
    try:
        with probe.open("xb") as file:
            file.write(bytes(_PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return explain(error, run_dir)
    finally:
        _unlink(probe)
    free = free_bytes(run_dir)
    if run_failed and free is not None and free < NEARLY_FULL_BYTES:
        return explain(OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), run_dir)
    return None


def is_lacking(error: OSError) -> bool:
    """Whether an error is about writing files, and not about a connection or the like."""
    return error.errno in (*_FULL, *_FORBIDDEN, errno.EFBIG)


def explain(error: OSError, folder: Path) -> str:
    """Which path could not be written and why, what is kept of the run, and what to do."""
    path = error.filename if isinstance(error.filename, str) else folder
    kept = "What was written until then is kept, its last file perhaps cut short."
    if error.errno in _FULL:
        free = free_bytes(folder)
        how_much = "" if free is None else f", {formatting.megabytes(free)} are free"
        what = "the quota is used up" if error.errno == errno.EDQUOT else "the disk is full"
        return (
            f"{path} could not be written: {what}{how_much}. {kept} "
            f"Free some or give --results-dir a folder elsewhere, {_AGAIN}"
        )
    if error.errno in _FORBIDDEN:
        return (
            f"{path} could not be written: {error.strerror}. {kept} Make the folder writable or "
            f"give --results-dir another one, {_AGAIN}"
        )
    if error.errno == errno.EFBIG:
        return (
            f"{path} could not be written: it would grow beyond the limit of this shell on the "
            f"size of a file. {kept} Raise the limit (ulimit -f unlimited) {_AGAIN}"
        )
    if error.errno == errno.ENOENT and not folder.is_dir():
        return f"{path} could not be written: {folder} is gone. Type the command again."
    return f"{path}: {error.strerror or error}. {kept}"


def _file_size_limit() -> int | None:
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def _size(path: Path) -> int:
    try:
        return path.lstat().st_size
    except OSError:
        return 0


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        return  # a file system that has become read-only
