"""The report of an evaluation, made of its run folder alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import report
from harness.config import RunConfig
from harness.errors import LogError, UsageError
from harness.mmlu.questions import Question
from harness.mmlu.report import terminal_summary
from harness.mmlu.results import to_json
from harness.mmlu.score import Answered, score
from harness.results.folder import RunFolder
from harness.rules.read import read_evidence
from tests.builders import config_json, text_of


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four questions of anatomy, three right, and two of virology, one without a letter."""
    monkeypatch.setattr(Figure, "savefig", lambda _self, path, **_options: Path(path).touch())
    path = tmp_path / "20261124-093000-mmlu"
    path.mkdir()
    record = config_json(RunConfig(model="demo", dataset="sample", total_sample_count=6))
    record["flags"] |= {
        "category": "mmlu",
        "scenario": None,
        "protocol": "plain",
        "num_fewshot": 5,
        "total_limit": 6,
        "subjects": None,
    }
    record["dataset"] |= {"available": 285, "subjects": 2}
    record["model"]["source"] = "built on this machine"
    (path / "config.json").write_text(json.dumps(record))
    taken = {"anatomy": (1, 1, 1, 2), "virology": (1, None)}
    answers = [
        Answered(Question(subject, 0, "?", ("a", "b", "c", "d"), 1), pred, None, "", 1.0, 10, 1)
        for subject, preds in taken.items()
        for pred in preds
    ]
    for name, content in to_json(score(answers), "plain", 5).items():
        (path / name).write_text(json.dumps(content))
    return path


def test_report_tells_the_score_of_all_questions_domains_and_subjects(folder: Path) -> None:
    record = report.make_report(folder)
    assert record["headline"]["text"] == (
        "MMLU (plain, 5-shot) 66.67 % ± 21.08 of 6 questions; mean of 2 subjects 62.50 %"
    )
    assert json.loads((folder / "summary.json").read_text()) == record
    text = text_of(folder)
    assert text.startswith("# MMLU (plain): demo, bf16\n\n**MMLU (plain, 5-shot) 66.67 %")
    assert "| right | 4 of 6 |" in text
    assert "| anatomy | STEM | 75.00 % | 3 of 4 |" in text
    assert "## The machine" in text  # from the package of reports
    assert record["plots"] == {
        "score_by_domain": "plots/score_by_domain.png",
        "score_by_subject": "plots/score_by_subject.png",
    }
    assert "1 answers named no letter; they count as wrong" in terminal_summary(record)


def test_report_of_a_finished_evaluation_without_its_score_is_refused(folder: Path) -> None:
    (folder / "overall.json").unlink()
    with pytest.raises(LogError, match=r"has no overall\.json; repeat the evaluation"):
        report.make_report(folder)


def test_damaged_score_is_named(folder: Path) -> None:
    (folder / "by_domain.json").write_text("[]")
    with pytest.raises(LogError, match=r"by_domain\.json cannot be read"):
        report.make_report(folder)


def test_evaluation_is_no_run_of_loadgen(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"is an evaluation by mmlu\.py"):
        read_evidence(RunFolder(folder))
