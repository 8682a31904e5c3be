"""Every scenario of a category in one command: a run folder each, one table at the end."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import processes, tables
from harness.config import RunConfig, Scenario
from harness.engine import life as engine_life
from harness.engine.keeper import EngineKeeper
from harness.measure import execution, job
from harness.measure.execution import Programs
from harness.measure.job import Outcome
from harness.measure.preparation import Prepared
from harness.measure.session import Session
from harness.terminal import Terminal

# What a series leaves as its exit status: the first of these that any of its runs left.
_WORST_FIRST = (1, 2, 3)


def configs(config: RunConfig) -> list[RunConfig]:
    """One for each scenario of the category; Offline first, as a Server rate follows from it."""
    there = (Scenario(name) for name in config.category_record.scenarios)
    return [config.with_values(scenario=each) for each in there]


def execute(
    runs: Sequence[Prepared],
    command: list[str],
    terminal: Terminal,
    programs: Programs,
    session_type: type[Session] = Session,
) -> tuple[int, list[Path]]:
    """All runs one after the other; returns the exit status and the folders of those finished.

    A run that fails does not end the series, an interrupt does. `session_type` may bring an engine
    double.
    """
    keeper = EngineKeeper([prepared.engine_settings for prepared in runs])
    loop = asyncio.new_event_loop()  # an engine belongs to one loop, and may serve several runs
    outcomes: list[Outcome] = []
    try:
        for number, prepared in enumerate(runs, 1):
            config = prepared.config
            terminal.say(f"\nscenario {number} of {len(runs)}: {config.scenario.label}")
            one = execution.make_job(
                prepared,
                alone(command, config.scenario.value),
                terminal,
                programs,
                session_type=session_type,
                keeper=keeper,
                loop=loop,
                keep_all=config.keep_all or number < len(runs),
                spared=[outcome.folder.name for outcome in outcomes],
            )
            outcomes.append(job.carry_out(one, command, terminal))
            if outcomes[-1].interrupted:
                break
    finally:
        if (engine := keeper.take()) is not None:  # an interrupt between two runs
            engine_life.shut_down(engine)
            processes.end_children_for_good()
    terminal.say()
    for line in table(outcomes):
        terminal.say(line)
    status = _exit_status(outcomes)
    if any(outcome.threads_left for outcome in outcomes):
        job.leave(status)
    return status, [outcome.folder.path for outcome in outcomes if _finished(outcome)]


def alone(command: Sequence[str], scenario: str) -> list[str]:
    """The command that repeats one run of a series."""
    kept = []
    dropped = False  # the value of a flag that was dropped
    for word in command:
        flag = word.partition("=")[0]
        if dropped:
            dropped = False
        elif flag in ("--scenario", "--submission", "--submitter", "--system-json", "--division"):
            dropped = flag == word
        else:
            kept.append(word)
    return [*kept, "--scenario", scenario]


def table(outcomes: Sequence[Outcome]) -> list[str]:
    """A line for each run: scenario, headline, verdict, folder."""
    rows = [("scenario", "result", "verdict", "run folder")]
    for outcome in outcomes:
        summary: dict[str, Any] = outcome.summary or {}
        rows.append(
            (
                str(summary.get("meta", {}).get("scenario", outcome.folder.name)),
                str(summary.get("headline", {}).get("text", "no report")),
                str(summary.get("verdict", {}).get("result", "FAILED")),
                str(outcome.folder.path),
            )
        )
    return tables.text_lines(rows)


def _finished(outcome: Outcome) -> bool:
    return outcome.summary is not None and outcome.summary["meta"]["status"] == "finished"


def _exit_status(outcomes: Sequence[Outcome]) -> int:
    left = [outcome.exit_status for outcome in outcomes]
    if outcomes[-1].interrupted:
        return left[-1]
    return next((status for status in _WORST_FIRST if status in left), 0)
