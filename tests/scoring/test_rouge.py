"""ROUGE is bit for bit the official evaluation's, in one process or in several."""

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

import psutil
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rouge_score import rouge_scorer, tokenizers

from harness import rounds
from harness.errors import BenchmarkError
from harness.scoring import accuracy, rouge

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
