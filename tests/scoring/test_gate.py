"""The gate is the submission checker's, and rouge.json says what was held against it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from harness import rounds
from harness.scoring import accuracy
from harness.scoring.accuracy import RougeScores
from harness.scoring.rouge import ROUGE_TYPES

V5_1 = rounds.V5_1


def scores(**changes: float) -> RougeScores:
    """Exactly the published values of the datacenter category, as fractions."""
    targets = V5_1.datacenter.accuracy
    values = {name: getattr(targets, name) / 100 for name in ROUGE_TYPES} | changes
    return RougeScores(**{"gen_len": targets.gen_len, "gen_num": 13368} | values)


def failures(values: RougeScores, *, high_accuracy: bool = False) -> tuple[str, ...]:
    result = accuracy.judge(
        values, V5_1, "datacenter", high_accuracy=high_accuracy, not_judged_because=None
    )
    assert result.passed == (not result.failures)
    return result.failures


def test_the_published_scores_pass() -> None:
    assert failures(scores()) == ()
    assert failures(scores(), high_accuracy=True) == ()


def test_a_rouge_value_is_judged_on_its_four_printed_decimals() -> None:
    # The gate is 0.99 * 38.7792 = 38.391408: 38.39141 prints as 38.3914, which lies below it.
    assert failures(scores(rouge1=0.3839141)) == (
        "rouge1 is 38.3914, and the gate asks for at least 38.3914. Check the model revision, the "
        "precision, the prompt, and that no answer is cut short.",
    )
    assert failures(scores(rouge1=0.3839146)) == ()  # prints as 38.3915


def test_each_value_has_its_gate() -> None:
    low = {name: getattr(V5_1.datacenter.accuracy, name) / 100 * 0.98 for name in ROUGE_TYPES}
    found = failures(scores(**low))
    assert [sentence.split()[0] for sentence in found] == list(ROUGE_TYPES)
    assert found[2] == "rougeL is 24.0058, and the gate asks for at least 24.2507."


def test_high_accuracy_asks_for_99_9_percent() -> None:
    values = scores(rougeLsum=0.35793 * 0.995)
    assert failures(values) == ()
    (failure,) = failures(values, high_accuracy=True)
    assert failure.startswith("rougeLsum is 35.6140, and the gate asks for at least 35.7572.")


def test_the_length_is_judged_both_ways() -> None:
    assert failures(scores(gen_len=7350880)) == ()
    assert failures(scores(gen_len=7350879)) == (
        "The summaries have 7,350,879 characters, and the gate asks for at least 7,350,880. The "
        "answers end too early: check --max-new-tokens and the end-of-text tokens.",
    )
    assert failures(scores(gen_len=8984408)) == ()
    assert failures(scores(gen_len=8984409)) == (
        "The summaries have 8,984,409 characters, and the gate allows at most 8,984,408. The "
        "answers run on: check --max-new-tokens and the end-of-text tokens.",
    )


def test_the_length_of_fewer_samples_is_judged_in_proportion() -> None:
    assert failures(scores(gen_num=20, gen_len=20 * 611)) == ()
    assert failures(scores(gen_num=20, gen_len=20 * 500)) != ()


def test_the_edge_category_has_targets_of_its_own() -> None:
    found = accuracy.gate(V5_1, "edge", 5000, high_accuracy=False)
    assert found == pytest.approx(
        {
            "rouge1": 38.6694,
            "rouge2": 15.953553,
            "rougeL": 24.391125,
            "rougeLsum": 35.76276,
            "gen_len_low": 2746001.7,
            "gen_len_high": 3356224.3,
        }
    )


def test_what_cannot_be_judged_neither_passes_nor_fails() -> None:
    result = accuracy.judge(
        scores(rouge1=0.1), V5_1, "datacenter", high_accuracy=False, not_judged_because="Dummy."
    )
    assert (result.passed, result.failures, result.not_judged_because) == (None, (), "Dummy.")
    unscored = accuracy.not_judged(20, "No references.")
    assert (unscored.total_samples, unscored.gen_num, unscored.rouge1) == (20, 20, None)


def test_rouge_json_holds_scores_baseline_and_thresholds_and_reads_back() -> None:
    result = accuracy.judge(
        scores(rougeL=0.2), V5_1, "datacenter", high_accuracy=False, not_judged_because=None
    )
    value = accuracy.to_rouge_json(result, V5_1, "datacenter", high_accuracy=False)
    value = json.loads(json.dumps(value, allow_nan=False))
    assert value["rougeLsum"] == pytest.approx(0.35793)
    assert value["baseline"] == {
        "rouge1": 38.7792,
        "rouge2": 15.9075,
        "rougeL": 24.4957,
        "rougeLsum": 35.793,
        "gen_len": 8167644,
    }
    assert value["gate_multiplier"] == 0.99
    assert value["threshold_rougeLsum"] == pytest.approx(35.43507)
    assert value["threshold_gen_len_low"] == pytest.approx(7350879.6)
    assert (value["run_gen_len"], value["run_gen_num"], value["passed"]) == (8167644, 13368, False)
    assert accuracy.from_rouge_json(value) == result


def test_an_unscored_result_reads_back_too() -> None:
    result = accuracy.not_judged(20, "No references.")
    value = accuracy.to_rouge_json(result, V5_1, "edge", high_accuracy=True)
    assert value["gate_multiplier"] == 0.999
    assert accuracy.from_rouge_json(value) == result


def scored_json() -> dict[str, Any]:
    """rouge.json of the published scores."""
    result = accuracy.judge(
        scores(), V5_1, "datacenter", high_accuracy=False, not_judged_because=None
    )
    return accuracy.to_rouge_json(result, V5_1, "datacenter", high_accuracy=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rouge1": 1.39}, "rouge1 is 1.39 and not a share from 0 to 1"),
        ({"rouge2": None}, "rouge2 is None and not a share from 0 to 1"),
        ({"threshold_rougeL": None}, "threshold_rougeL is None and not a number"),
        ({"run_gen_num": 0}, "run_gen_num is 0 and not a whole number from 1 on"),
        ({"run_gen_num": 13367}, "total_samples and run_gen_num differ"),
        ({"failures": "none"}, "failures is 'none' and not a list"),
        ({"passed": "yes"}, "passed is 'yes' and not true or false"),
        ({"accuracy_log_sha256": 7}, "accuracy_log_sha256 is 7 and not a text"),
    ],
)
def test_what_is_wrong_in_a_rouge_json_is_named(change: dict[str, object], words: str) -> None:
    value = scored_json()

    with pytest.raises(ValueError, match=words):
        accuracy.from_rouge_json(value | change)


def test_a_rouge_json_without_its_thresholds_is_no_score() -> None:
    value = scored_json()

    with pytest.raises(ValueError, match="it has no threshold_rouge1"):
        accuracy.from_rouge_json({k: v for k, v in value.items() if "threshold" not in k})


@pytest.mark.parametrize("fraction", [0.387792, 0.3879125, 0.24495750000000003, 0.0, 1.0])
def test_percent_is_rounded_as_numpy_does(fraction: float) -> None:
    printed = f"{round(np.mean([fraction, fraction]) * 100, 4)}"
    assert f"{accuracy.printed_percent(fraction)}" == printed
