"""A run folder to the evidence that rules, report and submission look at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from harness import json_text, shapes
from harness.config import RunConfig
from harness.errors import LogError, UsageError
from harness.language import joined, phrase, recalled, recalled_within
from harness.logs.answers import first_answers, read_answers, read_audit_log
from harness.logs.detail import read_detail_log
from harness.logs.performance import performance_result
from harness.logs.readable import read_readable
from harness.logs.text import read_text, sha256
from harness.logs.times import read_samples, read_telemetry, read_timeline
from harness.metrics import (
    AccuracyResult,
    ComplianceCheck,
    ComplianceResult,
    Generation,
    ReadableAnswer,
)
from harness.results import repeats
from harness.results.folder import (
    ACCURACY_LOG,
    DETAIL_LOG,
    MMLU,
    TEST06_RESULT,
    TEST06_VERIFIED,
    RunFolder,
)
from harness.rules import record
from harness.rules.evidence import Evidence, Repeat
from harness.scoring import test06
from harness.scoring.accuracy import contradiction, from_rouge_json

_T = TypeVar("_T")


def read_evidence(folder: RunFolder) -> Evidence:
    """Everything in a run folder that can be read. Raises UsageError, LogError."""
    config = read_config(folder)
    if is_evaluation(config):
        raise UsageError(
            phrase(
                "{folder} is an evaluation by mmlu.py, with no LoadGen test in it; give the "
                "folder of a run by run.py.",
                folder=folder.path,
            )
        )
    check_record(folder, config, record.RUN)
    _check_against_itself(folder, config)
    finished = config["run"]["status"] == "finished"
    problems: list[str] = []

    def read(reader: Callable[[Path], _T], path: Path, absent: _T) -> _T:
        if not path.exists():
            return absent
        try:
            return reader(path)
        except LogError as error:
            if finished:
                raise
            problems.append(str(error))  # a run that broke off leaves torn files
            return absent

    others = []
    for number, other in repeats.others(folder).items():
        result = read(performance_result, other.path, None)
        if result is not None and result.loadgen.ended:  # a test that broke off measured nothing
            others.append(Repeat(number, result, read(read_samples, other.samples_csv, [])))
    answers = read(read_answers, folder.accuracy / ACCURACY_LOG, list[Generation]())
    return Evidence(
        config=config,
        performance=read(performance_result, folder.path, None),
        accuracy=read(lambda path: _read_rouge(path, config), folder.rouge_json, None),
        accuracy_log=read(read_detail_log, folder.accuracy / DETAIL_LOG, None),
        accuracy_log_sha256=read(sha256, folder.accuracy / ACCURACY_LOG, None),
        compliance=read(lambda path: _read_test06(path, config), folder.test06, None),
        compliance_log=read(read_detail_log, folder.test06 / DETAIL_LOG, None),
        answer_lengths=[len(a.token_ids) for a in first_answers(answers)],
        answers=read(read_readable, folder.answers_jsonl, list[ReadableAnswer]()),
        answered=[answer.sample_index for answer in answers],
        user_conf=read(read_text, folder.user_conf, None),
        samples=read(read_samples, folder.samples_csv, []),
        timeline=read(read_timeline, folder.timeline_csv, []),
        telemetry=read(read_telemetry, folder.telemetry_csv, []),
        own_number=repeats.own_number(folder),
        repeats=tuple(others),
        problems=tuple(dict.fromkeys(problems)),
    )


def read_config(folder: RunFolder) -> dict[str, Any]:
    """config.json of a run or an evaluation, whole in its parts. Raises UsageError, LogError."""
    path = folder.config_json
    try:
        config = json_text.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            phrase(
                "{folder} is not a run folder: it has no {file}. Give a folder that run.py made, "
                "for example results/latest.",
                folder=folder.path,
                file=path.name,
            )
        ) from None
    except (OSError, ValueError) as error:
        raise LogError(
            phrase(
                "{path} cannot be read: {error}. Nothing else describes the run, so repeat it.",
                path=path, error=error,
            )
        ) from None  # fmt: skip
    check_record(folder, config, record.ANY)
    config["run"]["status"], config["run"]["error"] = folder.status(config)
    whole: dict[str, Any] = recalled_within(config)
    return whole


def check_record(folder: RunFolder, config: object, shape: shapes.Shape) -> None:
    """Raises LogError unless config.json holds what a run, or an evaluation, writes."""
    if fault := shapes.fault(config, shape):
        raise LogError(
            phrase(
                "{file} is not the whole record of a run: {fault}.",
                file=folder.config_json,
                fault=fault,
            )
        )


def _check_against_itself(folder: RunFolder, config: dict[str, Any]) -> None:
    """Raises LogError where config.json says one thing twice and differently."""
    flags, resolved, data = config["flags"], config["resolved"], config["dataset"]
    for name, one, other in (
        ("resolved.sample_count, dataset.samples", resolved["sample_count"], data["samples"]),
        ("flags.model, model.requested", flags["model"], config["model"]["requested"]),
    ):
        if one != other:
            raise LogError(
                phrase(
                    "{file} contradicts itself ({name}): {one} and {other}.",
                    file=folder.config_json,
                    name=name,
                    one=shapes.shown(one),
                    other=shapes.shown(other),
                )
            )


def is_evaluation(config: dict[str, Any]) -> bool:
    """Whether it is an evaluation by mmlu.py and no run of LoadGen's tests."""
    return bool(config["flags"].get("category") == MMLU)


