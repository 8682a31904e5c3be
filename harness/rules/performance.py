"""Rules on the performance test: its errors, its samples, its length."""

from __future__ import annotations

from harness import formatting
from harness.config import Scenario
from harness.language import phrase
from harness.logs.detail import number
from harness.rules import headline, validity
from harness.rules.advice import full_run, longer, repeat
from harness.rules.evidence import Evidence
from harness.rules.needs import FULL_PERFORMANCE, PERFORMANCE
from harness.rules.rule import (
    OFFICIAL,
    VALIDITY,
    Finding,
    failed,
    not_applicable,
    passed,
    rule,
)
from harness.rules.validity import PerformanceTest


@rule(
    "performance-errors",
    VALIDITY,
    source="CHK/checks/performance_check.py:111-540",
    required=phrase("LoadGen has no errors in the performance test"),
    needs=PERFORMANCE,
)
def _errors(evidence: Evidence, test: PerformanceTest) -> Finding:
    return validity.errors(test).with_remedy(repeat(evidence))


@rule(
    "loadgen-valid",
    VALIDITY,
    source="loadgen/results.cc:489-531",
    required=phrase("LoadGen says VALID"),
    needs=PERFORMANCE,
)
def _loadgen_valid(evidence: Evidence, test: PerformanceTest) -> Finding:
    return validity.loadgen_valid(test).with_remedy(repeat(evidence))


@rule(
    "performance-samples",
    OFFICIAL,
    source="CHK/checks/performance_check.py:111-540",
    required=lambda e: phrase(
        "the performance test has at least {samples:,} samples", samples=e.category.dataset_samples
    ),
    needs=FULL_PERFORMANCE,
)
def _samples(evidence: Evidence, test: PerformanceTest) -> Finding:
    minimum, run = evidence.category.dataset_samples, test.loadgen
    issued, whole = test.result.sample_count, run.dataset_samples
    drawn_from = run.effective.get("performance_sample_count")
    counts = {
        phrase("LoadGen's data set had {count}", count=_shown(whole)): whole,
        phrase("LoadGen drew from {count}", count=_shown(drawn_from)): drawn_from,
        phrase("LoadGen issued {count}", count=_shown(issued)): issued,
    }
    of_a_query = run.effective.get("samples_per_query")
    if evidence.scenario is Scenario.OFFLINE:
        what = phrase("LoadGen's query was of {count}", count=_shown(of_a_query))
        counts[what] = of_a_query
    elif (number(run.effective, "samples_per_query") or 0) < 1:
        counts[phrase("LoadGen's query was of {count}", count=_shown(None))] = None
    for what, value in counts.items():
        if isinstance(value, int) and value >= minimum:
            continue
        text = phrase(
            "{what} samples in the performance test; at least {minimum} are needed. Leave out "
            "--total-sample-count and run it again.",
            what=what,
            minimum=formatting.count(minimum),
        )
        return failed(what, text, full_run(evidence))
    return passed(formatting.count(issued))


def _shown(count: object) -> str:
    return formatting.count(count if isinstance(count, int) else None)


@rule(
    "minimum-duration",
    OFFICIAL,
    source="CHK/checks/performance_check.py:111-540",
    required=lambda e: phrase(
        "the performance test has to last {seconds} s", seconds=e.official.min_duration_s
    ),
    needs=PERFORMANCE,
    departure="min_duration",
)
def _minimum_duration(evidence: Evidence, test: PerformanceTest) -> Finding:
    """A smoke run has no minimum duration because of its size: one cause, told once."""
    minimum_s = evidence.official.min_duration_s
    if not evidence.full_size and evidence.flags.min_duration_s is None:
        return not_applicable(phrase("A smoke run has no minimum duration."))
    configured_ms = number(test.loadgen.effective, "min_duration_ms")
    duration = formatting.duration(None if configured_ms is None else configured_ms / 1000)
    if configured_ms is not None and configured_ms >= 1000 * minimum_s:
        return passed(duration)
    text = phrase(
        "The performance test was allowed to end after {duration}; the rules ask for at "
        "least {minimum_s}. Leave out --min-duration.",
        duration=duration,
        minimum_s=formatting.duration(minimum_s),
    )
    return failed(duration, text, full_run(evidence))


@rule(
    "duration-reached",
    VALIDITY,
    source="loadgen/results.cc:293-294",
    required=phrase("the performance test lasted as long as it had to"),
    needs=PERFORMANCE,
)
def _duration_reached(evidence: Evidence, test: PerformanceTest) -> Finding:
    return validity.duration(test).with_remedy(longer(evidence))


@rule(
    "queries-reached",
    VALIDITY,
    source="loadgen/results.cc:489-531",
    required=phrase("LoadGen issued all the queries it was to"),
    needs=PERFORMANCE,
)
def _queries_reached(evidence: Evidence, test: PerformanceTest) -> Finding:
    return validity.queries(test).with_remedy(repeat(evidence))


@rule(
    "headline-figure",
    VALIDITY,
    source="CHK/constants.py:1561-1566",
    required=phrase("LoadGen's log has the figure that the result is published by"),
    needs=PERFORMANCE,
)
def _headline(evidence: Evidence, test: PerformanceTest) -> Finding:
    return headline.headline(test).with_remedy(repeat(evidence))


@rule(
    "minimum-queries",
    OFFICIAL,
    source="CHK/checks/performance_check.py:111-540",
    required=phrase("LoadGen had to issue at least one query"),
    needs=PERFORMANCE,
)
def _minimum_queries(evidence: Evidence, test: PerformanceTest) -> Finding:
    configured = number(test.loadgen.effective, "min_query_count")
    count = formatting.count(None if configured is None else int(configured))
    if configured is not None and configured >= 1:
        return passed(count)
    text = phrase(
        "LoadGen's log gives {count} as the minimum number of queries (min_query_count), and "
        "a submission needs at least 1. Run it again with the user.conf of this program.",
        count=count,
    )
    return failed(count, text, full_run(evidence))


PERFORMANCE_RULES = (
    _errors,
    _loadgen_valid,
    _samples,
    _minimum_duration,
    _duration_reached,
    _queries_reached,
    _headline,
    _minimum_queries,
)
