"""ROUGE is bit for bit the official evaluation's, and the gate is the submission checker's."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer, tokenizers

from harness import rounds
from harness.errors import BenchmarkError
from harness.scoring import accuracy, rouge
from harness.scoring.accuracy import RougeScores
from harness.scoring.rouge import ROUGE_TYPES

ROOT = Path(__file__).resolve().parents[2]
# Words that stemming and splitting treat in their own ways.
VOCABULARY = """police running runs ran nations national generously dying flies Mr. U.S. 1,200 3.5%
    \u00a340m it's don't caf\u00e9 na\u00efve of. state-of-the-art on a in the who?
    \u201cquoted\u201d president's"""
WORDS = VOCABULARY.split()
V5_1 = rounds.V5_1
OFFICIAL_LCS_TABLE = rouge_scorer._lcs_table  # before the scorer replaces it


def text(rng: random.Random, words: int) -> str:
    parts = [
        rng.choice(WORDS) + rng.choice(["", "", "", ".", "\n", " ", "!"]) for _ in range(words)
    ]
    return " ".join(parts)


def texts(count: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Predictions of about 100 words and references of about 50."""
    rng = random.Random(seed)
    predictions = [text(rng, rng.randint(0, 110)) for _ in range(count)]
    return predictions, [text(rng, rng.randint(1, 60)) for _ in range(count)]


def official(predictions: Sequence[str], references: Sequence[str]) -> dict[str, object]:
    """evaluation.py of the reference implementation, with rouge_score as it comes."""
    code = """
import json, sys, nltk, numpy as np
from rouge_score.rouge_scorer import RougeScorer
predictions, references = json.load(sys.stdin)
def postprocess(texts):
    return ["\\n".join(nltk.sent_tokenize(text.strip())) for text in texts]
predictions, references = postprocess(predictions), postprocess(references)
types = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
scorer = RougeScorer(types, use_stemmer=True)
scores = [scorer.score(r, p) for p, r in zip(predictions, references)]
result = {t: float(np.mean([s[t].fmeasure for s in scores])) for t in types}
result |= {"gen_len": sum(len(p) for p in predictions), "gen_num": len(predictions)}
print(json.dumps(result))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=json.dumps([predictions, references]),
        capture_output=True,
        text=True,
        check=True,
    )
    result: dict[str, object] = json.loads(done.stdout)
    return result


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


def test_scores_are_bit_for_bit_those_of_the_official_evaluation() -> None:
    predictions, references = texts(260)
    found = accuracy.score(predictions, references, processes=1)
    assert dataclasses.asdict(found) == official(predictions, references)


def test_several_processes_give_the_same_digits_as_one() -> None:
    predictions, references = texts(510, seed=1)
    predictions = [prediction[:100] for prediction in predictions]
    one = accuracy.score(predictions, references, processes=1)
    assert accuracy.score(predictions, references, processes=2) == one


@settings(max_examples=500, deadline=None)
@given(st.text("abcd", max_size=90), st.text("abcd", max_size=90))
def test_the_fast_common_subsequences_are_the_official_ones(a: str, b: str) -> None:
    table = OFFICIAL_LCS_TABLE(a, b)
    assert [row.bit_count() for row in rouge.lcs_rows(a, b)] == [row[-1] for row in table]
    assert rouge.lcs_indexes(a, b) == rouge_scorer._backtrack_norec(table, a, b)


@settings(max_examples=300, deadline=None)
@given(st.text() | st.lists(st.sampled_from(WORDS)).map(" ".join))
def test_the_fast_tokenizer_is_the_official_one(value: str) -> None:
    official_tokenizer = tokenizers.DefaultTokenizer(use_stemmer=True)
    assert rouge.scorer()._tokenizer.tokenize(value) == official_tokenizer.tokenize(value)


def test_a_score_counted_by_hand() -> None:
    # 3 of 3 predicted words and 3 of 6 reference words: F = 2 * 1 * 0.5 / 1.5
    found = accuracy.score([" The cat sat. "], ["The cat sat on the mat."], processes=1)
    assert found.rouge1 == pytest.approx(2 / 3)
    assert found.rouge2 == pytest.approx(2 * 1 * 0.4 / 1.4)  # 2 of 2 pairs, 2 of 5 pairs
    assert found.gen_len == len("The cat sat.")
    assert found.gen_num == 1


def test_length_counts_one_newline_between_sentences() -> None:
    found = accuracy.score(["One here.   Two there.\n"], ["x"], processes=1)
    assert found.gen_len == len("One here.\nTwo there.")


def test_an_empty_prediction_scores_nothing_and_breaks_nothing() -> None:
    found = accuracy.score(["", "a cat"], ["a cat", "a cat"], processes=1)
    assert found.rouge1 == 0.5


def test_lists_of_different_lengths_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="1 predictions and 2 references"):
        accuracy.score(["a"], ["a", "b"])


def test_a_worker_that_dies_is_an_error_and_leaves_no_process_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accuracy, "score_chunk", os._exit)
    exit_statuses: Any = [1, 1, 1, 1]
    before = psutil.Process().children()  # of other tests, which may still be ending
    with pytest.raises(BenchmarkError, match="A process that computes ROUGE died"):
        accuracy._score_in_processes(exit_statuses, 2)
    new = [child for child in psutil.Process().children() if child not in before]
    alive = [child for child in new if child.status() != psutil.STATUS_ZOMBIE]
    assert [child for child in alive if "spawn_main" in " ".join(child.cmdline())] == []


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_their_parent_however_it_ends(how: signal.Signals, tmp_path: Path) -> None:
    program = tmp_path / "score.py"
    program.write_text(
        "from harness.scoring import accuracy\n"
        "if __name__ == '__main__':\n"
        "    accuracy.score(['word ' * 100] * 9000, ['word ' * 60] * 9000, processes=2)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, str(program)],
        env=environment,
        stderr=subprocess.DEVNULL,
        # Whoever runs the tests in the background ignores interrupts, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        workers = wait_for_workers(psutil.Process(process.pid))
        process.send_signal(how)
        assert process.wait(timeout=20) == -how
    _, alive = psutil.wait_procs(workers, timeout=10)
    assert alive == []


def wait_for_workers(parent: psutil.Process) -> list[psutil.Process]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = [p for p in parent.children() if "spawn_main" in " ".join(p.cmdline())]
        if len(found) == 2:
            time.sleep(1.5)  # until they are through their imports and at work
            return found
        time.sleep(0.1)
    raise AssertionError("no workers came up")


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
