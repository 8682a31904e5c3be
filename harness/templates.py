"""Texts made from jinja2 templates, Markdown and HTML, with the numbers of `formatting`."""

from __future__ import annotations

import functools
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import formatting, language
from harness.errors import BenchmarkError
from harness.language import phrase

if TYPE_CHECKING:
    from jinja2 import Environment
    from markupsafe import Markup

# What Markdown gives a meaning to in a cell of a table; # and the like have one at line starts.
_SIGNS = re.compile(r"([\\`*_\[\]<>|~$&])")
# Behind a slash or an underscore, but for a unit (tokens/s), and before the number of a line.
_JOINTS = re.compile(r"(?<=[^\W_][/_])(?=[^\W_]{2})|(?<=[^\W\d_])(?=:\d)")
_FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]*[a-z]")


def as_it_stands(text: str) -> str:
    """Somebody else's text for a cell of a table: read as it is, and never as Markdown or HTML."""
    return _SIGNS.sub(r"\\\1", printable(text))


def printable(text: str) -> str:
    """Somebody else's text on one line, without what only steers a screen."""
    letters = language.translated(text)
    seen = "".join(letter if letter.isprintable() else " " for letter in letters)
    return " ".join(seen.split())


def rich(text: str) -> Markup:
    """A sentence of ours for HTML, with the two marks of Markdown that sentences here have."""
    from markupsafe import Markup, escape

    safe = str(escape(language.translated(text)))
    safe = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", safe)
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", safe))


def breakable(text: str) -> Markup:
    """A name or a value for HTML, which may break at the joints of a name: mlperf_|log_|detail."""
    from markupsafe import Markup, escape

    return Markup(_JOINTS.sub("<wbr>", str(escape(printable(text)))))


def whole_flags(text: str) -> Markup:
    """A command or a sentence for HTML in which no line ends within a flag."""
    from markupsafe import Markup, escape

    safe = str(escape(language.translated(text)))
    return Markup(_FLAG.sub(r'<span class="flag">\g<0></span>', safe))


def render(name: str, /, *folders: Path, **values: Any) -> str:
    """A template filled in, one line end at its end; it may include others of these folders.

    Raises BenchmarkError when jinja2 is not installed.
    """
    html = name.endswith(".html.j2")
    environment = _environment(folders, language.chosen(), escapes=html)
    return environment.get_template(name).render(**values).rstrip() + "\n"


@functools.cache
def _environment(folders: tuple[Path, ...], chosen: str, *, escapes: bool) -> Environment:
    """What templates are filled in by; kept, as it holds the templates that it has compiled."""
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
        autoescape=escapes,
    )
    environment.globals |= {
        "joined": language.joined,
        "language": chosen,
        "phrase": language.phrase,
    }
    environment.filters |= {
        "as_it_stands": as_it_stands,
        "breakable": breakable,
        "cell": lambda value: language.translated(value).replace("|", "\\|").replace("\n", " "),
        "count": formatting.count,
        "duration": formatting.duration,
        "ms": formatting.milliseconds,
        "passed": {
            True: phrase("yes"),
            False: phrase("**no**"),
            None: phrase("not judged"),
        }.get,
        "points": lambda value: formatting.NOT_KNOWN if value is None else f"{value:.4f} %",
        "rate": formatting.rate,
        "rich": rich,
        "said": language.translated,
        "shown": printable,
        "share": lambda fraction: f"{formatting.percent(fraction, 1)} %",
        "whole_flags": whole_flags,
    }
    return environment
