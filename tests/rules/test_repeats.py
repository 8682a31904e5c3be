"""Which of repeated performance tests is the result: the median, whatever looks better."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.config import Scenario
from harness.metrics import PerformanceResult
from harness.rules.evidence import Evidence, Repeat
from harness.rules.headline import figure_of
from harness.rules.repeats import median_number, middle
from harness.rules.verdict import judge
from tests.rules.changes import Change, assert_broken_alone, each_case
from tests.rules.runs import OFFLINE, SCENARIOS, SERVER, SINGLESTREAM, good

_KEYS = {
    OFFLINE: "result_tokens_per_second",
    SINGLESTREAM: "result_90.00_percentile_latency_ns",
}


def with_figure(test: PerformanceResult, scenario: Scenario, figure: float) -> PerformanceResult:
    """The same test with another published figure in LoadGen's log."""
    key = _KEYS.get(scenario, "result_completed_tokens_per_second")
    results = {**test.loadgen.results, key: figure}
    return dataclasses.replace(test, loadgen=dataclasses.replace(test.loadgen, results=results))


def of_figures(scenario: Scenario, figures: Sequence[float]) -> dict[int, PerformanceResult]:
    own = good(scenario).performance
    assert own is not None
    return {n: with_figure(own, scenario, f) for n, f in enumerate(figures, start=1)}


def repeated(figures: Sequence[float], own: int, asked: int | None = None) -> Change:
    """A run with tests of these figures, the one of this number in Performance/."""

    def change(evidence: Evidence) -> Evidence:
        tests = of_figures(evidence.scenario, figures)
        flags = {**evidence.config["flags"], "repeat": asked or len(figures)}
        return dataclasses.replace(
            evidence,
            config={**evidence.config, "flags": flags},
            performance=tests.pop(own),
            own_number=own,
            repeats=tuple(Repeat(n, test, evidence.samples) for n, test in tests.items()),
        )

    return change


CASES = {
    "median-of-repeats": [
        (OFFLINE, repeated([10.0, 12.0, 11.0], own=2)),  # the fastest
        (SERVER, repeated([10.0, 11.0], own=2)),  # of two the worse
        (OFFLINE, repeated([10.0, 12.0, 11.0], own=3, asked=5)),
        (OFFLINE, repeated([10.0], own=1, asked=3)),
        (SINGLESTREAM, repeated([1e9, 2e9, 3e9], own=1)),
    ]
}


@each_case(CASES)
def test_another_test_than_the_median_is_no_official_result(
    rule: str, scenario: Scenario, change: Change
) -> None:
    assert_broken_alone(rule, scenario, change)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_median_of_repeated_tests_keeps_every_rule(scenario: Scenario) -> None:
    found = judge(repeated([10.0, 12.0, 11.0], own=3)(good(scenario)))
    assert found.official, found.failed


def test_of_an_even_number_the_worse_of_the_two_in_the_middle_is_taken() -> None:
    assert median_number(of_figures(OFFLINE, [40.0, 10.0, 30.0, 20.0]), OFFLINE) == 4
    assert median_number(of_figures(SINGLESTREAM, [4e9, 1e9, 3e9, 2e9]), SINGLESTREAM) == 3


def test_a_test_without_a_figure_counts_as_the_worst() -> None:
    tests = of_figures(OFFLINE, [10.0, 20.0, 30.0])
    no_figure = dataclasses.replace(tests[3].loadgen, results={})
    tests[3] = dataclasses.replace(tests[3], loadgen=no_figure)
    assert figure_of(no_figure, OFFLINE) is None
    assert median_number(tests, OFFLINE) == 1


@given(st.lists(st.floats(0.1, 1e6), min_size=1, max_size=9), st.booleans())
def test_never_are_more_tests_worse_than_the_chosen_one_than_better(
    values: list[float], more_is_better: bool
) -> None:
    chosen = middle(values, more_is_better=more_is_better)
    above, below = sum(v > chosen for v in values), sum(v < chosen for v in values)
    better, worse = (above, below) if more_is_better else (below, above)
    assert chosen in values
    assert worse <= (len(values) - 1) // 2
    assert better <= len(values) // 2
