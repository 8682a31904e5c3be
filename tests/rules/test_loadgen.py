"""Rules on what LoadGen was: for each a run that breaks that one alone."""

from __future__ import annotations

import dataclasses

from harness.config import Scenario
from harness.rounds import V6_1
from tests.rules.changes import (
    Cases,
    Change,
    accuracy_log,
    assert_broken_alone,
    departed,
    each_case,
    performance_log,
    recorded,
)
from tests.rules.runs import INTERACTIVE, OFFLINE, SERVER, SINGLESTREAM

UNCOMMITTED = "Loadgen built with uncommitted changes!"

CASES: Cases = {
    "loadgen-release": [
        (OFFLINE, lambda e: accuracy_log(loadgen_version="5.0.22 @ 1")(
            performance_log(loadgen_version="5.0.22 @ 1")(e))),
        (SERVER, accuracy_log(loadgen_version="5.1.1 @ 1")),
        (SERVER, performance_log(loadgen_version=None)),
        (OFFLINE, accuracy_log(uncommitted=" M loadgen.cc")),
        (OFFLINE, performance_log(errors=(UNCOMMITTED,), results={"num_errors": 1})),
    ],
    "seeds": [
        *((SERVER, log(**{field.name: 7}))
          for field in dataclasses.fields(V6_1.seeds) for log in (performance_log, accuracy_log)),
        *((OFFLINE, log(**dataclasses.asdict(V6_1.seeds)))
          for log in (performance_log, accuracy_log)),
        (OFFLINE, departed("loadgen_seeds")),
    ],
    "loadgen-model": [
        (INTERACTIVE, recorded("resolved", loadgen_model="llama3_1-8b")),
        (INTERACTIVE, performance_log(requested={"server_ttft_latency": 2_000_000_000})),
        (SERVER, accuracy_log(requested={"server_tpot_latency": 30_000_000})),
        (OFFLINE, performance_log(requested={"use_token_latencies": False},
                                  effective={"sample_concatenate_permutation": False})),
    ],
    "loadgen-scenario": [
        (SERVER, performance_log(scenario="Offline")),
        (SINGLESTREAM, accuracy_log(scenario="Offline")),
        (OFFLINE, accuracy_log(mode="PerformanceOnly")),
    ],
    "loadgen-settings": [
        (OFFLINE, performance_log(effective={"accuracy_log_sampling_target": 100})),
        (SERVER, performance_log(effective={"target_latency_percentile": 0.9})),
        (SERVER, performance_log(requested={"server_coalesce_queries": True})),
        (SINGLESTREAM, performance_log(effective={"performance_issue_same": True})),
        (SINGLESTREAM, performance_log(effective={"max_query_count": 64})),
    ],
    "equal-issue": [
        (OFFLINE, performance_log(effective={"sample_concatenate_permutation": False})),
        (SERVER, performance_log(effective={"sample_concatenate_permutation": None})),
    ],
    "token-latencies": [
        (SERVER, performance_log(requested={"use_token_latencies": False})),
        (OFFLINE, accuracy_log(requested={"use_token_latencies": None})),
    ],
}  # fmt: skip


@each_case(CASES)
def test_the_verdict_names_the_broken_rule_and_no_other(
    rule: str, scenario: Scenario, change: Change
) -> None:
    assert_broken_alone(rule, scenario, change)
