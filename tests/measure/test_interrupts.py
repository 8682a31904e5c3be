"""Signals that reach a run or its series: what ends, what is kept, and the exit status."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from harness.measure import interrupts, lifecycle
from harness.measure.preparation import Prepared
from harness.measure.runs import Series
from harness.report import make
from harness.terminal import Terminal
from tests.fakes import PlannedEngine
from tests.measure.planned_series import run_series


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


def test_a_closed_terminal_does_not_end_a_run_under_nohup(prepared: list[Prepared]) -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)

    signalled: Any = SignalledEngine
    series = Series(prepared[:1], ["python", "run.py"], Terminal(), signalled)
    status, finished = series.execute()

    assert (status, len(finished)) == (0, 1)


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
