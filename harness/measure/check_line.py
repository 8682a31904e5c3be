"""A line of `run.py check`: what was looked at, how it is, and the way out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.errors import BenchmarkError
from harness.language import phrase, text_of

OK, DOUBTFUL, MISSING = phrase("ok"), phrase("doubtful"), phrase("missing")


@dataclass(frozen=True)
class Line:
    """One thing that a run needs."""

    name: str
    state: str
    text: str  # what was found and, unless all is well, the way out


def asked(name: str, question: Callable[[], str | Line]) -> Line:
    """The line of a check that a run makes as well, which refuses by raising; a text is good."""
    try:
        answer = question()
    except BenchmarkError as error:
        return Line(name, MISSING, text_of(error))
    return answer if isinstance(answer, Line) else Line(name, OK, answer)
