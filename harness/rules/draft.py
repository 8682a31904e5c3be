"""A command that is being made for a report to propose, beside the sentences that introduce it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from harness.command_line import value_of
from harness.config import Scenario
from harness.rules.evidence import Evidence


@dataclass(frozen=True)
class Draft:
    """A proposal before it is done; each change to its words adds a sentence to its why."""

    why: str
    words: list[str]


def scenario_of(evidence: Evidence, words: Sequence[str]) -> Scenario:
    """The scenario that a command would run."""
    return Scenario(value_of(words, "--scenario") or evidence.scenario)


def is_same(evidence: Evidence, words: Sequence[str], *flags: str) -> bool:
    """Whether a command gives these flags what the command of the run gave them."""
    return all(value_of(words, flag) == value_of(evidence.command, flag) for flag in flags)


def is_as_fast(evidence: Evidence, words: Sequence[str]) -> bool:
    """Whether a command measures what the run measured, so that its engine is no faster."""
    same = is_same(evidence, words, "--model", "--scenario", "--category")
    return same and value_of(words, "--mode") != "accuracy"


def number_of(words: Sequence[str], flag: str) -> float | None:
    """The number that a command gives a flag; None: none, or a word such as auto."""
    try:
        number = float(value_of(words, flag) or "")
    except ValueError:
        return None
    return number if math.isfinite(number) else None
