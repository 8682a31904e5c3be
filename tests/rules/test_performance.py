"""Rules on the performance test: for each a run that breaks that one alone."""

from __future__ import annotations

from harness.config import Scenario
from harness.metrics import LatencyStats
from tests.rules.changes import (
    Cases,
    Change,
    asked,
    assert_broken_alone,
    each_case,
    invalid,
    performance,
    performance_log,
)
from tests.rules.runs import INTERACTIVE, OFFLINE, SCENARIOS, SERVER, SINGLESTREAM

SHORT = {"result_min_duration_met": False}
RAN_OUT = "Ending early: Ran out of generated queries to issue before the minimum query count ..."

HEADLINES = {
    OFFLINE: "result_tokens_per_second",
    SERVER: "result_completed_tokens_per_second",
    INTERACTIVE: "result_completed_tokens_per_second",
    SINGLESTREAM: "result_90.00_percentile_latency_ns",
}

CASES: Cases = {
    "performance-errors": [
        (OFFLINE, performance_log(errors=("Odd.",), results={"num_errors": 1})),
        (SERVER, performance_log(results={"num_errors": 3})),
        # An error that only explains a test which ended early does not explain one that did not.
        (SINGLESTREAM, performance_log(errors=(RAN_OUT,), results={"num_errors": 1})),
    ],
    "loadgen-valid": [
        (OFFLINE, invalid(result_invalid_reason="Who knows.")),
        (SERVER, invalid()),
        (OFFLINE, performance_log(valid=None)),
        (SERVER, performance_log(ended=False, valid=None)),
        *((scenario, performance_log(results={"result_perf_constraints_met": value}))
          for scenario in (SERVER, INTERACTIVE) for value in (False, 0, None)),
        # A log that breaks off has no latencies either, which is no second cause.
        (SERVER, lambda e: performance(ttft=LatencyStats(), tpot=LatencyStats())(
            performance_log(ended=False, valid=None)(e))),
    ],
    "performance-samples": [
        (OFFLINE, performance(sample_count=20)),
        (OFFLINE, performance_log(effective={"samples_per_query": 20})),
        *((SERVER, performance_log(dataset_samples=value)) for value in (None, 0, 5_000)),
        (SINGLESTREAM, performance_log(effective={"performance_sample_count": 4_999})),
        (SERVER, performance_log(effective={"performance_sample_count": None})),
        (SERVER, performance_log(effective={"samples_per_query": None})),
        (SINGLESTREAM, performance_log(effective={"samples_per_query": 0})),
    ],
    "minimum-duration": [
        (OFFLINE, asked(min_duration_s=60.0)),
        (SERVER, performance_log(effective={"min_duration_ms": 120_000})),
        (SINGLESTREAM, performance_log(effective={"min_duration_ms": None})),
    ],
    "duration-reached": [
        *((scenario, invalid(**SHORT)) for scenario in SCENARIOS),
        (OFFLINE, performance_log(results=SHORT)),
        (SINGLESTREAM, lambda e: performance_log(errors=(RAN_OUT,), results={"num_errors": 1})(
            invalid(**SHORT)(e))),
    ],
    "headline-figure": [
        *((scenario, performance_log(results={key: value}))
          for scenario, key in HEADLINES.items() for value in (None, 0, -1.5, float("inf"))),
    ],
    "minimum-queries": [
        *((scenario, performance_log(effective={"min_query_count": value}))
          for scenario in SCENARIOS for value in (None, 0, True, "1")),
    ],
    "queries-reached": [
        (SERVER, invalid(result_min_queries_met=False)),
        (SINGLESTREAM, performance_log(results={"result_min_queries_met": False})),
    ],
}  # fmt: skip


@each_case(CASES)
def test_the_verdict_names_the_broken_rule_and_no_other(
    rule: str, scenario: Scenario, change: Change
) -> None:
    assert_broken_alone(rule, scenario, change)
