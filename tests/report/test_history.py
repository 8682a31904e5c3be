"""index.html of a results folder."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import report
from harness.report import history
from harness.report.make import make_report
from tests.builders import edit, rouge, write_evaluation
from tests.report.conftest import MakeRun
from tests.report.html import Page, check_its_colours_are_for_light_and_dark


@pytest.fixture
def results(make_run: MakeRun) -> Path:
    """Two runs of one kind, the newer with other settings and a strange model name beside them."""
    first = make_run(rouge=rouge(1.0))
    second = Path(shutil.copytree(first, first.with_name("20261124-141500-datacenter-offline")))
    edit(second / "config.json", '"max_num_seqs": 64', '"max_num_seqs": 128')
    edit(second / "config.json", "2026-11-23T14:16:07", "2026-11-24T14:16:07")
    for folder in (first, second):
        make_report(folder)
    return first.parent


def test_the_history_names_every_run_and_what_was_changed(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main(["history", str(results)]) == 0
    assert capsys.readouterr().out == f"{results}/index.html\n"
    page = Page((results / "index.html").read_text())
    links = [attributes["href"] for tag, attributes in page.tags if tag == "a"]
    assert links == [
        "20261124-141500-datacenter-offline/report.html",
        "20261123-141500-datacenter-offline/report.html",
    ]
    assert page.words.count("max_num_seqs 64 → 128") == 1
    assert "2026-11-24 14:16" in page.words
    check_its_colours_are_for_light_and_dark(page)
    assert page.names.count("svg") == 1 and page.names.count("select") == 3


def test_the_history_tells_slow_engines_apart(results: Path) -> None:
    rate = r'"tokens_per_sec": [\d.]+'
    for folder, slow in zip(sorted(results.glob("2026*")), ("5.36", "0.42"), strict=True):
        summary = folder / "summary.json"
        summary.write_text(re.sub(rate, f'"tokens_per_sec": {slow}', summary.read_text()))
    page = Page(history.write(results).read_text())
    assert "5.36" in page.words and "0.42" in page.words


def test_a_history_of_nothing_says_nothing(tmp_path: Path) -> None:
    page = Page(history.write(tmp_path).read_text())
    assert page.names.count("tr") == 1 and "svg" not in page.names


def test_a_folder_that_is_not_there_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main(["history", str(tmp_path / "absent")]) == 2
    assert "absent" in capsys.readouterr().err


def test_a_folder_without_runs_is_named_and_left_as_it_is(
    results: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    a_run = next(path for path in results.iterdir() if (path / "config.json").is_file())
    for folder in (a_run, tmp_path / "empty"):
        assert report.main(["history", str(folder)]) == 2
        assert "no finished run lies in it; give the folder" in capsys.readouterr().err
        assert not (folder / "index.html").exists()


def test_a_page_that_cannot_be_written_is_one_sentence(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (results / "index.html").unlink(missing_ok=True)
    (results / "index.html").mkdir()
    assert report.main(["history", str(results)]) == 1
    refused = capsys.readouterr().err
    assert refused.count("\n") == 1
    assert "index.html" in refused and "cannot be written: Is a directory." in refused


def test_damaged_and_strange_neighbours_cost_nothing(results: Path, drawn: list[Figure]) -> None:
    strange = results / "20261124-141500-datacenter-offline"
    edit(strange / "summary.json", '"model": "demo"', '"model": "<script>x</script>"')
    (results / "20261125-141500-datacenter-offline").mkdir()
    (results / "20261125-141500-datacenter-offline" / "config.json").write_text("[")
    write_evaluation(results / "20261126-141500-mmlu")
    text = history.write(results).read_text()
    assert "<script>x" not in text and "&lt;script&gt;x" in text
    assert Page(text).words.count("mmlu") >= 1
    assert drawn
