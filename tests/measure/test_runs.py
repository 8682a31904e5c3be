"""Several scenarios in one command: which engine serves which run, and what is left at the end."""

from __future__ import annotations

import dataclasses
import json
import signal
from collections.abc import Collection, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import run
from harness.config import RunConfig, Scenario
from harness.engine.keeper import EngineKeeper
from harness.engine.plan import EnginePlan
from harness.engine.settings import Sampling
from harness.measure import interrupts, lifecycle, preparation, runs
from harness.measure.preparation import Prepared
from harness.measure.runs import Series
from harness.report import make
from harness.terminal import Terminal
from tests.fakes import PlannedEngine


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


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in interrupts.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def prepared(tmp_path: Path) -> list[Prepared]:
    config = RunConfig(
        model="demo",
        dataset="sample",
        mode="performance",
        total_sample_count=4,
        results_dir=str(tmp_path / "results"),
        keep_all=False,
    )
    first = preparation.prepare(config, lambda _text: None)
    return [
        preparation.prepare(each, lambda _text: None, like=first)
        for each in runs.configs(first.config)
    ]


def run_series(
    prepared: list[Prepared], dying: Collection[Scenario] = ()
) -> tuple[int, list[Path]]:
    """The runs on engine doubles through real LoadGen; those of the scenarios named die."""
    made = iter(prepared)

    def make_engine(plan: EnginePlan, sampling: Sampling) -> Any:
        dies = next(made).config.scenario in dying
        return PlannedEngine(plan, sampling, dies_after=0 if dies else None)

    return Series(prepared, ["python", "run.py"], Terminal(), make_engine).execute()


def one_engine_each(prepared: list[Prepared]) -> list[Prepared]:
    """The same runs, none of which can go on with the engine of the one before."""
    return [
        dataclasses.replace(
            run,
            plan=dataclasses.replace(run.plan, settings={**run.plan.settings, "seed": number}),
        )
        for number, run in enumerate(prepared)
    ]


@pytest.mark.usefixtures("handlers")
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


@pytest.mark.usefixtures("handlers")
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


@pytest.mark.usefixtures("handlers")
def test_a_single_run_is_a_series_of_one_that_says_nothing_of_it(
    prepared: list[Prepared], capfd: pytest.CaptureFixture[str]
) -> None:
    status, finished = run_series(prepared[:1])

    said = capfd.readouterr().out
    record = json.loads((finished[0] / "config.json").read_text())
    assert (status, len(finished)) == (0, 1)
    assert "scenario 1 of 1" not in said
    assert record["run"]["command"] == ["python", "run.py"]


@pytest.mark.usefixtures("handlers")
def test_keep_all_0_keeps_the_runs_of_the_series(
    prepared: list[Prepared],
) -> None:
    results = Path(prepared[0].config.results_dir)
    run_series(prepared)
    _, finished = run_series(prepared)

    left = sorted(path for path in results.iterdir() if path.is_dir() and not path.is_symlink())
    assert left == sorted(finished)
    assert (results / "latest").resolve() == finished[-1].resolve()


@pytest.mark.usefixtures("handlers")
def test_an_interrupt_ends_the_series_and_this_process(
    prepared: list[Prepared], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    left: list[int] = []
    monkeypatch.setattr(lifecycle, "end_now", left.append)

    carry_out = lifecycle.carry_out

    def interrupted(job: lifecycle.Job, *args: Any) -> lifecycle.Outcome:
        outcome = carry_out(job, *args)
        if job.scenario != "server":
            return outcome
        assert job.interrupts is not None
        job.interrupts.received.append(signal.SIGINT)
        return lifecycle.Outcome(outcome.folder, outcome.summary, 130, True, True)

    monkeypatch.setattr(lifecycle, "carry_out", interrupted)
    run_series(prepared)

    assert left == [130]
    last = capfd.readouterr().out.splitlines()[-1]
    assert last.startswith("Of 3 runs: not begun: Interactive; ")


class SignalledEngine(PlannedEngine):
    """While it answers, a signal reaches this process."""

    number = signal.SIGHUP

    async def answer(self, *arguments: Any) -> list[int]:
        signal.raise_signal(self.number)
        return await super().answer(*arguments)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("number", interrupts.SIGNALS)
def test_a_signal_interrupts_the_run_and_its_report_is_made(
    number: signal.Signals,
    prepared: list[Prepared],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    left: list[int] = []
    monkeypatch.setattr(lifecycle, "end_now", left.append)
    monkeypatch.setattr(SignalledEngine, "number", number)

    signalled: Any = SignalledEngine
    series = Series(prepared[:1], ["python", "run.py"], Terminal(), signalled)
    status, finished = series.execute()

    folder = series.outcomes[0].folder
    summary = json.loads(folder.summary_json.read_text())
    assert (status, left, finished) == (128 + number, [128 + number], [])
    assert summary["meta"]["status"] == "interrupted"
    assert folder.report_md.is_file()
    assert f"interrupted by {number.name}" in capfd.readouterr().err


@pytest.mark.usefixtures("handlers")
def test_a_closed_terminal_does_not_end_a_run_under_nohup(prepared: list[Prepared]) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    signalled: Any = SignalledEngine
    series = Series(prepared[:1], ["python", "run.py"], Terminal(), signalled)
    status, finished = series.execute()

    assert (status, len(finished)) == (0, 1)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize(("number_of_runs", "status"), [(3, 130), (1, 0)])
def test_an_interrupt_while_a_report_is_made_ends_the_series_after_it(
    number_of_runs: int, status: int, prepared: list[Prepared], monkeypatch: pytest.MonkeyPatch
) -> None:
    make_report: Any = make.make_report

    def interrupted(run_dir: Path) -> Any:
        signal.raise_signal(signal.SIGINT)
        return make_report(run_dir)

    monkeypatch.setattr(make, "make_report", interrupted)

    ended, finished = run_series(prepared[:number_of_runs])

    assert ended == status
    assert [path.name.split("-")[3] for path in finished] == ["offline"]
    assert (finished[0] / "report.md").is_file()


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
