"""--repeat on engine doubles through real LoadGen: which test is where, what the report says."""

from __future__ import annotations

import dataclasses
import json
import re
import signal
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.config import Scenario, validate
from harness.engine.plan import EnginePlan
from harness.engine.settings import Sampling
from harness.errors import UsageError
from harness.measure.preparation import Prepared
from harness.measure.runs import Series
from harness.report import comparison
from harness.results import repeats
from harness.results.folder import DETAIL_LOG, RunFolder
from harness.terminal import Terminal
from tests.builders import logged, performance
from tests.conftest import PROJECT
from tests.fakes import PlannedEngine

SCHEMA = json.loads((PROJECT / "docs" / "summary.schema.json").read_text())


class ChangingEngine(PlannedEngine):
    """Takes another time for an answer in each test that is repeated."""

    def __init__(self, results: Path, seconds: list[float], plan: EnginePlan, sampling: Sampling):
        super().__init__(plan, sampling)
        self._results, self._seconds = results, seconds

    async def answer(self, *arguments: Any) -> list[int]:
        begun = len(list(self._results.glob("*/Repeats/*")))
        self._seconds_per_answer = self._seconds[begun]
        return await super().answer(*arguments)


def asking(prepared: Prepared, repeat: int, **flags: Any) -> Prepared:
    """The same run with its performance test repeated."""
    config = prepared.config.with_values(repeat=repeat, keep_all=True, **flags)
    return dataclasses.replace(prepared, config=config)


def run_them(prepared: list[Prepared], seconds: list[float]) -> tuple[int, list[Path]]:
    results = Path(prepared[0].config.results_dir)

    def make_engine(plan: EnginePlan, sampling: Sampling) -> Any:
        return ChangingEngine(results, seconds, plan, sampling)

    return Series(prepared, ["python", "run.py"], Terminal(), make_engine).execute()


def summary_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    jsonschema.validate(found, SCHEMA, cls=jsonschema.Draft202012Validator)
    return found


def test_the_median_test_is_the_result_and_the_others_keep_their_numbers(
    prepared: list[Prepared], capfd: pytest.CaptureFixture[str]
) -> None:
    status, (folder,) = run_them([asking(prepared[0], 3)], [0.05, 0.4, 0.2])

    assert status == 0
    assert sorted(path.name for path in (folder / "Repeats").iterdir()) == ["1", "2"]
    rates = {
        number: logged(path, "result_tokens_per_second")
        for number, path in ((1, folder / "Repeats/1"), (2, folder / "Repeats/2"), (3, folder))
    }
    assert rates[2] < rates[3] < rates[1]
    for path in (folder / "Repeats/1", folder / "Repeats/2", folder):
        assert {"Performance", "samples.csv", "timeline.csv"} <= {p.name for p in path.iterdir()}
        assert performance(path).total_new_tokens  # its logs and samples.csv are of one test
    assert "performance: test 3 of 3 is the median" in capfd.readouterr().out

    summary = summary_of(folder)
    found = summary["run"]["performance"]["repeats"]
    assert (found["asked"], found["measured"], found["in_performance"]) == (3, 3, 3)
    assert [test["tokens_per_sec"] for test in found["tests"]] == list(rates.values())
    tokens = found["figures"][0]
    assert (tokens["median"], tokens["lowest"], tokens["highest"]) == (rates[3], rates[2], rates[1])
    mean = sum(rates.values()) / 3
    deviation = (sum((rate - mean) ** 2 for rate in rates.values()) / 2) ** 0.5
    assert tokens["half_interval"] == pytest.approx(4.3027 * deviation / 3**0.5, rel=1e-3)
    assert summary["run"]["performance"]["tokens_per_sec"] == rates[3]
    assert re.search(r" ± [\d,.]+ tokens/s, the median of 3 tests$", summary["headline"]["text"])
    for page in ("report.md", "report.html"):
        text = (folder / page).read_text()
        assert "The performance test ran 3 times on the loaded engine, and" in text
        assert "How steady" in text
    departed = json.loads((folder / "config.json").read_text())["departures"]
    assert not [departure for departure in departed if "repeat" in departure["sentence"]]
    rules = {rule["id"]: rule for rule in summary["verdict"]["rules"]}
    assert rules["median-of-repeats"]["found"] == "test 3 of 3"


def test_a_figure_measured_once_has_no_interval(prepared: list[Prepared]) -> None:
    _, (folder,) = run_them([asking(prepared[0], 1)], [0.0])

    assert not (folder / "Repeats").exists()
    assert summary_of(folder)["run"]["performance"]["repeats"] is None
    for page in ("report.md", "report.html"):
        assert "±" not in (folder / page).read_text()


def test_every_run_of_a_series_is_repeated(prepared: list[Prepared]) -> None:
    series = [asking(each, 2) for each in prepared]
    _, folders = run_them(series, [0.01] * 20)

    assert len(folders) == 3
    for folder in folders:
        aside = list(repeats.others(RunFolder(folder)))
        assert aside in ([1], [2])
        assert summary_of(folder)["run"]["performance"]["repeats"]["measured"] == 2


class InterruptedEngine(ChangingEngine):
    """Gets a signal in the third test."""

    async def answer(self, *arguments: Any) -> list[int]:
        if len(list(self._results.glob("*/Repeats/*"))) == 2:
            signal.raise_signal(signal.SIGTERM)
        return await super().answer(*arguments)


def test_an_interrupt_keeps_the_tests_that_were_measured_and_says_how_many(
    prepared: list[Prepared], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    left: list[int] = []
    monkeypatch.setattr("harness.measure.lifecycle.end_now", left.append)
    run = asking(prepared[0], 5)
    results = Path(run.config.results_dir)

    def make_engine(plan: EnginePlan, sampling: Sampling) -> Any:
        return InterruptedEngine(results, [0.01] * 5, plan, sampling)

    Series([run], ["python", "run.py"], Terminal(), make_engine).execute()

    assert left == [143]
    (folder,) = results.glob("2*")
    assert (folder / "Performance" / DETAIL_LOG).is_file()
    assert performance(folder / "Repeats" / "2").total_new_tokens
    found = summary_of(folder)["run"]["performance"]["repeats"]
    assert (found["asked"], found["measured"], found["in_performance"]) == (5, 2, 1)
    said = (
        "Of 5 performance tests 2 were measured. Test 1 is the one in Performance/, the others lie "
        "in Repeats/."
    )
    assert said in (folder / "report.md").read_text()
    assert said in " ".join(capfd.readouterr().out.split())


def test_two_repeated_runs_are_compared_over_their_tests(prepared: list[Prepared]) -> None:
    runs = []
    for seconds in ([0.1, 0.11, 0.105], [0.3, 0.31, 0.305]):
        results = Path(prepared[0].config.results_dir) / str(seconds[0])
        _, (folder,) = run_them(
            [asking(prepared[0], 3, results_dir=str(results))], [*seconds, 0.0, 0.0]
        )
        runs.append(folder)
    found = comparison.compare(runs)

    (figure,) = [f for f in found.figures if f.key == "steady_tokens_per_second"]
    assert figure.over_repeats
    interval = figure.intervals[0]
    assert interval is not None and interval.high < -0.3


def test_accuracy_alone_cannot_be_repeated(prepared: list[Prepared]) -> None:
    config = prepared[0].config.with_values(mode="accuracy", repeat=2, scenario=Scenario.OFFLINE)
    with pytest.raises(UsageError, match="--mode accuracy has none"):
        validate(config)
