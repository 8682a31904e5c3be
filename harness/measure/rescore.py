"""A finished accuracy log scored again, by the data set and the tokenizer that its run recorded."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.errors import UsageError
from harness.inputs.dataset import Dataset
from harness.inputs.model_dataset import load_for_model
from harness.inputs.model_source import ModelSource
from harness.inputs.recorded_model import recorded_model
from harness.language import joined, phrase, text_of
from harness.measure import record
from harness.measure.score import (
    ScoringInputs,
    not_judged_because,
    score_accuracy,
    tokenizer_of_answers,
    verify_compliance,
)
from harness.results.folder import ACCURACY_LOG, DETAIL_LOG, RunFolder
from harness.results.index import RUNNING
from harness.rules.read import check_record, is_evaluation, read_config
from harness.rules.record import RUN


def rescore(run_dir: Path) -> None:
    """Writes rouge.json, answers.jsonl and what TEST06 says anew, from LoadGen's logs.

    A run that ended while its answers were scored is finished by it. Raises UsageError where the
    run or its inputs do not allow it, LogError for a log that is incomplete, OSError.
    """
    folder = RunFolder(run_dir.resolve())
    config = read_config(folder)
    _check(folder, config)
    settings = RunConfig.from_json(config["flags"])
    inputs = _inputs(settings, config)
    score_accuracy(inputs, folder)
    if settings.compliance and _has_test06(folder):
        verify_compliance(inputs, folder)
    record.note_scored_again(folder, datetime.now().astimezone())


def _check(folder: RunFolder, config: dict[str, Any]) -> None:
    """Raises UsageError unless there is an accuracy log of a run that is over, LogError."""
    if is_evaluation(config):
        raise UsageError(
            f"--rescore is for MLPerf runs, and {folder.path} is an evaluation by mmlu.py, whose "
            "answers are judged as they come; leave it out to make the report again."
        )
    check_record(folder, config, RUN)
    if config["run"]["status"] == RUNNING:
        raise UsageError(
            f"--rescore: the run in {folder.path} is still at work; wait for its end, it scores "
            "its answers itself."
        )
    log = folder.accuracy / ACCURACY_LOG
    if not log.is_file():
        way_out = phrase("run it again")
        if config["flags"]["mode"] == "performance":
            way_out = phrase("run it with --mode both")
        raise UsageError(
            f"--rescore: there is no accuracy log to score ({log} is missing); {way_out}."
        )


def _inputs(settings: RunConfig, config: dict[str, Any]) -> ScoringInputs:
    """Everything that the run scored its answers by. Raises UsageError where it is gone."""
    try:
        model = recorded_model(settings, config["model"])
        data, tokenizer = _data(settings, model, config["dataset"])
        because = not_judged_because(settings, data)
        tokenizer = tokenizer_of_answers(model, tokenizer, judged=because is None)
    except UsageError as error:
        raise UsageError(joined("", ("--rescore: ", text_of(error)))) from error
    # The end tokens of the run itself; earlier versions recorded none.
    end_token_ids = config["resolved"].get("end_token_ids") or model.eos_token_ids
    return ScoringInputs(settings, data, tokenizer, tuple(end_token_ids), because)


def _data(settings: RunConfig, model: ModelSource, recorded: dict[str, Any]) -> tuple[Dataset, Any]:
    """The data set of the run, and the tokenizer where its prompts needed one.

    Raises UsageError, also for a data set that is another one than the run's.
    """
    try:
        data, tokenizer = load_for_model(settings, model)
    except UsageError as error:
        raise UsageError(f"The data set of the run cannot be read again. {error}") from error
    if data.checksum != recorded["checksum_sha256"]:
        was = recorded["checksum_sha256"] or "nothing"
        raise UsageError(
            f"The data set or the tokenizer is not that of the run: {data.source} gives the "
            f"SHA-256 {data.checksum[:12]}, and config.json has {was[:12]}. Put those of the run "
            "back."
        )
    return data, tokenizer


def _has_test06(folder: RunFolder) -> bool:
    return all((folder.test06 / name).is_file() for name in (ACCURACY_LOG, DETAIL_LOG))
