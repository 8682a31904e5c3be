"""Several scenarios in one command: which engine serves which run, and what is left at the end."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import run
from harness.config import RunConfig, Scenario
from harness.engine.keeper import EngineKeeper
from harness.engine.plan import EnginePlan
from harness.engine.settings import Sampling
from harness.measure import runs
from harness.measure.preparation import Prepared
from harness.measure.runs import Series
from harness.terminal import Terminal
from tests.fakes import PlannedEngine
from tests.measure.planned_series import run_series


class LoadedEngine:
    """Stands for a loaded engine; the keeper looks at the settings of its plan alone."""

    def __init__(self, settings: dict[str, Any]):
        self.plan = SimpleNamespace(settings=settings)


def test_an_engine_is_kept_for_a_run_of_the_same_settings_alone() -> None:
    few, many = {"max_num_seqs": 8}, {"max_num_seqs": 1024}
    keeper = EngineKeeper()
    engine: Any = LoadedEngine(many)

    assert keeper.take() is None
    keeper.keep(engine, many)
    assert keeper.holds_engine
    assert keeper.take() is engine
    assert not keeper.holds_engine
    keeper.keep(engine, few)
    assert not keeper.keeps(engine), "the next run asks for other settings"
    assert keeper.take() is None


def test_without_a_run_to_come_no_engine_is_kept() -> None:
    keeper = EngineKeeper()
    engine: Any = LoadedEngine({})

    keeper.keep(engine, None)
    assert not keeper.holds_engine


def test_the_scenarios_are_those_of_the_category_with_offline_first() -> None:
    datacenter, edge = (
        [config.scenario for config in runs.configs(RunConfig(category=category))]
        for category in ("datacenter", "edge")
    )

    assert datacenter == [Scenario.OFFLINE, Scenario.SERVER, Scenario.INTERACTIVE]
    assert edge == [Scenario.OFFLINE, Scenario.SINGLESTREAM]


@pytest.mark.parametrize(
    "words",
    [
        ["--scenario", "all", "--model", "demo"],
        ["--model", "demo", "--scenario=all"],
        ["--submission", "out", "--submitter", "ACME", "--model", "demo", "--scenario", "all"],
        ["--system-json=s.json", "--division", "open", "--model", "demo", "--scenario", "all"],
    ],
)
def test_one_run_of_a_series_is_repeated_by_a_command_of_its_own(words: list[str]) -> None:
    alone = runs.alone(["python", "run.py", *words], "server")

    assert alone == ["python", "run.py", "--model", "demo", "--scenario", "server"]


def one_engine_each(prepared: list[Prepared]) -> list[Prepared]:
    """The same runs, none of which can go on with the engine of the one before."""
    return [
        dataclasses.replace(
            run,
            plan=dataclasses.replace(run.plan, settings={**run.plan.settings, "seed": number}),
        )
        for number, run in enumerate(prepared)
    ]


def test_a_run_that_fails_does_not_end_the_series(
    prepared: list[Prepared], capfd: pytest.CaptureFixture[str]
) -> None:
    status, finished = run_series(one_engine_each(prepared), dying=[Scenario.SERVER])

    said = capfd.readouterr()
    assert status == 1
    assert [path.name.split("-")[3] for path in finished] == ["offline", "interactive"]
    assert "The engine died, as this double was asked to." in said.err
    lines = said.out.splitlines()
    heading = next(number for number, line in enumerate(lines) if line.startswith("  scenario"))
    table = lines[heading : heading + 4]
    assert [line.split()[0] for line in table] == ["scenario", "Offline", "Server", "Interactive"]
    assert "tokens/s" in table[1]
    assert "FAILED" in table[2]
    assert lines[-1] == (
        "Of 3 runs: FAILED: Server; INVALID: Interactive; VALID BUT UNOFFICIAL: Offline."
    )
    assert sum("  next: " in line for line in lines) == 1
    assert sum(line.startswith("  verdict") for line in lines) == 0


def test_runs_of_the_same_settings_share_one_engine(prepared: list[Prepared]) -> None:
    made: list[PlannedEngine] = []

    def make_engine(plan: EnginePlan, sampling: Sampling) -> Any:
        made.append(PlannedEngine(plan, sampling))
        return made[-1]

    status, finished = Series(prepared, ["python", "run.py"], Terminal(), make_engine).execute()

    records = [json.loads((path / "config.json").read_text())["run"] for path in finished]
    assert (status, len(finished), len(made)) == (0, 3, 1)
    assert "engine_load_s" in records[0]["phases"]
    assert "engine_load_s" not in records[1]["phases"]
    assert records[0]["first_query_s"] > 0
    assert records[1]["first_query_s"] is None, "no wait from a start to a query"
    assert "preparation_s" not in records[1]["phases"]


def test_a_single_run_is_a_series_of_one_that_says_nothing_of_it(
    prepared: list[Prepared], capfd: pytest.CaptureFixture[str]
) -> None:
    status, finished = run_series(prepared[:1])

    said = capfd.readouterr().out
    record = json.loads((finished[0] / "config.json").read_text())
    assert (status, len(finished)) == (0, 1)
    assert "scenario 1 of 1" not in said
    assert record["run"]["command"] == ["python", "run.py"]


def test_keep_all_0_keeps_the_runs_of_the_series(
    prepared: list[Prepared],
) -> None:
    results = Path(prepared[0].config.results_dir)
    run_series(prepared)
    _, finished = run_series(prepared)

    left = sorted(path for path in results.iterdir() if path.is_dir() and not path.is_symlink())
    assert left == sorted(finished)
    assert (results / "latest").resolve() == finished[-1].resolve()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--tune", "10"], "--tune searches for one scenario"),
        (["--submission", "out", "results/latest", "--submitter", "A"], "--scenario all: this me"),
        (["--submission", "out"], "--submitter NAME is missing"),
        (["--category", "edge", "--compliance", "1"], "--compliance"),
    ],
)
def test_what_does_not_go_with_all_scenarios_is_refused(
    arguments: list[str], text: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    words = ["--model", "demo", "--dataset", "sample", "--scenario", "all"]

    assert run.main([*words, *arguments, "--results-dir", str(results)]) == 2
    assert text in capfd.readouterr().err
    assert not results.exists()


def test_a_submission_to_come_is_checked_before_anything_is_measured(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    results = tmp_path / "results"
    words = ["--model", "demo", "--dataset", "sample", "--scenario", "all"]
    out = str(tmp_path / "tree")

    asked = [*words, "--submission", out, "--submitter", "ACME", "--results-dir", str(results)]
    assert run.main(asked) == 2
    assert "status" in capfd.readouterr().err, "what no machine can know is listed"
    assert not results.exists()
