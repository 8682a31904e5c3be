"""The answers that a report shows: the worst, the median and the best of the accuracy test."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from harness.language import phrase
from harness.metrics import ReadableAnswer

_SHOWN = 3


def chosen(answers: Sequence[ReadableAnswer]) -> list[dict[str, Any]]:
    """Three answers by rougeL, or the first three where nothing was scored; fewer of fewer."""
    scored = [answer for answer in answers if answer.rougeL is not None]
    if not scored:
        return [_example(phrase("an answer"), answer) for answer in answers[:_SHOWN]]
    ranked = sorted(scored, key=lambda answer: (answer.rougeL, answer.rouge1, answer.index))
    places = {
        0: phrase("worst"),
        len(ranked) // 2: phrase("median"),
        len(ranked) - 1: phrase("best"),
    }
    return [_example(which, ranked[place]) for place, which in sorted(places.items())]


def _example(which: str, answer: ReadableAnswer) -> dict[str, Any]:
    return {"which": which, **dataclasses.asdict(answer)}
