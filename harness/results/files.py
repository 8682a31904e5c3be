"""Files of the results folder: replaced in one step, read defensively, locked while they change."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import json_text


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file that holds an object; empty where there is none, or a damaged one.

    A number in it may be none (NaN), which costs no more than that number.
    """
    try:
        value = json_text.loads(path.read_text(encoding="utf-8"), finite=False)
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def write_text(path: Path, text: str) -> None:
    """Replaces a file in one step: a crash leaves the old content or the new one."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Replaces a file in one step, as `write_text` does."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with errors_name(path), temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def errors_name(path: Path) -> Iterator[None]:
    """Has an OSError name the file: one that comes while writing, as of a full disk, names none."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def write_json(path: Path, value: object) -> None:
    """Replaces a JSON file in one step. Raises ValueError for NaN and infinity."""
    write_text(path, json.dumps(value, indent=2, allow_nan=False, ensure_ascii=False) + "\n")


def set_aside(path: Path) -> Path:
    """Renames what lies at a path and is none of ours, to where it can be looked at."""
    for number in itertools.count(1):
        aside = path.with_name(f"{path.name}.set-aside" + (f"-{number}" if number > 1 else ""))
        if not aside.exists() and not aside.is_symlink():
            path.rename(aside)
            return aside
    raise AssertionError  # itertools.count never ends


@contextlib.contextmanager
def locked(results_dir: Path) -> Iterator[None]:
    """For what several runs may change: the index, `latest`, the tuning results."""
    with (results_dir / ".index.lock").open("a") as lock:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
