"""Rules on the latencies of the performance test: for each a run that breaks that one alone."""

from __future__ import annotations

import shlex

from harness.config import Scenario
from harness.metrics import LatencyStats
from harness.rules.verdict import judge
from tests.rules.changes import (
    Cases,
    Change,
    assert_broken_alone,
    each_case,
    invalid,
    late,
    performance,
    performance_log,
    slow,
)
from tests.rules.runs import INTERACTIVE, SERVER, SINGLESTREAM, good

CASES: Cases = {
    "ttft": [
        (SERVER, slow(2000.1, "ttft")),
        (SERVER, slow(2000.0, "ttft")),  # the limit itself is too slow
        (SERVER, performance(ttft=None)),
        (INTERACTIVE, slow(500.0, "ttft")),
        (INTERACTIVE, performance(ttft=LatencyStats(p99_ms=600.0))),  # LoadGen says VALID
        (INTERACTIVE, lambda e: late(1000, ttft_s=0.6)(slow(600.0, "ttft")(e))),
    ],
    "tpot": [
        (SERVER, slow(100.0, "tpot")),
        (INTERACTIVE, slow(30.0, "tpot")),
        (INTERACTIVE, performance(tpot=LatencyStats(p99_ms=99.0))),
    ],
    "target-latency": [
        (SERVER, performance_log(effective={"target_latency_ns": 20_000_000_001})),
        (INTERACTIVE, performance_log(effective={"target_latency_ns": None})),
    ],
    "early-stopping": [
        (SERVER, invalid(early_stopping_met=False)),
        (SERVER, performance_log(results={"early_stopping_met": None})),
        (SERVER, late(108, ttft_s=2.1)),
        (INTERACTIVE, late(108, ttft_s=0.6)),
        (SINGLESTREAM, invalid(early_stopping_met=False)),
    ],
}  # fmt: skip


@each_case(CASES)
def test_the_verdict_names_the_broken_rule_and_no_other(
    rule: str, scenario: Scenario, change: Change
) -> None:
    assert_broken_alone(rule, scenario, change)


def test_limits_of_interactive_are_its_own_though_the_log_says_server() -> None:
    assert judge(performance(ttft=LatencyStats(p99_ms=600.0))(good(SERVER))).official
    (broken,) = judge(performance(ttft=LatencyStats(p99_ms=600.0))(good(INTERACTIVE))).failed
    assert broken.sentence == (
        "The slowest 1 % of the queries took 600.0 ms or more for the first token; Interactive "
        "allows less than 500.0 ms. Lower --server-target-qps (it was 1,000 queries/s)."
    )
    assert shlex.split(broken.remedy or "")[-2:] == ["--server-target-qps", "900"]
