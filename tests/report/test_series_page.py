"""The page of a series in Korean says each sentence as the reports of its runs do."""

from __future__ import annotations

import html
import re
import shutil
from pathlib import Path

import pytest

import report
from harness.config import RunConfig, Scenario
from tests.builders import DATA, SAMPLES, config_json, rouge, write_run
from tests.korean import english_left

BECAUSE = {  # as a run of the demo model on the shipped articles records it
    "model": "The model is the tiny demo model with random weights, not Llama-3.1-8B-Instruct.",
    "dataset": "The data set is the few articles shipped with this program, not CNN/DailyMail.",
}
# What these runs were given in the words of the tests, and names of verdicts.
FOREIGN = ("demo: built on this machine", "INVALID: ")


@pytest.fixture
def runs(tmp_path: Path) -> list[Path]:
    """Offline, and two performance tests of Server whose rate the engine did not reach."""
    folders = []
    for scenario, test in ((Scenario.OFFLINE, "offline-valid"), (Scenario.SERVER, "server-slow")):
        settings = RunConfig(
            scenario=scenario, model="demo", dataset="sample", total_sample_count=SAMPLES
        )
        record = config_json(settings)
        for part, because in BECAUSE.items():
            record[part]["unofficial_because"] = because
        name = f"20261123-141500-datacenter-{scenario.value}"
        folder = write_run(tmp_path / name, settings, test=test, scores=rouge(0.5), record=record)
        folders.append(folder)
    shutil.copytree(DATA / "server-valid", folders[1] / "Repeats" / "2")
    return folders


def words_of(page: Path) -> str:
    """What a page says, without its figures and style."""
    text = re.sub(r"<(style|script|svg).*?</\1>|<[^>]*>", "", page.read_text(), flags=re.DOTALL)
    return " ".join(html.unescape(text).split())


@pytest.mark.usefixtures("korean")
def test_the_page_of_a_series_has_no_english_sentence(
    runs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main([*map(str, runs), "--lang", "ko"]) == 0
    said = capsys.readouterr().out.splitlines()
    headlines = [line for line in said if "tokens/s" in line]

    words = words_of(Path(said[-1]))

    assert not [found for found in english_left(words) if not found.startswith(FOREIGN)]
    assert "공식 실행은 13,368개를 모두 실행합니다. --total-sample-count 없이" in words
    assert "같은 명령을 다시 실행합니다" in words
    assert len(headlines) == 2 and re.search(r"요청\).*±.*테스트 2회의 중앙값$", headlines[1])
    for headline in headlines:
        assert words.count(headline) >= 2  # in the table, and above the run


def test_the_page_of_a_series_says_what_the_summaries_say(
    runs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main([*map(str, runs)]) == 0

    words = words_of(Path(capsys.readouterr().out.splitlines()[-1]))

    assert "an official run uses all 13,368. Leave out --total-sample-count." in words


@pytest.mark.usefixtures("korean")
def test_the_history_has_its_headlines_in_korean(
    runs: list[Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main([*map(str, runs), "--lang", "en"]) == 0

    assert report.main(["history", str(runs[0].parent), "--lang", "ko"]) == 0

    words = words_of(Path(capsys.readouterr().out.splitlines()[-1]))
    assert "요청)" in words and "테스트 2회의 중앙값" in words
    assert not english_left(words)
