"""What the reports of run.py and mmlu.py share: their appendix, and the lines of the terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import formatting

TEMPLATES = Path(__file__).with_name("templates")  # appendix.md.j2 is for every report
WIDTH = 100  # of the terminal summary
_MACHINE = {
    "gpu_name": "GPU",
    "gpu_count": "GPUs",
    "gpu_memory_bytes": "memory of each GPU",
    "cpu": "CPU",
    "cpu_count": "CPU cores in use",
    "memory_bytes": "memory",
    "os": "operating system",
    "git_commit": "commit of this program",
    "git_dirty": "files changed since that commit",
}
_NAMES = {
    "cpu": "CPU",
    "cuda": "CUDA",
    "vllm": "vLLM",
    "loadgen": "LoadGen",
    "python": "Python",
    "torch": "PyTorch",
}


def machine_rows(system: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Whatever is known of the machine, the GPU first."""
    if system.get("gpu_count") == 0:
        yield "GPU", "none"
        system = {k: v for k, v in system.items() if not k.startswith(("gpu_", "driver_", "cuda_"))}
    limits = system.get("limits") or {}
    # A submission needs `hardware`; it tells a reader of the report little.
    system = {k: v for k, v in system.items() if k not in ("hardware", "limits")}
    known = [key for key in _MACHINE if key in system]
    for key in known + [key for key in system if key not in _MACHINE]:
        value = system[key]
        words = [_NAMES.get(word, word) for word in key.removesuffix("_bytes").split("_")]
        if key == "cpu_count":
            value = _cores(value, limits)
        elif key == "memory_bytes":
            value = _memory(value, limits.get("memory_limit_bytes"))
        elif key.endswith("_bytes"):
            value = formatting.gibibytes(value)
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        yield (
            _MACHINE.get(key, " ".join(words)),
            formatting.NOT_KNOWN if value is None else str(value),
        )


def _cores(allowed: int | None, limits: dict[str, Any]) -> str | None:
    """The cores that the run may use, and how many there are where those are more."""
    here, quota = limits.get("machine_cpu_count"), limits.get("cpu_quota")
    if allowed is None:
        return None
    text = str(allowed)
    if here is not None and here > allowed:
        text += f" of the machine's {here}"
    if quota is not None and quota < allowed:
        text += f", with the time of {quota:g}"
    return text


def _memory(of_machine: int | None, limit: int | None) -> str:
    text = formatting.gibibytes(of_machine)
    if limit is None or (of_machine is not None and limit >= of_machine):
        return text
    return f"{text}, of which the run may use {formatting.gibibytes(limit)}"


def engine_rows(resolved: dict[str, Any]) -> list[tuple[str, Any]]:
    """What vLLM was given: its engine arguments, then its environment variables."""
    arguments, variables = (resolved.get(key) or {} for key in ("engine", "engine_environment"))
    return [*sorted(arguments.items()), *sorted(variables.items())]


def wrapped(text: str, first: str, others: str) -> list[str]:
    """A sentence as lines of the terminal, the first and the others indented by those."""
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )
