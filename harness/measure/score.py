"""The answers that LoadGen logged to rouge.json and TEST06's result, after the engine is gone."""

from __future__ import annotations

import dataclasses

from harness.inputs.tokenizer import decode
from harness.logs import answers as answer_logs
from harness.logs.detail import read_detail_log
from harness.logs.text import sha256
from harness.measure.preparation import Prepared
from harness.results.files import write_json, write_text
from harness.results.folder import (
    ACCURACY_LOG,
    DETAIL_LOG,
    TEST06_RESULT,
    TEST06_VERIFIED,
    RunFolder,
)
from harness.scoring import accuracy, test06


def score(prepared: Prepared, folder: RunFolder) -> None:
    """Judges the answers of the tests that ran. Raises LogError."""
    if prepared.config.runs_accuracy:
        score_accuracy(prepared, folder)
    if prepared.config.compliance:
        verify_compliance(prepared, folder)


def score_accuracy(prepared: Prepared, folder: RunFolder) -> None:
    """LoadGen's accuracy log to rouge.json, as the official evaluation does. Raises LogError."""
    answers = answer_logs.read_accuracy_log(folder.accuracy / ACCURACY_LOG)
    samples = prepared.dataset.samples
    answer_logs.check_complete(answers, len(samples))
    config = prepared.config
    if prepared.not_judged_because:
        result = accuracy.not_judged(len(answers), prepared.not_judged_because)
    else:
        predictions = decode(prepared.tokenizer, [answer.token_ids for answer in answers])
        references = [samples[answer.sample_index].reference or "" for answer in answers]
        result = accuracy.judge(
            accuracy.score(predictions, references),
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


def verify_compliance(prepared: Prepared, folder: RunFolder) -> None:
    """LoadGen's TEST06 logs to verify_accuracy.txt and result.json. Raises LogError."""
    result = test06.judge(
        answer_logs.read_audit_log(folder.test06 / ACCURACY_LOG),
        read_detail_log(folder.test06 / DETAIL_LOG),
        prepared.config.scenario,
        prepared.plan.model.eos_token_ids,
        prepared.config.round.latency_limits(prepared.config.scenario.value),
    )
    write_text(folder.test06 / TEST06_VERIFIED, test06.verify_accuracy_text(result))
    write_json(folder.test06 / TEST06_RESULT, test06.to_json(result))
