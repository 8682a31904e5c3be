"""Texts made from jinja2 templates, Markdown and HTML, with the numbers of `formatting`."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from harness import formatting, language
from harness.errors import BenchmarkError
from harness.language import phrase

# What Markdown gives a meaning to in a cell of a table; # and the like have one at line starts.
_SIGNS = re.compile(r"([\\`*_\[\]<>|~$&])")


def as_it_stands(text: str) -> str:
    """Somebody else's text for a cell of a table: read as it is, and never as Markdown or HTML."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return _SIGNS.sub(r"\\\1", " ".join(printable.split()))


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
        finalize=language.finalized,
        autoescape=name.endswith(".html.j2"),
    )
    environment.globals |= {
        "joined": language.joined,
        "language": language.chosen(),
        "phrase": language.phrase,
    }
    environment.filters |= {
        "as_it_stands": as_it_stands,
        "cell": lambda value: language.translated(value).replace("|", "\\|").replace("\n", " "),
        "count": formatting.count,
        "duration": formatting.duration,
        "joules": formatting.joules,
        "ms": formatting.milliseconds,
        "passed": {
            True: phrase("yes"),
            False: phrase("**no**"),
            None: phrase("not judged"),
        }.get,
        "points": lambda value: formatting.NOT_KNOWN if value is None else f"{value:.4f} %",
        "rate": formatting.rate,
        "share": lambda fraction: f"{formatting.percent(fraction, 1)} %",
    }
    return environment.get_template(name).render(**values).rstrip() + "\n"
