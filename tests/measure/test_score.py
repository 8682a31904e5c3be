"""From LoadGen's accuracy log to rouge.json and to answers that people can read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.config import RunConfig
from harness.logs.readable import read_readable
from harness.measure import preparation
from harness.measure.preparation import Prepared
from harness.measure.score import score_accuracy
from harness.metrics import END_TOKEN, LENGTH
from harness.results.folder import ACCURACY_LOG, RunFolder

ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")


def prepare(tmp_path: Path, **flags: Any) -> Prepared:
    asked: dict[str, Any] = {"dataset": "sample", "total_sample_count": 3, "mode": "both"} | flags
    config = RunConfig(model="demo", results_dir=str(tmp_path), **asked)
    return preparation.prepare(config, lambda _text: None)


def scored(
    prepared: Prepared, answers: Sequence[tuple[int, list[int]]], tmp_path: Path
) -> RunFolder:
    """A run folder with an accuracy log of these answers, scored."""
    folder = RunFolder.create(tmp_path, "datacenter", "offline", datetime.now())
    folder.accuracy.mkdir()
    entries = [
        {"seq_id": n, "qsl_idx": index, "data": np.array(tokens, dtype="<i4").tobytes().hex(),
         "token_count": len(tokens)}
        for n, (index, tokens) in enumerate(answers)
    ]  # fmt: skip
    (folder.accuracy / ACCURACY_LOG).write_text(json.dumps(entries))
    score_accuracy(prepared.scoring, folder)
    return folder


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Prepared, RunFolder]:
    tmp_path = tmp_path_factory.mktemp("judged")
    prepared = prepare(tmp_path)
    tokenizer, end = prepared.tokenizer, prepared.sampling.end_token_ids[0]
    texts = ["The council voted.", "Rain.", "One two three four"]
    tokens = [tokenizer.encode(text, add_special_tokens=False) for text in texts]
    tokens[0].append(end)
    return prepared, scored(prepared, [(2, tokens[2]), (0, tokens[0]), (1, tokens[1])], tmp_path)


def test_every_answer_is_there_as_text_in_the_order_of_the_samples(
    judged: tuple[Prepared, RunFolder],
) -> None:
    prepared, folder = judged
    answers = read_readable(folder.answers_jsonl)

    assert [answer.index for answer in answers] == [0, 1, 2]
    assert [answer.text for answer in answers] == [
        "The council voted.", "Rain.", "One two three four",
    ]  # fmt: skip
    assert [answer.ended_by for answer in answers] == [END_TOKEN, LENGTH, LENGTH]
    for answer, sample in zip(answers, prepared.dataset.samples, strict=True):
        assert (answer.article, answer.reference) == (sample.beginning, sample.reference)
        assert answer.article and len(answer.article) == 300


def test_its_scores_are_those_of_its_own_pair_and_make_the_means_of_rouge_json(
    judged: tuple[Prepared, RunFolder],
) -> None:
    from rouge_score import rouge_scorer

    _, folder = judged
    answers = read_readable(folder.answers_jsonl)

    # No word of these is cut into sentences otherwise, so plain rouge_score gives the same.
    scorer = rouge_scorer.RougeScorer(["rouge1"], use_stemmer=True)
    for answer in answers:
        expected = scorer.score(answer.reference, answer.text)["rouge1"].fmeasure
        assert answer.rouge1 == pytest.approx(expected)
    means = json.loads(folder.rouge_json.read_text())
    for name in ROUGE:
        assert means[name] == np.mean([getattr(answer, name) for answer in answers])


def test_answers_that_are_not_judged_can_be_read_all_the_same(tmp_path: Path) -> None:
    prepared = prepare(tmp_path, dataset="synthetic")
    words = prepared.tokenizer.encode("Rain.", add_special_tokens=False)

    folder = scored(prepared, [(0, words), (1, words), (2, words)], tmp_path)

    first, *_ = read_readable(folder.answers_jsonl)
    assert (first.text, first.article, first.reference) == ("Rain.", None, None)
    assert [getattr(first, name) for name in ROUGE] == [None] * 4
    assert json.loads(folder.rouge_json.read_text())["not_judged_because"]


def test_answers_without_a_tokenizer_leave_no_file(tmp_path: Path) -> None:
    config = RunConfig(
        weights="dummy", dataset="synthetic", total_sample_count=1, results_dir=str(tmp_path)
    )
    prepared = preparation.prepare(config, lambda _text: None)

    folder = scored(prepared, [(0, [5, 6])], tmp_path)

    assert folder.rouge_json.is_file()
    assert not folder.answers_jsonl.exists()
