"""Which folders can be compared, and what is read of them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.config import Scenario
from harness.errors import UsageError
from harness.metrics import SampleTimes, TimelinePoint
from harness.report.comparison_runs import TimedTest, read_runs
from tests.report.comparisons import folder_of, server_test


def test_queries_are_read_in_the_order_of_their_issue() -> None:
    samples = [SampleTimes(7, 2.0, 2.5, 4.0, 4), SampleTimes(3, 1.0, None, 3.0, 1)]
    test = TimedTest.of(samples, [TimelinePoint(0.5, 5, 2, 0)])
    assert list(test.sample_index) == [3, 7]
    assert list(test.times_ms["latency"]) == [2000, 2000]
    assert np.isnan(test.times_ms["ttft"][0]) and test.times_ms["ttft"][1] == 500
    assert np.isnan(test.times_ms["tpot"][0])  # an answer of one token has none
    assert test.times_ms["tpot"][1] == 500  # 1.5 s for the 3 tokens after the first
    assert (test.timeline_s[0], test.timeline_tokens[0], test.timeline_done[0]) == (0.5, 5, 2)


def test_runs_get_letters_in_their_order(tmp_path: Path) -> None:
    runs = read_runs([folder_of(tmp_path / name) for name in ("one", "two", "three")])
    assert [(run.label, run.folder.name) for run in runs] == [
        ("A", "one"),
        ("B", "two"),
        ("C", "three"),
    ]
    assert runs[0].scenario is Scenario.SERVER and runs[0].fill == 64
    assert len(runs[0].test.tokens) == 500 and runs[0].repeats == ()


def test_repeated_tests_of_a_run_are_read(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "one")
    for number in ("2", "3"):
        (folder / "Repeats" / number).mkdir(parents=True)
        shutil.copy(folder / "samples.csv", folder / "Repeats" / number)
    shutil.copy(folder / "timeline.csv", folder / "Repeats" / "2")
    first, _ = read_runs([folder, folder_of(tmp_path / "two")])
    assert len(first.tests) == 3
    assert [len(test.timeline_s) for test in first.repeats] == [500, 0]


def set_status(config: dict[str, Any]) -> None:
    config["run"]["status"] = "failed"


def set_mmlu(config: dict[str, Any]) -> None:
    config["flags"]["category"] = "mmlu"


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (set_status, "did not finish .its status is failed.*run it again"),
        (set_mmlu, "is an evaluation by mmlu.py, which measures no speed"),
    ],
)
def test_a_folder_without_a_result_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], sentence: str
) -> None:
    folders = [folder_of(tmp_path / "one"), folder_of(tmp_path / "two", change=change)]
    with pytest.raises(UsageError, match=sentence):
        read_runs(folders)


def test_a_run_of_the_accuracy_test_alone_is_refused(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "two")
    shutil.rmtree(folder / "Performance")
    with pytest.raises(UsageError, match="has no performance test; compare runs of --mode"):
        read_runs([folder_of(tmp_path / "one"), folder])


def test_a_run_whose_samples_are_missing_is_refused_by_their_file(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "two")
    (folder / "samples.csv").unlink()
    with pytest.raises(
        UsageError, match=r"samples\.csv is missing, which has what each query took"
    ):
        read_runs([folder_of(tmp_path / "one"), folder])


def test_one_run_is_refused_and_so_is_the_same_twice(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "one")
    with pytest.raises(UsageError, match="two run folders or more"):
        read_runs([folder])
    (tmp_path / "latest").symlink_to(folder)
    with pytest.raises(UsageError, match="given twice"):
        read_runs([folder, tmp_path / "latest"])
    with pytest.raises(UsageError, match="is not a run folder"):
        read_runs([folder, tmp_path])


def test_a_queue_that_grows_to_the_end_falls_behind() -> None:
    assert not server_test().falls_behind
    assert server_test(wait_s=lambda issued_s: 0.05 * issued_s).falls_behind
    assert not server_test(wait_s=lambda issued_s: 0.001 * issued_s).falls_behind


def test_a_queue_that_is_quiet_now_and_then_is_not_crowded() -> None:
    assert not server_test().is_crowded

    def rush(seconds: float) -> TimedTest:
        return server_test(wait_s=lambda s: np.where((s > 100) & (s < 100 + seconds), 5.0, 0.0))

    assert not rush(20).is_crowded  # of 300 s: less than a twelfth
    assert rush(30).is_crowded


def test_a_run_has_the_reasons_why_it_is_invalid(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "one")
    first, _ = read_runs([folder, folder_of(tmp_path / "two")])
    assert first.invalid_reasons == ()
    config = json.loads((folder / "config.json").read_text())
    assert first.config["flags"] == config["flags"]
