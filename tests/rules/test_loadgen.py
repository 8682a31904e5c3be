"""Rules on what LoadGen was: for each a run that breaks that one alone."""

from __future__ import annotations

import dataclasses

import pytest

from harness.config import Scenario
from harness.rounds import V6_1
from harness.rules.evidence import Evidence
from harness.rules.verdict import judge
from tests.rules.changes import (
    Cases,
    Change,
    accuracy_log,
    assert_broken_alone,
    compliance_log,
    departed,
    each_case,
    performance_log,
    recorded,
    without,
)
from tests.rules.runs import INTERACTIVE, OFFLINE, SERVER, SINGLESTREAM, good

UNCOMMITTED = "Loadgen built with uncommitted changes!"


def both_by(version: str) -> Change:
    """Both tests by this LoadGen."""
    return lambda e: accuracy_log(loadgen_version=version)(
        performance_log(loadgen_version=version)(e)
    )


CASES: Cases = {
    "loadgen-release": [
        (OFFLINE, both_by("5.0.22 @ 1")),
        (SERVER, accuracy_log(loadgen_version="5.1.1 @ 1")),
        (SERVER, performance_log(loadgen_version=None)),
        (SERVER, accuracy_log(loadgen_version="5.1.0 @ 1")),
        (INTERACTIVE, both_by("5.1.0 @ 1")),
        (SINGLESTREAM, both_by("5.1.0 @ 1")),
        (OFFLINE, accuracy_log(uncommitted=" M loadgen.cc")),
        (OFFLINE, compliance_log(loadgen_version="5.1.1 @ 1")),
        (SERVER, compliance_log(loadgen_version=None)),
        (OFFLINE, performance_log(errors=(UNCOMMITTED,), results={"num_errors": 1})),
    ],
    "seeds": [
        *((SERVER, log(**{field.name: 7}))
          for field in dataclasses.fields(V6_1.seeds) for log in (performance_log, accuracy_log)),
        *((OFFLINE, log(**dataclasses.asdict(V6_1.seeds)))
          for log in (performance_log, accuracy_log)),
        (OFFLINE, departed("loadgen_seeds")),
        *((SERVER, compliance_log(**{field.name: None}))
          for field in dataclasses.fields(V6_1.seeds)),
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
        *((OFFLINE, performance_log(effective={name: None}))
          for name in ("max_duration_ms", "max_query_count", "accuracy_log_probability",
                       "performance_issue_same", "performance_issue_unique")),
        *((scenario, performance_log(effective={"max_async_queries": 7}))
          for scenario in (SERVER, INTERACTIVE)),
        (SERVER, performance_log(requested={"server_coalesce_queries": None})),
    ],
    "user-conf": [
        *((scenario, without(user_conf=text)) for scenario in (OFFLINE, SERVER, SINGLESTREAM)
          for text in (None, "", "*.Server.target_qps = 7\n")),
        (OFFLINE, lambda e: without(user_conf=f"{e.user_conf}*.Offline.min_duration = 1\n")(e)),
        (INTERACTIVE, performance_log(requested={"server_target_qps": 3.0})),
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


@pytest.mark.parametrize("version", ["5.1.0 @ 1", "5.1.1 @ 1", "5.1.2 @ 1"])
@pytest.mark.parametrize("scenario", [OFFLINE, SERVER])
def test_every_release_with_the_seeds_of_the_round_is_official(
    version: str, scenario: Scenario
) -> None:
    assert judge(both_by(version)(good(scenario))).official


@pytest.mark.parametrize(
    ("evidence", "name"),
    [
        (good(INTERACTIVE), "llama3_1-8b-interactive"),
        (good(SINGLESTREAM), "llama3_1-8b-edge"),
        (good(OFFLINE, edge=True), "llama3_1-8b-edge"),
    ],
)
def test_a_release_that_lacks_the_model_name_says_which(evidence: Evidence, name: str) -> None:
    (broken,) = judge(both_by("5.1.0 @ 1")(evidence)).failed

    assert f"LoadGen 5.1.0 has no settings for the model name {name}" in broken.sentence
    assert broken.remedy == "pip install mlcommons-loadgen==5.1.2"
