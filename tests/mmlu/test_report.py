"""The report of an evaluation, made of its run folder alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import report
from harness.errors import LogError, UsageError
from harness.mmlu.text import terminal_summary
from harness.results.folder import RunFolder
from harness.rules.read import read_evidence
from tests.builders import text_of, write_evaluation


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four questions of anatomy, three right, and two of virology, one without a letter."""
    monkeypatch.setattr(Figure, "savefig", lambda _self, path, **_options: Path(path).touch())
    return write_evaluation(tmp_path / "20261124-093000-mmlu")


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


def test_the_page_to_forward_holds_the_same(tmp_path: Path) -> None:
    folder = write_evaluation(tmp_path / "20261124-093000-mmlu")

    record = report.make_report(folder)

    page = (folder / "report.html").read_text()
    assert f"<h1>{record['headline']['text']}</h1>" in page
    assert "<strong>anatomy</strong>" in page
    assert 'data-name="right">3 of 4</td>' in page
    assert page.count("<svg ") == 2
    assert "<strong>plain: the likeliest of the letters" in page
    assert "http" not in page.replace("http://www.w3.org/", "")  # it needs no network
    assert "report.html" in text_of(folder)
    assert str(Path(folder.name) / "report.html") in terminal_summary(record)


def test_report_of_a_finished_evaluation_without_its_score_is_refused(folder: Path) -> None:
    (folder / "overall.json").unlink()
    with pytest.raises(LogError, match=r"has no overall\.json; repeat the evaluation"):
        report.make_report(folder)


def test_damaged_score_is_named(folder: Path) -> None:
    (folder / "by_domain.json").write_text("[]")
    with pytest.raises(LogError, match=r"by_domain\.json cannot be read"):
        report.make_report(folder)


@pytest.mark.parametrize(
    ("name", "way", "value", "words"),
    [
        ("overall.json", ("overall_accuracy",), 0.9, "(overall_accuracy); repeat"),
        ("overall.json", ("correct",), None, "(correct); repeat"),
        ("overall.json", ("protocol",), "llama", "(protocol); repeat"),
        ("by_domain.json", ("domains", "STEM"), None, "(domains.STEM); repeat"),
        ("by_subject.json", ("subjects", "virology", "accuracy"), 0.6, "virology.accuracy)"),
        ("by_subject.json", ("subjects", "virology", "total"), 0, "total is 0 and not a whole"),
        ("by_subject.json", ("subjects", "virology", "correct"), 2, "of virology, more are right"),
        ("by_subject.json", ("subjects",), {}, "there are no subjects"),
        ("by_subject.json", ("subjects", "cooking"), {}, "subjects.cooking has no correct"),
        ("config.json", ("flags", "protocol"), "a new one", "flags.protocol is 'a new one'"),
        ("config.json", ("flags", "num_fewshot"), 3, "overall.json does not say"),
        ("config.json", ("resolved", "sample_count"), 7, "is of 6 questions, and 7 were"),
        ("config.json", ("dataset", "available"), "many", "dataset.available is 'many'"),
    ],
)
def test_files_that_contradict_each_other_are_refused(
    folder: Path, name: str, way: tuple[str, ...], value: object, words: str
) -> None:
    content = part = json.loads((folder / name).read_text())
    for key in way[:-1]:
        part = part[key]
    part[way[-1]] = value
    (folder / name).write_text(json.dumps(content))

    with pytest.raises(LogError) as refused:
        report.make_report(folder)

    assert words in str(refused.value)


def test_evaluation_is_no_run_of_loadgen(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"is an evaluation by mmlu\.py"):
        read_evidence(RunFolder(folder))
