"""What the reports of run.py and mmlu.py share: their appendix, and the lines of the terminal."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from harness import formatting
from harness.language import joined, phrase, translated

TEMPLATES = Path(__file__).with_name("templates")  # appendix.md.j2 is for every report
WIDTH = 100  # of the terminal summary
_MACHINE = {
    "gpu_name": "GPU",
    "gpu_count": phrase("GPUs"),
    "gpu_memory_bytes": phrase("memory of each GPU"),
    "cpu": "CPU",
    "cpu_count": phrase("CPU cores in use"),
    "memory_bytes": phrase("memory"),
    "os": phrase("operating system"),
    "git_commit": phrase("commit of this program"),
    "git_dirty": phrase("files changed since that commit"),
}
_NAMES = {
    "cpu": "CPU",
    "cuda": "CUDA",
    "vllm": "vLLM",
    "loadgen": "LoadGen",
    "python": "Python",
    "torch": "PyTorch",
    "kernel": phrase("kernel"),
    "driver": phrase("driver"),
    "version": phrase("version"),
}


def place(record: dict[str, Any]) -> str:
    """Where and when: '1 x NVIDIA H200, 2026-11-24 05:33'."""
    system, meta = record["system"], record["meta"]
    count = system.get("gpu_count")
    where = f"{count} x {system.get('gpu_name')}" if count else f"CPU: {system.get('cpu')}"
    parts = [where if count or system.get("cpu") else formatting.NOT_KNOWN]
    try:
        parts.append(f"{datetime.fromisoformat(str(meta['finished'])):%Y-%m-%d %H:%M}")
    except ValueError:  # it did not come to its end
        parts.append(str(meta["status"]))
    return ", ".join(parts)


def machine_rows(system: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Whatever is known of the machine, the GPU first, and in short of those that helped it."""
    others = system.get("others") or ()
    if system.get("gpu_count") == 0:
        yield "GPU", phrase("none")
        system = {k: v for k, v in system.items() if not k.startswith(("gpu_", "driver_", "cuda_"))}
    limits = system.get("limits") or {}
    # A submission needs `hardware`; it tells a reader of the report little.
    system = {k: v for k, v in system.items() if k not in ("hardware", "limits", "others")}
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
            value = phrase("yes") if value else phrase("no")
        yield (
            _MACHINE.get(key, joined(" ", words)),
            formatting.NOT_KNOWN if value is None else value,
        )
    for number, other in enumerate(others, start=2):
        yield phrase("machine {number}", number=number), _in_short(other)


def _in_short(system: dict[str, Any]) -> str:
    """Another machine of a run; its releases are those of the first."""
    driver = system.get("driver_version")
    parts = (
        f"{system.get('gpu_count')} x {system.get('gpu_name') or formatting.NOT_KNOWN}",
        f"CPU {system.get('cpu') or formatting.NOT_KNOWN}",
        f"driver {driver}" if driver else None,
        f"vLLM {system.get('vllm_version') or formatting.NOT_KNOWN}",
    )
    return ", ".join(filter(None, parts))


def _cores(allowed: int | None, limits: dict[str, Any]) -> str | None:
    """The cores that the run may use, and how many there are where those are more."""
    here, quota = limits.get("machine_cpu_count"), limits.get("cpu_quota")
    if allowed is None:
        return None
    text = str(allowed)
    if here is not None and here > allowed:
        text = phrase("{allowed} of the machine's {here}", allowed=allowed, here=here)
    if quota is not None and quota < allowed:
        text = phrase("{cores}, with the time of {quota:g}", cores=text, quota=quota)
    return text


def _memory(of_machine: int | None, limit: int | None) -> str:
    text = formatting.gibibytes(of_machine)
    if limit is None or (of_machine is not None and limit >= of_machine):
        return text
    return phrase(
        "{memory}, of which the run may use {limit}",
        memory=text,
        limit=formatting.gibibytes(limit),
    )


def engine_rows(resolved: dict[str, Any]) -> list[tuple[str, Any]]:
    """What vLLM was given: its engine arguments, then its environment variables."""
    arguments, variables = (resolved.get(key) or {} for key in ("engine", "engine_environment"))
    return [*sorted(arguments.items()), *sorted(variables.items())]


def prompt_lengths(data: dict[str, Any]) -> str:
    """How long the prompts of a data set are."""
    return phrase(
        "{mean} tokens on average, {longest} at most",
        mean=formatting.count(data["mean_prompt_tokens"]),
        longest=formatting.count(data["longest_prompt_tokens"]),
    )


def profile(record: dict[str, Any]) -> str:
    """Which profile the engine was set by, and where it came from."""
    return phrase("profile {name}: {source}", name=record["name"], source=record["source"])


def model(flags: dict[str, Any], record: dict[str, Any]) -> str:
    """Which model it was, and where it came from."""
    text = joined(": ", (flags["model"], record.get("source") or record["path"]))
    if revision := record["revision"]:
        return text + phrase(", revision {revision}", revision=revision)
    return text


def wrapped(text: str, first: str, others: str) -> list[str]:
    """A sentence as lines of the terminal, the first and the others indented by those.

    A letter of Korean is two columns wide.
    """
    lines = [first]
    empty = True
    for word in translated(text).split():
        longer = lines[-1] + ("" if empty else " ") + word
        if empty or columns(longer) <= WIDTH:
            lines[-1], empty = longer, False
        else:
            lines.append(others + word)
    return lines


def padded(text: str, width: int) -> str:
    """A text with spaces up to so many columns of the terminal."""
    words = translated(text)
    return words + " " * (width - columns(words))


def columns(text: str) -> int:
    """How wide a text is on a terminal."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
