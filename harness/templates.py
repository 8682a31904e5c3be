"""Texts made from jinja2 templates: Markdown, with the numbers and units of `formatting`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import formatting
from harness.errors import BenchmarkError


def render(name: str, /, *folders: Path, **values: Any) -> str:
    """A template filled in, one line end at its end; it may include others of these folders.

    Raises BenchmarkError when jinja2 is not installed.
    """
    try:
        import jinja2
    except ImportError:
        raise BenchmarkError(
            "Reports and submissions need jinja2: pip install jinja2, or run `make venv`."
        ) from None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # Markdown, not HTML
    )
    environment.filters |= {
        "cell": lambda value: str(value).replace("|", "\\|").replace("\n", " "),
        "count": formatting.count,
        "duration": formatting.duration,
        "joules": formatting.joules,
        "ms": formatting.milliseconds,
        "passed": {True: "yes", False: "**no**", None: "not judged"}.get,
        "points": lambda value: formatting.NOT_KNOWN if value is None else f"{value:.4f} %",
        "rate": formatting.rate,
    }
    return environment.get_template(name).render(**values).rstrip() + "\n"
