"""Several scenarios in one command: which engine serves which run, and what is left at the end."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import run
from harness.config import RunConfig, Scenario
from harness.engine.keeper import EngineKeeper
from harness.errors import EngineError
from harness.measure import job, preparation, series
from harness.measure.execution import Programs
from harness.measure.preparation import Prepared
from harness.results.folder import RunFolder, write_json
from harness.terminal import Terminal


class NamedEngine:
    """Stands for a loaded engine; the keeper looks at its settings alone."""

    def __init__(self, settings: dict[str, Any]):
        self.settings = settings


def test_an_engine_is_kept_for_a_run_of_the_same_settings_alone() -> None:
    few, many = {"max_num_seqs": 8}, {"max_num_seqs": 1024}
    keeper = EngineKeeper([many, many, few])
    engine: Any = NamedEngine(many)

    assert keeper.take() is None
    keeper.keep(engine)
    assert keeper.holds_engine
    assert keeper.take() is engine
    assert not keeper.holds_engine
    keeper.keep(engine)
    assert not keeper.keeps(engine), "the third run asks for other settings"
    assert keeper.take() is None


def test_without_a_run_to_come_no_engine_is_kept() -> None:
    keeper = EngineKeeper()
    engine: Any = NamedEngine({})

    assert keeper.take() is None
    keeper.keep(engine)
    assert not keeper.holds_engine


def test_the_scenarios_are_those_of_the_category_with_offline_first() -> None:
    datacenter, edge = (
        [config.scenario for config in series.configs(RunConfig(category=category))]
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
    alone = series.alone(["python", "run.py", *words], "server")

    assert alone == ["python", "run.py", "--model", "demo", "--scenario", "server"]


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
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
        for each in series.configs(first.config)
    ]


def run_series(prepared: list[Prepared], outcomes: list[Any]) -> tuple[int, list[Path]]:
    """A series whose runs do nothing but end as told: a status of the verdict, or an error."""
    endings = iter(outcomes)

    class Session:
        def __init__(self, *_: object) -> None:
            self.ending = next(endings)

        async def measure(self) -> None:
            if isinstance(self.ending, Exception):
                raise self.ending

    def make_report(folder: Path) -> dict[str, Any]:
        config = RunFolder(folder).config_json.read_text()
        status = "finished" if '"status": "finished"' in config else "failed"
        scenario = folder.name.split("-")[3]
        summary = {
            "schema_version": 1,
            "meta": {"scenario": scenario, "status": status},
            "headline": {"text": "a figure"},
            "verdict": {"result": "INVALID", "accuracy_passed": None},
        }
        write_json(RunFolder(folder).summary_json, summary)
        return summary

    programs = Programs(lambda *_: None, make_report, lambda _summary: "")
    double: Any = Session
    return series.execute(prepared, ["python", "run.py"], Terminal(), programs, double)


@pytest.mark.usefixtures("handlers")
def test_a_run_that_fails_does_not_end_the_series(
    prepared: list[Prepared], capfd: pytest.CaptureFixture[str]
) -> None:
    status, finished = run_series(prepared, [None, EngineError("It died."), None])

    said = capfd.readouterr()
    assert status == 1
    assert [path.name.split("-")[3] for path in finished] == ["offline", "interactive"]
    assert "It died." in said.err
    lines = said.out.splitlines()[-4:]
    assert [line.split()[0] for line in lines] == ["scenario", "offline", "server", "interactive"]
    assert lines[1].split()[1:4] == ["a", "figure", "INVALID"]


@pytest.mark.usefixtures("handlers")
def test_keep_all_0_keeps_the_runs_of_the_series(
    prepared: list[Prepared],
) -> None:
    results = Path(prepared[0].config.results_dir)
    run_series(prepared, [None, None, None])
    _, finished = run_series(prepared, [None, None, None])

    left = sorted(path for path in results.iterdir() if path.is_dir() and not path.is_symlink())
    assert left == sorted(finished)
    assert (results / "latest").resolve() == finished[-1].resolve()


@pytest.mark.usefixtures("handlers")
def test_an_interrupt_ends_the_series_and_this_process(
    prepared: list[Prepared], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    left: list[int] = []
    monkeypatch.setattr(job, "leave", left.append)

    carry_out = job.carry_out

    def interrupted(one: job.Job, *args: Any) -> job.Outcome:
        outcome = carry_out(one, *args)
        if one.scenario != "server":
            return outcome
        return job.Outcome(outcome.folder, outcome.summary, 130, True, True)

    monkeypatch.setattr(job, "carry_out", interrupted)
    run_series(prepared, [None, None, None])

    assert left == [130]
    assert "interactive" not in capfd.readouterr().out.splitlines()[-1]


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
