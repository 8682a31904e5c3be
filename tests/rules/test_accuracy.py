"""Rules on the accuracy test: for each a run that breaks that one alone."""

from __future__ import annotations

import pytest

from harness.config import Scenario
from harness.rounds import V5_1
from harness.rules.verdict import judge
from harness.scoring.accuracy import gate
from tests.rules.changes import (
    Cases,
    Change,
    accuracy_log,
    asked,
    assert_broken_alone,
    each_case,
    scored,
    smoke,
    without,
)
from tests.rules.runs import OFFLINE, SERVER, SINGLESTREAM, good, names

BELOW = V5_1.datacenter.accuracy.rouge1 / 100 * 0.98995

CASES: Cases = {
    "accuracy-errors": [
        (OFFLINE, accuracy_log(errors=("Odd.",))),
        (SINGLESTREAM, accuracy_log(ended=False)),
    ],
    "accuracy-samples": [
        (OFFLINE, lambda e: scored(gen_num=20)(without(answered=range(20))(
            accuracy_log(dataset_samples=20)(e)))),
        (SERVER, lambda e: scored(gen_num=20)(without(answered=range(20))(
            accuracy_log(effective={"accuracy_sample_count": 20})(e)))),
    ],
    "accuracy-complete": [
        (OFFLINE, without(answered=range(13_367))),
        (OFFLINE, without(answered=[*range(13_368), 0])),
        (SERVER, without(answered=[*range(13_368), 13_368])),
        (SERVER, without(answered=())),
        (SINGLESTREAM, scored(gen_num=20)),
    ],
    "scored-log": [
        (OFFLINE, without(accuracy_log_sha256="f" * 64)),
        (SINGLESTREAM, scored(log_sha256="f" * 64)),
    ],
    "accuracy-judged": [
        (OFFLINE, without(accuracy=None)),
        (SERVER, scored(passed=None, not_judged_because="There are no references.")),
        (SERVER, scored(passed=False)),
        (SERVER, scored(failures=("Some.",))),
        (OFFLINE, scored(thresholds={})),
        (OFFLINE, lambda e: scored(
            thresholds=e.accuracy.thresholds | {"gen_len_high": 9e9})(e)),  # type: ignore[union-attr]
        (OFFLINE, scored(rouge1=None)),
        (OFFLINE, scored(gen_len=None)),
    ],
    **{name: [(OFFLINE, scored(**{name: BELOW * share, "passed": False}))]
       for name, share in (("rouge1", 1), ("rouge2", 0.41), ("rougeL", 0.63), ("rougeLsum", 0.92))},
    "gen-len-low": [
        (OFFLINE, scored(gen_len=7_350_879, passed=False)),
        (SINGLESTREAM, scored(gen_len=2_746_001, passed=False)),
    ],
    "gen-len-high": [
        (OFFLINE, scored(gen_len=8_984_409)),
        (SINGLESTREAM, scored(gen_len=3_356_225)),
    ],
}  # fmt: skip


@each_case(CASES)
def test_the_verdict_names_the_broken_rule_and_no_other(
    rule: str, scenario: Scenario, change: Change
) -> None:
    assert_broken_alone(rule, scenario, change)


def test_a_missed_gate_of_a_smoke_run_is_no_broken_rule() -> None:
    few = scored(rouge1=0.1, gen_len=5, passed=False)(smoke(20)(good(OFFLINE)))
    assert names(judge(few)) == ["whole-data-set"]


def test_scores_of_before_the_log_was_recorded_are_a_doubt_and_no_broken_rule() -> None:
    judged = judge(scored(log_sha256=None)(good()))

    (rule,) = [rule for rule in judged.rules if rule.id == "scored-log"]
    assert judged.official
    assert (rule.outcome, rule.found) == ("not applicable", "not recorded")


def test_dummy_weights_are_not_asked_for_a_score() -> None:
    run = scored(passed=None, not_judged_because="Random.")(asked(weights="dummy")(good()))
    assert names(judge(run)) == ["weights"]


def test_a_log_of_far_too_many_samples_is_judged_at_once() -> None:
    run = accuracy_log(effective={"accuracy_sample_count": 10**14})(good())

    (complete,) = [rule for rule in judge(run).failed if rule.id == "accuracy-complete"]

    assert complete.found == "no answer to 99,999,999,986,632 of 100,000,000,000,000 samples"


def test_gates_are_the_official_ones_whatever_rouge_json_was_judged_by() -> None:
    easier = {"rouge1": 0.0, "rouge2": 0.0, "rougeL": 0.0, "rougeLsum": 0.0}
    run = scored(rouge1=0.2, passed=True, thresholds=easier)(good())
    assert names(judge(run)) == ["rouge1"]


def test_gate_is_held_against_the_figure_as_printed() -> None:
    minimum = gate(V5_1, "datacenter", 13368, high_accuracy=False)["rouge1"]
    assert minimum == pytest.approx(38.391408)
    assert names(judge(scored(rouge1=0.38391409)(good()))) == ["rouge1"]  # printed as 38.3914
    assert judge(scored(rouge1=0.38391451)(good())).official  # printed as 38.3915
