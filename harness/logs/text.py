"""The text of a log, or a sentence on why it cannot be had, and the hash that names its content."""

from __future__ import annotations

import hashlib
from pathlib import Path

from harness.errors import LogError


def read_text(path: Path) -> str:
    """The whole file, broken characters replaced. Raises LogError."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise LogError(f"{path} cannot be read: {error.strerror}.") from None


def sha256(path: Path) -> str:
    """The SHA-256 of the whole file, before anything is cut. Raises LogError."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise LogError(f"{path} cannot be read: {error.strerror}.") from None
