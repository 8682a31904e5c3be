"""The text of a log, or a sentence on why it cannot be had."""

from __future__ import annotations

from pathlib import Path

from harness.errors import LogError


def read_text(path: Path) -> str:
    """The whole file, broken characters replaced. Raises LogError."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise LogError(f"{path} cannot be read: {error.strerror}.") from None
