"""The one figure that a result is published by, and whether LoadGen's log has it."""

from __future__ import annotations

from harness.config import Scenario
from harness.language import phrase
from harness.logs.detail import number
from harness.metrics import LoadGenRun
from harness.rules.rule import Finding, failed, not_applicable, passed
from harness.rules.validity import BROKEN_OFF, PerformanceTest

# The one figure a result is published by (CHK/constants.py:1561-1566), and what it says.
_HEADLINES = {
    Scenario.OFFLINE: ("result_tokens_per_second", phrase("tokens per second")),
    Scenario.SERVER: ("result_completed_tokens_per_second", phrase("completed tokens per second")),
    Scenario.INTERACTIVE: (
        "result_completed_tokens_per_second",
        phrase("completed tokens per second"),
    ),
    Scenario.SINGLESTREAM: (
        "result_90.00_percentile_latency_ns",
        phrase("90th percentile of latency"),
    ),
}


def figure_of(loadgen: LoadGenRun, scenario: Scenario) -> float | None:
    """The published figure of a test; None where LoadGen's log has none."""
    return number(loadgen.results, _HEADLINES[scenario][0])


def headline_figure(test: PerformanceTest) -> tuple[str, str, float | None]:
    """LoadGen's key of the published figure, what it is in words, and the figure (None: absent)."""
    key, words = _HEADLINES[test.scenario]
    return key, words, figure_of(test.loadgen, test.scenario)


def headline(test: PerformanceTest) -> Finding:
    """Whether LoadGen's log has the figure that the result is published by."""
    if not test.loadgen.ended:
        return not_applicable(BROKEN_OFF)
    key, words, figure = headline_figure(test)
    if figure is not None and figure > 0:
        return passed(f"{key} {figure:g}")
    logged = phrase("nothing") if figure is None else f"{figure:g}"
    text = phrase(
        "LoadGen's log has no usable {words} ({key} is {logged}), which is the figure of "
        "{scenario}: without it there is no result. Run it again.",
        words=words,
        key=key,
        logged=logged,
        scenario=test.scenario.label,
    )
    return failed(phrase("{key} is {logged}", key=key, logged=logged), text)
