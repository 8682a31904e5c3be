"""What the reports of run.py and mmlu.py share: how their templates are read, the machine's table,
and the lines of the terminal.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import formatting
from harness.errors import BenchmarkError

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATES = Path(__file__).with_name("templates")
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


def environment() -> Environment:
    """Where the templates are and the filters they use. Raises BenchmarkError without jinja2."""
    try:
        import jinja2
    except ImportError:
        raise BenchmarkError(
            "A report needs jinja2: pip install jinja2, or run `make venv`."
        ) from None
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # Markdown, not HTML
    )
    found.filters |= {
        "cell": lambda value: str(value).replace("|", "\\|").replace("\n", " "),
        "count": formatting.count,
        "duration": formatting.duration,
        "joules": formatting.joules,
        "ms": formatting.milliseconds,
        "passed": {True: "yes", False: "**no**", None: "not judged"}.get,
        "points": lambda value: formatting.NOT_KNOWN if value is None else f"{value:.4f} %",
        "rate": formatting.rate,
    }
    return found


def machine_rows(system: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Whatever is known of the machine, the GPU first."""
    if system.get("gpu_count") == 0:
        yield "GPU", "none"
        system = {k: v for k, v in system.items() if not k.startswith(("gpu_", "driver_", "cuda_"))}
    # A submission needs these; they tell a reader of the report little.
    system = {k: v for k, v in system.items() if k != "hardware"}
    known = [key for key in _MACHINE if key in system]
    for key in known + [key for key in system if key not in _MACHINE]:
        value = system[key]
        words = [_NAMES.get(word, word) for word in key.removesuffix("_bytes").split("_")]
        if key.endswith("_bytes"):
            value = formatting.gibibytes(value)
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        yield (
            _MACHINE.get(key, " ".join(words)),
            formatting.NOT_KNOWN if value is None else str(value),
        )


def engine_rows(resolved: dict[str, Any]) -> list[tuple[str, Any]]:
    """What vLLM was told: its engine arguments, then the variables it was given."""
    told, variables = (resolved.get(key) or {} for key in ("engine", "engine_environment"))
    return [*sorted(told.items()), *sorted(variables.items())]


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
