"""How long a proposed command will measure, and the sentence that says so before it is typed."""

from __future__ import annotations

from collections.abc import Sequence

from harness.command_line import value_of
from harness.config import LONGEST_TEST_S, Scenario
from harness.language import phrase
from harness.loadgen.planning import passes_that_last
from harness.rules.draft import Draft, is_as_fast, is_same, number_of, scenario_of
from harness.rules.enough_samples import samples
from harness.rules.evidence import Evidence

_WORTH_SAYING_S = 600.0  # the rules' own duration: what takes no longer surprises nobody
_RATE = "--server-target-qps"


def pace(evidence: Evidence, words: Sequence[str]) -> float | None:
    """Samples a second in the performance test of a command; None: there is nothing to tell it.

    Offline has none: the few samples of a first look leave an engine half empty.
    """
    if (rate := typed_rate(evidence, words)) is not None:
        return rate
    test = evidence.performance
    if test is None or not is_as_fast(evidence, words):
        return None
    if scenario_of(evidence, words) is Scenario.SINGLESTREAM:
        return (
            test.sample_count / test.duration_s if test.sample_count and test.duration_s else None
        )
    if typed_rate(evidence, evidence.command) is not None:
        return None  # its rate says nothing of one that is measured
    return (test.target_qps or None) if _has_a_rate(evidence, words) else None


def typed_rate(evidence: Evidence, words: Sequence[str]) -> float | None:
    """The rate that a command asks for, in a scenario that has one."""
    return number_of(words, _RATE) if _has_a_rate(evidence, words) else None


def lasts_too_long(count: int, rate: float) -> bool:
    """Whether a test of so many samples would be refused for its length."""
    return count / rate > LONGEST_TEST_S


def with_its_length(evidence: Evidence, draft: Draft) -> Draft:
    """The draft with a sentence on how long it takes, where that is longer than one expects."""
    per_second = pace(evidence, draft.words)
    if not per_second or value_of(draft.words, "--mode") == "accuracy":
        return draft
    seconds = _seconds(evidence, draft.words, per_second)
    if seconds <= _WORTH_SAYING_S:
        return draft
    kept = typed_rate(evidence, draft.words) and is_same(evidence, draft.words, _RATE)
    typed = value_of(draft.words, _RATE) if kept else None
    return Draft(_told(draft.why, seconds, typed), draft.words)


def _has_a_rate(evidence: Evidence, words: Sequence[str]) -> bool:
    return scenario_of(evidence, words) in (Scenario.SERVER, Scenario.INTERACTIVE)


def _seconds(evidence: Evidence, words: Sequence[str], per_second: float) -> float:
    """How long all performance tests of a command will take together."""
    count = samples(evidence, words)
    least_s = number_of(words, "--min-duration")
    if least_s is None:
        whole = count == evidence.category.dataset_samples
        least_s = evidence.official.min_duration_s if whole else 0.0
    passes = passes_that_last(per_second, sample_count=count, min_duration_s=least_s)
    return passes * count / per_second * (number_of(words, "--repeat") or 1)


def _told(why: str, seconds: float, typed: str | None) -> str:
    """In minutes or hours that stand in the sentence itself, so that it can be told by it."""
    minutes, hours = f"{seconds / 60:.0f}", f"{seconds / 3600:,.1f}"
    in_hours = seconds >= 2 * 3600
    if typed and in_hours:
        return phrase(
            "{why} --server-target-qps {rate} makes the measuring last about {hours} hours; "
            "without that flag the rate is measured.",
            why=why, rate=typed, hours=hours,
        )  # fmt: skip
    if typed:
        return phrase(
            "{why} --server-target-qps {rate} makes the measuring last about {minutes} minutes; "
            "without that flag the rate is measured.",
            why=why, rate=typed, minutes=minutes,
        )  # fmt: skip
    if in_hours:
        return phrase(
            "{why} Measuring takes about {hours} hours at a pace like this run's.",
            why=why, hours=hours,
        )  # fmt: skip
    return phrase(
        "{why} Measuring takes about {minutes} minutes at a pace like this run's.",
        why=why, minutes=minutes,
    )  # fmt: skip
