"""The verdict: runs that keep every rule, one cause told once, and all rules together."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.config import RunConfig, Scenario
from harness.rules import verdict
from harness.rules.departures import RunFacts, departures
from harness.rules.verdict import INVALID, OFFICIAL_READY, judge
from tests.rules import (
    test_accuracy,
    test_latency,
    test_loadgen,
    test_performance,
    test_repeats,
    test_run,
    test_settings,
)
from tests.rules.changes import (
    Change,
    accuracy_log,
    asked,
    assert_broken_alone,
    departed,
    each_case,
    performance,
    performance_log,
    recorded,
    scored,
    slow,
    smoke,
    without,
)
from tests.rules.runs import (
    INTERACTIVE,
    OFFLINE,
    SCENARIOS,
    SERVER,
    SINGLESTREAM,
    good,
    names,
)

CASES = {
    **test_run.CASES,
    **test_settings.CASES,
    **test_loadgen.CASES,
    **test_performance.CASES,
    **test_latency.CASES,
    **test_accuracy.CASES,
    **test_repeats.CASES,
    "other-departures": [(OFFLINE, departed("something new"))],
}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_full_run_that_keeps_every_rule_is_official_ready(scenario: Scenario) -> None:
    found = judge(good(scenario))
    assert (found.result, found.official, found.failed) == (OFFICIAL_READY, True, ())


def test_edge_offline_is_official_ready_without_a_compliance_test() -> None:
    found = judge(good(OFFLINE, edge=True))
    assert found.official
    outcomes = {rule.id: rule.outcome for rule in found.rules}
    assert outcomes["compliance-test06"] == outcomes["early-stopping"] == "not applicable"


def test_a_rule_of_the_scenario_is_asked_and_one_of_another_is_not() -> None:
    asked = {s: {r.id for r in judge(good(s)).rules if r.outcome == "passed"} for s in SCENARIOS}
    of_server = {"ttft", "tpot", "target-latency"}
    assert of_server <= asked[SERVER] and of_server <= asked[INTERACTIVE]
    assert not of_server & (asked[OFFLINE] | asked[SINGLESTREAM])
    assert "early-stopping" in asked[SINGLESTREAM] - asked[OFFLINE]
    everything = {spec.id for spec in verdict.SPECS}
    assert set.union(*asked.values()) == everything


def test_every_rule_has_a_run_that_breaks_it() -> None:
    ids = [spec.id for spec in verdict.SPECS]
    assert sorted(ids) == sorted(CASES)
    assert len(set(ids)) == len(ids)


@each_case({"other-departures": CASES["other-departures"]})
def test_a_departure_that_no_rule_knows_is_not_lost(
    rule: str, scenario: Scenario, change: Change
) -> None:
    assert_broken_alone(rule, scenario, change)


@each_case(CASES)
def test_a_performance_test_counts_just_where_no_validity_rule_on_it_is_broken(
    rule: str, scenario: Scenario, change: Change
) -> None:
    evidence = change(good(scenario))
    (broken,) = judge(evidence).failed
    reasons = verdict.invalid_reasons(evidence)
    if rule in test_accuracy.CASES or rule == "finished" or "accuracy log" in broken.sentence:
        assert reasons == ()
    else:
        assert reasons == ((broken.sentence,) if broken.kind == "validity" else ())


def test_each_departure_of_a_run_is_one_rule() -> None:
    everything = departures(
        RunConfig(model="demo", weights="dummy", max_new_tokens=64, high_accuracy=True,
                  total_sample_count=20),
        RunFacts(20, "Other data.", None, True, "6.0", ("speculative_config",), chat_template=True),
    )  # fmt: skip
    halves = [departures(RunConfig(mode=mode), RunFacts(13368, None, None, False, "5.1"))
              for mode in ("accuracy", "performance")]  # fmt: skip
    recorded_ids = {departure.id for found in (everything, *halves) for departure in found}
    known = [spec.departure for spec in verdict.SPECS if spec.departure]
    assert sorted(known) == sorted(recorded_ids)


def test_a_smoke_run_is_told_that_it_is_small_once() -> None:
    for scenario in (OFFLINE, SERVER, INTERACTIVE):
        found = judge(smoke(1000)(good(scenario)))
        assert names(found) == ["whole-data-set"]


def test_broken_validity_comes_before_what_is_only_unofficial() -> None:
    run = slow(3000.0, "ttft")(asked(max_new_tokens=64)(good(SERVER)))
    found = judge(run)
    assert (found.result, names(found)) == (INVALID, ["ttft", "max-new-tokens"])


# Twenty samples

FULL_SIZE_CLAIMS: dict[str, Change] = {
    "settings": recorded("resolved", sample_count=20),
    "performance log": performance_log(effective={"performance_sample_count": 20}),
    "issued": performance(sample_count=20),
    "accuracy log": accuracy_log(dataset_samples=20),
    "answers": without(answered=range(20)),
    "scores": scored(gen_num=20, total_samples=20),
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    scenario=st.sampled_from(SCENARIOS),
    places=st.sets(st.sampled_from(sorted(FULL_SIZE_CLAIMS)), min_size=1),
    precision=st.sampled_from(("bf16", "fp16", "fp8")),
    high_accuracy=st.booleans(),
    min_duration_s=st.sampled_from((None, 0.0, 600.0)),
    no_departures=st.booleans(),
)
def test_twenty_samples_are_never_official_wherever_the_folder_says_so(
    scenario: Scenario, places: set[str], no_departures: bool, **flags: Any
) -> None:
    evidence = asked(**flags)(good(scenario))
    for place in sorted(places):
        evidence = FULL_SIZE_CLAIMS[place](evidence)
    if no_departures:
        evidence = without(config=evidence.config | {"departures": []})(evidence)
    assert not judge(evidence).official
