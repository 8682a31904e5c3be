"""What an engine needs of its surroundings: variables, open files, a compiler."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from harness.config import DEMO_MODEL, RunConfig
from harness.errors import UsageError
from harness.installed import module_of
from harness.language import phrase
from harness.machine import process_limits

# The largest process of a demo run on a CPU had 86 open; a GPU's driver and NCCL open more.
LEAST_OPEN_FILES = 256
USUAL_OPEN_FILES = 1024  # what a shell allows, and nobody has had too few with
_FLAGS = re.compile(r"^flags\s*: (.*)$", re.MULTILINE)  # of an x86 CPU
_FOR_BF16 = {"avx512bw", "avx_ne_convert"}


def check_variables() -> None:
    """Raises UsageError for a variable of vLLM's whose value vLLM cannot read.

    It would say so while the engine loads, or not at all; its own file of variables is asked.
    """
    readers = _readers()
    for name in sorted(readers.keys() & os.environ.keys()):
        try:
            readers[name]()
        except Exception as error:  # whatever its reader raises
            value = os.environ[name]
            said = " ".join(str(error).split()).rstrip(".")
            raise UsageError(
                f"{name}={value}: vLLM cannot read this variable ({said}); correct or unset it."
            ) from None


def note_on_variables() -> str | None:
    """A sentence on variables named as vLLM's are that it ignores; None: there are none."""
    readers = _readers()
    names = sorted(name for name in os.environ if name.startswith("VLLM_") and name not in readers)
    if not readers or not names:
        return None
    return phrase(
        "the installed vLLM does not know {names} and ignores it: it has been renamed, given up or "
        "mistyped.",
        names=", ".join(names),
    )


def note_on_bf16(config: RunConfig, device: str, root: Path = Path("/")) -> str | None:
    """A sentence for a CPU that has no instructions for bf16; None: it has, or it is not known.

    oneDNN, by which torch multiplies bf16, leaves such a CPU to a plain loop: ten samples of the
    small model took 140 s on two cores, and 33 s in float32.
    """
    if device != "cpu" or config.precision != "bf16" or config.model == DEMO_MODEL:
        return None
    try:
        told = _FLAGS.search((root / "proc/cpuinfo").read_text(encoding="utf-8"))
    except OSError:
        return None
    if told is None or _FOR_BF16 & set(told[1].split()):
        return None
    return phrase(
        "this processor multiplies bf16 slowly (it has no AVX-512): even the small model takes "
        "minutes for ten samples; --model demo takes seconds."
    )


def _readers() -> Mapping[str, Callable[[], Any]]:
    """What reads each variable that the installed vLLM knows; empty without vLLM."""
    return getattr(module_of("vllm", "envs.py"), "environment_variables", {})


def check_open_files() -> None:
    """Raises the limit on open files where it is low; raises UsageError where too few remain."""
    allowed = process_limits.open_files()
    if allowed is not None and allowed < USUAL_OPEN_FILES:
        process_limits.raise_open_files()
    refuse_few_files(process_limits.open_files())


def refuse_few_files(allowed: int | None) -> None:
    """Raises UsageError where a process may have too few files open."""
    if allowed is not None and allowed < LEAST_OPEN_FILES:
        raise UsageError(
            f"This process may have {allowed} files open, and an engine needs up to "
            f"{LEAST_OPEN_FILES}; allow it more: ulimit -n {USUAL_OPEN_FILES} "
            f"(docker: --ulimit nofile={USUAL_OPEN_FILES})."
        )


def check_compiler(settings: Mapping[str, Any], device: str) -> None:
    """Raises UsageError where a CPU's engine would compile and there is no compiler.

    A GPU's is asked for by the installation, and in the image. `settings` are vLLM's arguments.
    """
    if device != "cpu" or settings.get("enforce_eager"):
        return
    compiler = os.environ.get("CXX", "g++")
    if shutil.which(compiler) is None:
        raise UsageError(
            "--engine-arg enforce_eager=false: the model would be compiled, and there is no "
            f"{compiler} here (nor in the Docker image for CPUs); leave it out, or install g++."
        )
