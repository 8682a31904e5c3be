"""The source code that made the runs, copied into a submission as MLCommons accepts it."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from harness.errors import UsageError

LARGEST_FILE_BYTES = 50 << 20  # FILE_SIZE_LIMIT_MB of the submission checker
# What belongs to the project where there is no git to ask, as in the Docker image.
_SOURCES = (
    "*.py",
    "*.md",
    "requirements.txt",
    "requirements/*",
    "pyproject.toml",
    "Makefile",
    "Dockerfile",
    "benchmarks/**/*",
    "docs/**/*",
    "harness/**/*",
    "tests/**/*",
    "third_party/README.md",
    "tools/**/*",
)


def copy_source(project: Path, commit: str | None, target: Path) -> None:
    """Copies the project as of `commit`; without git or a commit, as it lies there.

    Left out is what the checkers refuse: names that begin with a dot or hold a space, caches,
    files above 50 MB. Raises UsageError when the commit is not in this checkout.
    """
    if commit is not None and (project / ".git").exists():
        _extract(_archive(project, commit), target)
        return
    for path in _files(project):
        name = path.relative_to(project)
        if is_accepted(PurePosixPath(name.as_posix()), path.stat().st_size):
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target / name)


def is_accepted(name: PurePosixPath, size: int) -> bool:
    """Whether the submission checkers accept a file of this name (relative) and size in bytes."""
    return (
        not any(part.startswith(".") or " " in part for part in name.parts)
        and "__pycache__" not in name.parts
        and name.suffix != ".pyc"
        and size <= LARGEST_FILE_BYTES
    )


def _archive(project: Path, commit: str) -> bytes:
    command = ["git", "-C", str(project), "archive", "--format=tar", commit]
    try:
        return subprocess.run(command, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        raise UsageError(
            f"The runs were made by commit {commit} of this program, which git does not find in "
            f"{project}; fetch it, or run --submission from the checkout that made the runs."
        ) from None


def _extract(archive: bytes, target: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as source:
        for member in source:
            content = source.extractfile(member) if member.isfile() else None
            if content is not None and is_accepted(PurePosixPath(member.name), member.size):
                path = target / member.name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content.read())


def _files(project: Path) -> Iterator[Path]:
    for pattern in _SOURCES:
        for path in sorted(project.glob(pattern)):
            if path.is_file() and not path.is_symlink():
                yield path
