"""The answers that LoadGen logged to rouge.json and TEST06's result, after the engine is gone."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.inputs.dataset import Dataset
from harness.inputs.model_source import ModelSource
from harness.inputs.tokenizer import decode_as_official, load_tokenizer
from harness.logs import answers as answer_logs
from harness.logs.detail import read_detail_log
from harness.logs.readable import write_readable
from harness.logs.text import sha256
from harness.metrics import END_TOKEN, LENGTH, Generation, ReadableAnswer
from harness.results.files import write_json, write_text
from harness.results.folder import (
    ACCURACY_LOG,
    DETAIL_LOG,
    TEST06_RESULT,
    TEST06_VERIFIED,
    RunFolder,
)
from harness.scoring import accuracy, test06
from harness.scoring.rouge import ROUGE_TYPES, PairScore
from harness.scoring.sentences import check_sentence_splitter


@dataclasses.dataclass(frozen=True)
class ScoringInputs:
    """What the answers of a run become words by, and what they are held against."""

    config: RunConfig
    dataset: Dataset
    tokenizer: Any  # None: the answers stay tokens
    end_token_ids: tuple[int, ...]
    not_judged_because: str | None  # why accuracy is not scored; None: it is


def not_judged_because(settings: RunConfig, data: Dataset) -> str | None:
    """Why the answers are held against nothing; None: they are judged."""
    if settings.weights == "dummy":
        return "The weights are random numbers, so the answers mean nothing."
    if any(sample.reference is None for sample in data.samples):
        return f"The {data.name} data set has no reference summaries."
    return None


def tokenizer_of_answers(model: ModelSource, loaded: Any, *, judged: bool) -> Any:
    """The tokenizer that makes words of the answers; None where none is needed or here.

    `loaded` is the model's, where it has been loaded already. Raises UsageError.
    """
    if judged:
        check_sentence_splitter()
    elif not model.has_tokenizer or not Path(model.path).is_dir():
        return loaded
    return loaded or load_tokenizer(model)  # where nothing is judged, so that people can read them


def score(inputs: ScoringInputs, folder: RunFolder) -> None:
    """Judges the answers of the tests that ran. Raises LogError."""
    if inputs.config.runs_accuracy:
        score_accuracy(inputs, folder)
    if inputs.config.compliance:
        verify_compliance(inputs, folder)


def score_accuracy(inputs: ScoringInputs, folder: RunFolder) -> None:
    """LoadGen's accuracy log to rouge.json, as the official evaluation does, and to answers.jsonl.

    Raises LogError.
    """
    answers = answer_logs.read_accuracy_log(folder.accuracy / ACCURACY_LOG)
    samples = inputs.dataset.samples
    answer_logs.check_complete(answers, len(samples))
    config = inputs.config
    texts, pairs = _texts(inputs, answers), None
    if inputs.not_judged_because:
        result = accuracy.not_judged(len(answers), inputs.not_judged_because)
    else:
        references = [samples[answer.sample_index].reference or "" for answer in answers]
        pairs = accuracy.score_pairs(texts, references)
        result = accuracy.judge(
            accuracy.means(pairs),
            config.round,
            config.category,
            high_accuracy=config.high_accuracy,
            not_judged_because=None,
        )
    result = dataclasses.replace(result, log_sha256=sha256(folder.accuracy / ACCURACY_LOG))
    content = accuracy.to_rouge_json(
        result, config.round, config.category, high_accuracy=config.high_accuracy
    )
    write_json(folder.rouge_json, content)
    if texts:
        readable = _readable(inputs, answers, texts, pairs or [None] * len(answers))
        write_readable(folder.answers_jsonl, readable)


def _texts(inputs: ScoringInputs, answers: Sequence[Generation]) -> list[str]:
    """The answers in words; none where there is no tokenizer."""
    if inputs.tokenizer is None:
        return []
    return decode_as_official(inputs.tokenizer, [answer.token_ids for answer in answers])


def _readable(
    inputs: ScoringInputs,
    answers: Sequence[Generation],
    texts: Sequence[str],
    pairs: Sequence[PairScore | None],
) -> Iterator[ReadableAnswer]:
    """One record for each answer, in the order of the samples."""
    rows = sorted(zip(answers, texts, pairs, strict=True), key=lambda row: row[0].sample_index)
    for answer, text, pair in rows:
        sample = inputs.dataset.samples[answer.sample_index]
        ended = bool(set(answer.token_ids[-1:]) & set(inputs.end_token_ids))
        rouge = dict(zip(ROUGE_TYPES, pair.f_measures, strict=True)) if pair else {}
        yield ReadableAnswer(
            index=answer.sample_index,
            article=sample.beginning,
            reference=sample.reference,
            text=text,
            tokens=len(answer.token_ids),
            ended_by=END_TOKEN if ended else LENGTH,
            rouge1=rouge.get("rouge1"),
            rouge2=rouge.get("rouge2"),
            rougeL=rouge.get("rougeL"),
            rougeLsum=rouge.get("rougeLsum"),
        )


def verify_compliance(inputs: ScoringInputs, folder: RunFolder) -> None:
    """LoadGen's TEST06 logs to verify_accuracy.txt and result.json. Raises LogError."""
    result = test06.judge(
        answer_logs.read_audit_log(folder.test06 / ACCURACY_LOG),
        read_detail_log(folder.test06 / DETAIL_LOG),
        inputs.config.scenario,
        inputs.end_token_ids,
        inputs.config.round.latency_limits(inputs.config.scenario.value),
    )
    write_text(folder.test06 / TEST06_VERIFIED, test06.verify_accuracy_text(result))
    write_json(folder.test06 / TEST06_RESULT, test06.to_json(result))