def _read_rouge(path: Path, config: dict[str, Any]) -> AccuracyResult:
    flags = RunConfig.from_json(config["flags"])
    try:
        scores = json_text.loads(path.read_text(encoding="utf-8"))
        result = from_rouge_json(recalled_within(scores))
        if result.passed is not None and (
            against := contradiction(
                result, flags.round, flags.category, high_accuracy=flags.high_accuracy
            )
        ):
            raise ValueError(f"it contradicts its own figures: {against}")
    except (OSError, ValueError) as error:
        raise LogError(
            phrase(
                "{path} is damaged ({error}); score the accuracy log again with `python report.py "
                "{folder} --rescore`.",
                path=path,
                error=error,
                folder=path.parent.parent,
            )
        ) from None
    return result


def _read_test06(folder: Path, config: dict[str, Any]) -> ComplianceResult | None:
    """The compliance test, judged anew from its logs; None where there was none.

    What its own files say of it is held against that: a submission takes verify_accuracy.txt.
    """
    recorded = _recorded_test06(folder / TEST06_RESULT)
    logs = folder / ACCURACY_LOG, folder / DETAIL_LOG
    absent = [path.name for path in logs if not path.is_file()]
    if recorded is None and absent:
        return None
    verified = folder / TEST06_VERIFIED
    if absent:
        assert recorded is not None
        text = phrase(
            "There is no {logs} of TEST06, so nothing can be judged.",
            logs=joined(phrase(" and no "), absent),
        )
        checks = (*recorded.checks, ComplianceCheck("logs", False, text))
        return ComplianceResult(False, checks, verified=verified.is_file())
    flags = RunConfig.from_json(config["flags"])
    judged = test06.judge(
        read_audit_log(folder / ACCURACY_LOG),
        read_detail_log(folder / DETAIL_LOG),
        flags.scenario,
        config["resolved"].get("end_token_ids") or (),  # Llama 3's are always among them
        flags.round.latency_limits(flags.scenario.value),
    )
    contradicted = []
    if verified.is_file() and read_text(verified) != test06.verify_accuracy_text(judged):
        contradicted.append(TEST06_VERIFIED)
    if recorded is not None and recorded.passed != judged.passed:
        contradicted.append(TEST06_RESULT)
    checks = judged.checks + tuple(
        ComplianceCheck(
            name, False, phrase("{name} does not say what TEST06's log says.", name=name)
        )
        for name in contradicted
    )
    passed = judged.passed and not contradicted
    return ComplianceResult(passed, checks, verified=verified.is_file())


def _recorded_test06(path: Path) -> ComplianceResult | None:
    """What the compliance test wrote of itself; None where it wrote nothing."""
    if not path.is_file():
        return None
    try:
        result = json_text.loads(path.read_text(encoding="utf-8"))
        checks = tuple(
            ComplianceCheck(str(c["name"]), c["passed"] is True, recalled(str(c["sentence"])))
            for c in result["checks"]
        )
        passed = result["passed"] is True and all(check.passed for check in checks)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LogError(
            phrase(
                "{path} is damaged ({error}); run the compliance test again (--compliance 1).",
                path=path,
                error=error,
            )
        ) from None
    return ComplianceResult(passed, checks, verified=False)
