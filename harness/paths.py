"""Paths as a person types them: refused where the system could not even look for such a file."""

from __future__ import annotations

import os
from pathlib import Path

from harness.errors import UsageError

_SHOWN = 60  # characters of a path that nobody wants to read whole


def check(flag: str, text: str | Path, *, of_home: bool = False) -> None:
    """Raises UsageError for what can be the name of no file. `flag` names where it was given.

    `of_home`: whether a first "~" stands for a home folder there.
    """
    text = str(text)
    if not text:
        raise UsageError(
            f"{flag} has an empty value, as an unset variable leaves it; give one, or leave the "
            "flag out."
        )
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."
    try:
        path = Path(text).expanduser() if of_home else Path(text)
    except RuntimeError as error:
        raise UsageError(
            f"{flag} {shown}: there is no user {text.partition('/')[0].lstrip('~')} here, or they "
            "have no home folder; write the folder out."
        ) from error
    try:
        os.lstat(path)
    except ValueError as error:
        raise UsageError(f"{flag} {shown!r}: no path holds a NUL character; correct it.") from error
    except OSError as error:
        if _is_too_long(path):
            raise UsageError(
                f"{flag} {shown}: this path has {len(os.fsencode(path)):,} bytes, and is too long "
                "for a file; give a shorter one."
            ) from error


def _is_too_long(path: Path) -> bool:
    """Whether that is why; a part above it may be missing as well, which the system says first."""
    longest = os.pathconf("/", "PC_NAME_MAX")
    return len(os.fsencode(path)) >= os.pathconf("/", "PC_PATH_MAX") or any(
        len(os.fsencode(part)) > longest for part in path.parts
    )
