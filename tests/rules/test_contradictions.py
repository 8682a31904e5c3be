"""Which tests have records that contradict each other, and by which rules that is told."""

from __future__ import annotations

import pytest

from harness.config import Scenario
from harness.rules.contradictions import RULES, contradictions, credible
from harness.rules.verdict import SPECS, judge
from tests.rules.changes import (
    Change,
    accuracy_log,
    invalid,
    late,
    performance_log,
    scored,
    slow,
    without,
)
from tests.rules.runs import OFFLINE, SCENARIOS, SERVER, good

VALID = "LoadGen's VALID"


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_run_that_keeps_every_rule_has_none(scenario: Scenario) -> None:
    assert contradictions(good(scenario), judge(good(scenario)).failed) == {}


def test_a_log_that_is_not_there_contradicts_nothing() -> None:
    gone = without(answered=(), accuracy_log_sha256=None)(good(OFFLINE))

    assert "accuracy-complete" in [rule.id for rule in judge(gone).failed]
    assert contradictions(gone, judge(gone).failed) == {}


@pytest.mark.parametrize(
    ("scenario", "change", "found"),
    [
        (OFFLINE, without(accuracy_log_sha256="f" * 64), {"accuracy": ["scored-log"]}),
        (OFFLINE, without(answered=[*range(13_368), 0]), {"accuracy": ["accuracy-complete"]}),
        (SERVER, accuracy_log(ended=False), {"accuracy": ["accuracy-errors"]}),
        (SERVER, accuracy_log(scenario="Offline"), {"accuracy": ["loadgen-scenario"]}),
        (OFFLINE, performance_log(mode="AccuracyOnly"), {"performance": ["loadgen-scenario"]}),
        (
            OFFLINE,
            performance_log(results={"result_min_duration_met": False}),
            {"performance": [VALID, "duration-reached"]},
        ),
        (
            OFFLINE,
            performance_log(results={"result_min_queries_met": False}),
            {"performance": [VALID, "queries-reached"]},
        ),
        (
            SERVER,
            performance_log(results={"result_perf_constraints_met": False}),
            {"performance": [VALID, "loadgen-valid"]},
        ),
        (
            SERVER,
            performance_log(results={"early_stopping_met": False}),
            {"performance": [VALID, "early-stopping"]},
        ),
    ],
)
def test_what_contradicts_is_told_of_the_test_that_it_is_of(
    scenario: Scenario, change: Change, found: dict[str, list[str]]
) -> None:
    changed = change(good(scenario))
    assert contradictions(changed, judge(changed).failed) == found


@pytest.mark.parametrize(
    ("scenario", "change"),
    [
        (OFFLINE, invalid(result_min_duration_met=False)),
        (SERVER, slow(3000.0, "ttft")),
        (SERVER, late(200, ttft_s=3.0)),  # by our own clock, which is not LoadGen's
        (OFFLINE, scored(rouge1=0.1, passed=False)),
        (OFFLINE, accuracy_log(errors=("Odd.",))),
    ],
)
def test_a_run_that_is_invalid_need_not_contradict_itself(
    scenario: Scenario, change: Change
) -> None:
    changed = change(good(scenario))
    judged = judge(changed)
    assert judged.result == "INVALID"
    assert contradictions(changed, judged.failed) == {}


def test_what_is_left_is_the_other_test() -> None:
    run = good(SERVER)
    without_scores, without_times = credible(run, ["accuracy"]), credible(run, ["performance"])
    assert (without_scores.accuracy, without_scores.performance) == (None, run.performance)
    assert (without_times.accuracy, without_times.performance) == (run.accuracy, None)
    assert not without_times.samples and not without_scores.answer_lengths


def test_the_rules_on_one_test_alone_are_rules_of_the_verdict() -> None:
    names = {spec.id for spec in SPECS}
    assert RULES["accuracy"] < names and RULES["performance"] < names
    assert not RULES["accuracy"] & RULES["performance"]
