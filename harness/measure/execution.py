"""One LoadGen run as a job: the session, the scoring, and what the verdict means as exit status."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.engine.keeper import EngineKeeper
from harness.measure import job, preparation
from harness.measure.preparation import Prepared
from harness.measure.session import Session
from harness.results.folder import RunFolder
from harness.rules.verdict import INVALID
from harness.terminal import Terminal


@dataclass(frozen=True)
class Programs:
    """What the programs bring: all three work on finished logs alone."""

    score: Callable[[Prepared, RunFolder], None]  # judges the logged answers: rouge.json, TEST06
    make_report: Callable[[Path], dict[str, Any]]  # makes the folder's report, returns its summary
    terminal_summary: Callable[[dict[str, Any]], str]


def execute(
    prepared: Prepared,
    command: list[str],
    terminal: Terminal,
    programs: Programs,
    session_type: type[Session] = Session,
) -> int:
    """Everything from the run folder to the report; returns the exit status.

    `session_type` may bring an engine double.
    """
    one = make_job(prepared, command, terminal, programs, session_type=session_type)
    return job.execute(one, command, terminal)


def make_job(
    prepared: Prepared,
    command: list[str],
    terminal: Terminal,
    programs: Programs,
    *,
    session_type: type[Session] = Session,
    keeper: EngineKeeper | None = None,
    loop: asyncio.AbstractEventLoop | None = None,
    keep_all: bool | None = None,
    spared: Sequence[str] = (),
) -> job.Job:
    """One run. In a series, `keeper` hands the engine on, which belongs to `loop`.

    `command` repeats this run alone. `keep_all` None is as the flag says; `spared` are run folders
    that stay in any case.
    """
    config = prepared.config
    keeper = keeper or EngineKeeper()
    record = preparation.config_record(prepared, command)
    if keeper.loads:
        record["run"]["phases"] = {}  # the time before this run belongs to the one before

    async def measure(folder: RunFolder, record: dict[str, Any]) -> None:
        session = session_type(prepared, folder, record, terminal, keeper)
        await session.measure()
        if config.runs_accuracy or config.compliance:
            async with session.phase("scoring_s", "scoring the answers"):
                await asyncio.to_thread(programs.score, prepared, folder)

    return job.Job(
        program="run.py",
        category=config.category,
        scenario=config.scenario.value,
        results_dir=Path(config.results_dir),
        keep_all=config.keep_all if keep_all is None else keep_all,
        record=record,
        work=measure,
        make_report=programs.make_report,
        terminal_summary=programs.terminal_summary,
        exit_status=lambda summary: _verdict_status(prepared, summary),
        loop=loop,
        keeps_processes=lambda: keeper.holds_engine,
        spared=tuple(spared),
    )


def _verdict_status(prepared: Prepared, summary: dict[str, Any] | None) -> int:
    """3 for a full-size run that is INVALID or below the gate;
    a smoke run has measured, whatever it says.
    """
    if not prepared.full_size or summary is None:
        return 0
    verdict = summary["verdict"]
    return 3 if verdict["result"] == INVALID or verdict["accuracy_passed"] is False else 0
