"""Makes summary.json, report.md and the plots of a run folder anew from its logs.

It needs neither a GPU nor vLLM nor LoadGen, measures nothing and changes no log.

    python report.py results/latest
    python report.py results/20261123-141500-datacenter-offline

Exit status: 0 written; 1 a log is incomplete or damaged; 2 no such run folder.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import BenchmarkError, LogError, UsageError
from harness.logs.answers import first_answers, read_answers
from harness.logs.detail import read_detail_log
from harness.logs.performance import performance_result
from harness.logs.times import read_samples, read_timeline
from harness.metrics import AccuracyResult, ComplianceCheck, ComplianceResult, Generation
from harness.mmlu import report as mmlu_report
from harness.report import figures, summary
from harness.report import text as report_text
from harness.report.text import terminal_summary
from harness.results.folder import (
    ACCURACY_LOG,
    DETAIL_LOG,
    MMLU,
    SUMMARY_LOG,
    TEST06_RESULT,
    TEST06_VERIFIED,
    RunFolder,
    write_json,
    write_text,
)
from harness.rules.evidence import Evidence
from harness.scoring.accuracy import from_rouge_json

__all__ = ["make_report", "terminal_summary"]

_T = TypeVar("_T")


def make_report(run_dir: Path) -> dict[str, Any]:
    """Writes summary.json, report.md and plots/ of a run folder; returns what summary.json holds.

    Of a run that did not finish, whatever logs there are. Raises UsageError when it is no run
    folder, LogError when a log of a finished run is damaged, OSError when it cannot be written.
    """
    folder = RunFolder(run_dir.resolve())
    config = _read_config(folder)
    if config["flags"].get("category") == MMLU:
        return mmlu_report.make_report(folder, config)
    evidence = read_evidence(folder)
    record = summary.build(evidence)
    record["meta"]["name"] = folder.name
    record["logs"] = _logs(folder)
    record["plots"], doubts = figures.draw_all(folder, evidence)
    record["problems"] += doubts
    write_json(folder.summary_json, record)
    write_text(folder.report_md, report_text.render(record, evidence.config, folder))
    return record


def read_evidence(folder: RunFolder) -> Evidence:
    """Everything in a run folder that can be read. Raises UsageError, LogError."""
    config = _read_config(folder)
    if config["flags"].get("category") == MMLU:
        raise UsageError(
            f"{folder.path} is an evaluation by mmlu.py, with no LoadGen test in it; give the "
            "folder of a run by run.py."
        )
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

    answers = read(read_answers, folder.accuracy / ACCURACY_LOG, list[Generation]())
    return Evidence(
        config=config,
        performance=read(performance_result, folder.path, None),
        accuracy=read(_read_rouge, folder.rouge_json, None),
        accuracy_log=read(read_detail_log, folder.accuracy / DETAIL_LOG, None),
        compliance=read(_read_test06, folder.test06 / TEST06_RESULT, None),
        answer_lengths=[len(a.token_ids) for a in first_answers(answers)],
        answered=[answer.sample_index for answer in answers],
        samples=read(read_samples, folder.samples_csv, []),
        timeline=read(read_timeline, folder.timeline_csv, []),
        problems=tuple(dict.fromkeys(problems)),
    )


def _read_config(folder: RunFolder) -> dict[str, Any]:
    path = folder.config_json
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise UsageError(
            f"{folder.path} is not a run folder: it has no {path.name}. Give a folder that run.py "
            "made, for example results/latest."
        ) from None
    except (OSError, ValueError) as error:
        raise LogError(f"{path} cannot be read: {error}.") from None
    parts = {"run", "flags", "resolved", "departures", "dataset", "model", "system"}
    if not isinstance(config, dict) or not parts <= config.keys() or "status" not in config["run"]:
        raise LogError(f"{path} is not the whole record of a run.")
    return config


def _read_rouge(path: Path) -> AccuracyResult:
    try:
        return from_rouge_json(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LogError(f"{path} is damaged ({error}); score the accuracy log again.") from None


def _read_test06(path: Path) -> ComplianceResult:
    """What the compliance test left; the checks as it wrote them."""
    try:
        result = json.loads(path.read_text(encoding="utf-8"))
        checks = tuple(
            ComplianceCheck(str(c["name"]), c["passed"] is True, str(c["sentence"]))
            for c in result["checks"]
        )
        passed = result["passed"] is True and all(check.passed for check in checks)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LogError(
            f"{path} is damaged ({error}); run the compliance test again (--compliance 1)."
        ) from None
    return ComplianceResult(passed, checks, verified=(path.parent / TEST06_VERIFIED).is_file())


def _logs(folder: RunFolder) -> dict[str, str | None]:
    """Where the logs lie, relative to the run folder; None where there is none."""
    test = folder.performance if (folder.performance / DETAIL_LOG).exists() else folder.accuracy
    paths = {
        "summary_txt": test / SUMMARY_LOG,
        "detail_txt": test / DETAIL_LOG,
        "accuracy_json": folder.accuracy / ACCURACY_LOG,
        "rouge_json": folder.rouge_json,
        "run_log": folder.run_log,
    }
    return {
        name: str(path.relative_to(folder.path)) if path.exists() else None
        for name, path in paths.items()
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Remakes a report and prints where it is, or one sentence on stderr; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="a run folder")
    arguments = parser.parse_args(argv)
    try:
        record = make_report(arguments.run_dir)
    except BenchmarkError as error:
        print(f"report.py: {error}", file=sys.stderr)
        return error.exit_status
    except OSError as error:
        print(f"report.py: {error.filename} cannot be written: {error.strerror}.", file=sys.stderr)
        return BenchmarkError.exit_status
    print(RunFolder(arguments.run_dir).report_md)
    print(record["headline"]["text"])
    return 0


if __name__ == "__main__":
    sys.exit(main())
