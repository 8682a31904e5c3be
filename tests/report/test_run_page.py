"""report.html: a run as one file to forward, in light and dark; and the page of a series."""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from matplotlib.figure import Figure

import report
from harness.config import RunConfig, Scenario
from harness.logs.readable import write_readable
from harness.logs.times import write_telemetry
from harness.metrics import ReadableAnswer, SampleTimes, TelemetryPoint
from harness.report import latency_plots
from harness.report.make import make_report
from harness.report.svg import inline
from tests.builders import SAMPLES, config_json, rouge, write_run
from tests.report.conftest import LLAMA, PROBES, MakeRun, timed_run
from tests.report.html import (
    Page,
    check_it_needs_nothing_beside_it,
    check_its_colours_are_for_light_and_dark,
    check_no_name_is_there_twice,
)

STRANGE = "<script>alert('1')</script> & **bold** | \u202eover"


def whole_run(folder: Path) -> Path:
    """A run folder that has all a page can show, with strange words in it."""
    settings = RunConfig(model="a<b>/c", dataset="sample", total_sample_count=SAMPLES)
    record = config_json(settings)
    record["resolved"]["engine"]["note"] = STRANGE
    record["model"]["shape"] = LLAMA  # the rows of its efficiency are the longest of a page
    record["run"]["ceilings"] = {"tflop_per_s": 1000.0, "terabytes_per_s": 4.0}
    write_run(folder, settings, test="offline-valid", scores=rouge(1.0), record=record)
    write_telemetry(
        folder / "telemetry.csv",
        [
            TelemetryPoint(s, 97.0, gpu_held_back_by="power", engine_steps=40)
            for s in (1.0, 2.0, 3.0)
        ],
    )
    scores = (0.4, 0.2, 0.3, 0.35)
    answers = [
        ReadableAnswer(i, STRANGE, STRANGE, f"answer {i} {STRANGE}", 128, "length", *scores)
        for i in range(5)
    ]
    write_readable(folder / "Accuracy" / "answers.jsonl", answers)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with its report, all figures drawn."""
    made = whole_run(tmp_path_factory.mktemp("page") / "20261123-141500-datacenter-offline")
    make_report(made)
    return made


@pytest.fixture(scope="module")
def page(folder: Path) -> Page:
    return Page((folder / "report.html").read_text())


def test_the_page_says_what_was_measured_whether_it_counts_and_why_not(
    folder: Path, page: Page
) -> None:
    summary = json.loads((folder / "summary.json").read_text())
    top = page.words[: page.words.index("How near the limits")]
    assert summary["headline"]["text"] in top
    assert summary["verdict"]["result"] in top
    for label in summary["not_official"]:
        assert label in top
    for reason in summary["verdict"]["reasons"]:
        assert reason in top
    assert "The GPU was held back by its power limit at some moment of 100 % of the seconds" in top
    assert "Required, but missed:" not in page.words
    assert "1 x NVIDIA H200" in top


def test_the_page_repeats_what_the_markdown_says(folder: Path, page: Page) -> None:
    summary = json.loads((folder / "summary.json").read_text())
    for step in summary["next_steps"]:
        assert step["why"] in page.words
        assert step["command"] is None or " ".join(step["command"].split()) in page.words
    assert "python run.py" in page.words
    assert "tokens per second" in page.words and "profile tuned-bf16-offline" in page.words
    for rule in summary["verdict"]["rules"]:
        if rule["outcome"] == "passed":
            assert rule["id"] in page.words
    assert [answer for answer in ("worst", "median", "best") if answer in page.words]


def test_the_page_needs_nothing_beside_it(page: Page) -> None:
    check_it_needs_nothing_beside_it(page)
    assert page.names.count("script") == 1
    assert page.names.count("svg") >= 4
    assert page.names.count("details") >= 5


def test_the_page_has_colours_for_light_and_dark(page: Page) -> None:
    check_its_colours_are_for_light_and_dark(page)


def test_the_page_has_no_name_twice(page: Page) -> None:
    check_no_name_is_there_twice(page)


def test_what_comes_from_logs_and_articles_is_shown_and_never_obeyed(page: Page) -> None:
    assert page.words.count("<script>alert('1')</script> & **bold** | over") == 3 * 3 + 1
    assert "\u202e" not in page.text
    assert "<script>alert" not in page.text
    assert "a<b>/c" in page.words and "b" not in page.names


def test_the_page_draws_no_sentence_by_its_script(page: Page) -> None:
    script = page.text[page.text.index("<script>") : page.text.index("</script>")]
    assert "dataset.words" in script and "copied" not in script


def test_a_page_of_a_failed_run_says_why_at_the_top(make_run: MakeRun, drawn: list[Figure]) -> None:
    made = make_run(test=None, status="failed", error="The engine <died>.")
    make_report(made)
    page = Page((made / "report.html").read_text())
    assert "No result: the run failed" in page.words
    assert "The engine <died>." in page.words
    assert not drawn


def test_a_page_of_a_search_shows_its_probes(tmp_path: Path, drawn: list[Figure]) -> None:
    made = timed_run(tmp_path, probes=PROBES)
    make_report(made)
    page = Page((made / "report.html").read_text())
    assert "it falls | behind" in page.words
    assert "The highest rate that held in 4 probes: 44.7 queries/s." in page.words
    assert drawn


def test_a_page_is_replaced_in_one_step(
    folder: Path, monkeypatch: pytest.MonkeyPatch, drawn: list[Figure]
) -> None:
    before = (folder / "report.html").read_text()

    replace = Path.replace

    def crash(source: Path, target: Path) -> Path:
        if Path(target).name == "report.html":
            raise OSError(28, "No space left on device", str(target))
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", crash)
    with pytest.raises(OSError, match=r"report\.html"):
        make_report(folder)
    assert (folder / "report.html").read_text() == before
    assert not [path for path in folder.iterdir() if path.name.endswith(".tmp")]
    assert drawn


def test_a_page_is_written_without_matplotlib(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = whole_run(tmp_path / folder.name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    make_report(made)
    page = Page((made / "report.html").read_text())
    assert "svg" not in page.names and "pip install matplotlib" in page.words


@pytest.fixture
def series(tmp_path: Path, drawn: list[Figure]) -> Iterator[list[Path]]:
    """The folders of two runs of one command."""
    offline = whole_run(tmp_path / "20261123-141500-datacenter-offline")
    server = timed_run(tmp_path, "server-slow", Scenario.SERVER)
    yield [offline, server]
    assert drawn


def test_a_series_gets_one_page_for_all_its_runs(
    series: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main([str(path) for path in series]) == 0
    written = Path(capsys.readouterr().out.splitlines()[-1])
    assert written.name == "series-20261123-141500-datacenter.html"
    page = Page(written.read_text())
    check_it_needs_nothing_beside_it(page)
    check_no_name_is_there_twice(page)
    for path in series:
        summary = json.loads((path / "summary.json").read_text())
        assert summary["headline"]["text"] in page.words
        assert path.name in page.words
    assert page.names.count("h1") == 1 and page.names.count("section") == 2


def test_an_earlier_page_of_a_series_is_replaced(
    series: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        assert report.main([str(path) for path in series]) == 0
    capsys.readouterr()
    assert len(list(series[0].parent.glob("series-*"))) == 1


def test_pictures_of_a_full_size_run_leave_a_page_that_can_be_forwarded(tmp_path: Path) -> None:
    count = 53_472  # four passes of the data set
    draw = random.Random(0)
    samples = [
        SampleTimes(i, i / 80, i / 80 + draw.random(), i / 80 + 2 + draw.random(), 128)
        for i in range(count)
    ]
    times = [sample.latency_ms for sample in samples]
    paths = [tmp_path / f"{name}.svg" for name in ("distribution", "over_time")]
    assert latency_plots.distribution(
        paths[0], latency_plots.LATENCY, times, marks=None, limit_ms=None, run="a run"
    )
    assert latency_plots.over_time(paths[1], samples, ttft_limit_ms=2000, run="a run")
    distribution, over_time = (len(inline(path.read_text(), "a", "a")) for path in paths)
    # A report has three distributions at most, and its other pictures have fewer points than that.
    assert 3 * distribution + over_time < 300_000
