"""Which of repeated performance tests stands for the run: the median, and never a better one."""

from __future__ import annotations

from collections.abc import Mapping

from harness.config import Scenario
from harness.language import phrase
from harness.metrics import PerformanceResult
from harness.rules.advice import repeat
from harness.rules.evidence import Evidence
from harness.rules.headline import figure_of
from harness.rules.rule import OFFICIAL, Finding, failed, not_applicable, passed, rule


def middle(values: list[float], *, more_is_better: bool) -> float:
    """The median; of the two in the middle of an even number, the worse."""
    worst_first = sorted(values, reverse=not more_is_better)
    return worst_first[(len(values) - 1) // 2]


def more_is_better(scenario: Scenario) -> bool:
    """Whether a higher figure of the scenario is the better one: all but SingleStream's latency."""
    return scenario is not Scenario.SINGLESTREAM


def median_number(tests: Mapping[int, PerformanceResult], scenario: Scenario) -> int:
    """The number of the median test by the figure that results of the scenario are published by.

    Every test counts, whether VALID or not; one without the figure counts as worse than all others.
    """
    up = more_is_better(scenario)
    worst = float("-inf") if up else float("inf")
    figures = {number: figure_of(test.loadgen, scenario) for number, test in tests.items()}
    known = {number: worst if found is None else found for number, found in figures.items()}
    chosen = middle(list(known.values()), more_is_better=up)
    return next(number for number, figure in known.items() if figure == chosen)


@rule(
    "median-of-repeats",
    OFFICIAL,
    source="config.json",
    required=phrase("of repeated performance tests, the median is the result"),
)
def median_of_repeats(evidence: Evidence) -> Finding:
    """The fastest of several tests would say more than the machine can do again."""
    if evidence.performance is None:
        return not_applicable(phrase("There is no performance test."))
    if not evidence.repeats and evidence.flags.repeat == 1:
        return passed(phrase("one test"))
    tests = evidence.performance_tests
    measured, asked = len(tests), evidence.flags.repeat
    if asked != measured:
        text = phrase(
            "The performance test was to run {asked} times, and the run folder holds {measured} "
            "tests, so nobody can tell which the median is.",
            asked=asked,
            measured=measured,
        )
        return failed(phrase("{tests} tests", tests=measured), text, repeat(evidence))
    median = median_number(tests, evidence.scenario)
    if evidence.own_number == median:
        return passed(phrase("test {number} of {tests}", number=median, tests=measured))
    text = phrase(
        "Of {tests} performance tests the median is test {median}, and Performance/ holds test "
        "{own}.",
        tests=measured,
        median=median,
        own=evidence.own_number,
    )
    return failed(phrase("test {number}", number=evidence.own_number), text, repeat(evidence))
