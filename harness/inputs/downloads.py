"""A file from an address: what came before a connection broke is kept, and the rest follows."""

from __future__ import annotations

import hashlib
import urllib.error
import urllib.request
from collections.abc import Callable
from http.client import HTTPException
from pathlib import Path

from harness.language import phrase

BLOCK_BYTES = 2**20
STALL_TIMEOUT_S = 30  # without a byte
ATTEMPTS = 5  # at a download that breaks off; each goes on where the one before stopped


class BrokeOff(Exception):
    """A download ended before the file did, or never began; what came is kept."""


def part_of(path: Path) -> Path:
    """Where a download lies until it is whole."""
    return path.with_name(f".{path.name}.part")


def size_of(path: Path) -> int:
    """Bytes of a file; 0 where there is none."""
    return path.stat().st_size if path.exists() else 0


def sha256_of(path: Path) -> str:
    """A file's SHA-256, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def length_of(url: str) -> int:
    """Bytes of the file at an address. Raises BrokeOff."""
    request = _request(url)
    request.method = "HEAD"
    try:
        with urllib.request.urlopen(request, timeout=STALL_TIMEOUT_S) as response:
            return int(response.headers["Content-Length"])
    except (OSError, ValueError, TypeError, HTTPException) as error:
        raise BrokeOff(_reason(error)) from error


def resume(url: str, part: Path, size_bytes: int, show: Callable[[int], None]) -> None:
    """Downloads what of the file is not there yet. Raises BrokeOff, OSError of the disk."""
    for attempt in range(1, ATTEMPTS + 1):
        before = size_of(part)
        if before >= size_bytes:
            return
        try:
            _append(url, part, before, size_bytes, show)
        except BrokeOff:
            if attempt == ATTEMPTS or size_of(part) <= before:
                raise


def accept(part: Path, path: Path, sha256: str) -> str | None:
    """Puts a download in its place if it has this checksum, else deletes it.

    Returns the checksum that it had instead.
    """
    found = sha256_of(part)
    if found == sha256:
        part.replace(path)
        return None
    part.unlink()
    return found


def _append(
    url: str, part: Path, offset: int, size_bytes: int, show: Callable[[int], None]
) -> None:
    """One request for the rest of the file, appended to `part` as it comes."""
    request = _request(url)
    if offset:
        request.add_header("Range", f"bytes={offset}-")
    try:
        response = urllib.request.urlopen(request, timeout=STALL_TIMEOUT_S)
    except (OSError, ValueError, HTTPException) as error:
        raise BrokeOff(_reason(error)) from error
    with response:
        if getattr(response, "status", None) != 206:  # the whole file comes, from its beginning
            offset = 0
        with part.open("ab" if offset else "wb") as file:
            while offset < size_bytes:
                try:
                    block = response.read(BLOCK_BYTES)
                except (OSError, HTTPException) as error:
                    raise BrokeOff(_reason(error)) from error
                if not block:
                    raise BrokeOff(phrase("the connection was closed"))
                file.write(block)
                offset += len(block)
                show(offset)


def _reason(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(reason) or type(error).__name__


def _request(url: str) -> urllib.request.Request:
    # Some servers refuse Python's own name.
    return urllib.request.Request(url, headers={"User-Agent": "mlperf-llama31-vllm"})
