"""The runs of one command, one after the other: a single one, or every scenario of a category."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness import processes
from harness.command_line import with_flag, without_flags
from harness.config import RunConfig, Scenario
from harness.engine import life as engine_life
from harness.engine.keeper import EngineKeeper
from harness.engine.vllm import Engine
from harness.errors import BenchmarkError
from harness.language import phrase
from harness.measure import lifecycle, session
from harness.measure.interrupts import Interrupts
from harness.measure.lifecycle import Job, Outcome
from harness.measure.preparation import Prepared, describe
from harness.measure.record import SCORING_BEGUN, SCORING_DONE
from harness.measure.score import score
from harness.measure.session import EngineMaker
from harness.report import make, series, series_page, text
from harness.results.folder import RunFolder
from harness.rules.verdict import INVALID
from harness.terminal import Terminal

# What a series leaves as its exit status: the first of these that any of its runs left.
_WORST_FIRST = (1, 2, 3)


def configs(config: RunConfig) -> list[RunConfig]:
    """One for each scenario of the category; Offline first, as a Server rate follows from it."""
    there = (Scenario(name) for name in config.category_record.scenarios)
    return [config.with_values(scenario=scenario) for scenario in there]


@dataclass
class Series:
    """The runs of one command and what they share; a single run is a series of one."""

    runs: Sequence[Prepared]
    command: list[str]
    terminal: Terminal
    make_engine: EngineMaker = Engine  # a test's double stands in here
    outcomes: list[Outcome] = field(default_factory=list)
    interrupts: Interrupts = field(default_factory=Interrupts)

    def execute(self) -> tuple[int, list[Path]]:
        """All runs one after the other; the exit status and the folders of those that finished.

        A run that fails does not end the series; an interrupt does, also one that comes while a
        report is made, which is still made whole.
        """
        keeper = EngineKeeper()
        loop = asyncio.new_event_loop()  # an engine belongs to one loop, and may serve several runs
        try:
            for number, prepared in enumerate(self.runs):
                if len(self.runs) > 1:
                    label = prepared.config.scenario.label
                    self.terminal.say()
                    self.terminal.say(
                        phrase(
                            "scenario {number} of {count}: {label}",
                            number=number + 1, count=len(self.runs), label=label,
                        )
                    )  # fmt: skip
                following = self.runs[number + 1 : number + 2]
                next_settings = following[0].plan.settings if following else None
                source = session.EngineSource(keeper, self.make_engine, next_settings)
                job = self._job(number, source, loop)
                self.outcomes.append(lifecycle.carry_out(job, self.command, self.terminal))
                if self.interrupts.received:
                    break
        finally:
            if (engine := keeper.take()) is not None:  # an interrupt between two runs
                engine_life.shut_down(engine)
                processes.end_children_for_good()
        if len(self.runs) > 1:
            labels = [prepared.config.scenario.label for prepared in self.runs]
            ended = zip(labels, self.outcomes, strict=False)  # an interrupt leaves some out
            runs = [series.Run(label, out.folder.path, out.summary) for label, out in ended]
            self.terminal.say()
            self.terminal.say(series.ending(runs, labels[len(runs) :], self._page()))
        threads_left = any(outcome.threads_left for outcome in self.outcomes)
        status = lifecycle.leave(self._exit_status(), threads_left=threads_left)
        return status, [outcome.folder.path for outcome in self.outcomes if _finished(outcome)]

    def _page(self) -> Path | None:
        """The page of all runs; None where it cannot be written, which costs no run."""
        try:
            return series_page.write([outcome.folder.path for outcome in self.outcomes])
        except (BenchmarkError, OSError) as error:
            self.terminal.say(
                phrase("note: the page of all runs could not be made: {error}", error=error)
            )
            return None

    def _exit_status(self) -> int:
        """What the interrupt says that ended a series, else the worst that any run left.

        An interrupt that came when the only run was measured and its report was being made changed
        nothing.
        """
        if len(self.runs) > 1 and self.interrupts.received:
            return 128 + self.interrupts.received[0]
        return exit_status(self.outcomes)

    def _job(
        self, number: int, source: session.EngineSource, loop: asyncio.AbstractEventLoop
    ) -> Job:
        """The run of this number (from 0) as a job."""
        prepared, keeper = self.runs[number], source.keeper
        is_last = number == len(self.runs) - 1
        config = prepared.config
        command = self.command
        if len(self.runs) > 1:
            command = alone(command, config.scenario.value)
        record = describe(prepared, command)
        if keeper.loads:
            record.follows_another_run()

        async def measure(folder: RunFolder) -> None:
            await session.measure(prepared, folder, record, self.terminal, source)
            if config.runs_accuracy or config.compliance:
                record.scoring(SCORING_BEGUN)
                async with record.phase(self.terminal, "scoring_s", phrase("scoring the answers")):
                    await asyncio.to_thread(score, prepared.scoring, folder)
                record.scoring(SCORING_DONE)

        return Job(
            program="run.py",
            category=config.category,
            scenario=config.scenario.value,
            results_dir=Path(config.results_dir),
            keep_all=config.keep_all or not is_last,
            record=record,
            work=measure,
            make_report=make.make_report,
            terminal_summary=text.terminal_summary if len(self.runs) == 1 else series.line,
            exit_status=lambda summary: verdict_status(prepared, summary),
            loop=loop,
            keeps_processes=lambda: keeper.holds_engine,
            interrupts=self.interrupts,
            spared=tuple(outcome.folder.name for outcome in self.outcomes),
        )


def alone(command: Sequence[str], scenario: str) -> list[str]:
    """The command that repeats one run of a series."""
    of_a_submission = ("--submission", "--submitter", "--system-json", "--division")
    return with_flag(without_flags(command, *of_a_submission), "--scenario", scenario)


def verdict_status(prepared: Prepared, summary: dict[str, Any] | None) -> int:
    """3 for a full-size run that is INVALID or below the gate;
    a smoke run has measured, whatever it says.
    """
    if not prepared.full_size or summary is None:
        return 0
    verdict = summary["verdict"]
    return 3 if verdict["result"] == INVALID or verdict["accuracy_passed"] is False else 0


def _finished(outcome: Outcome) -> bool:
    return outcome.summary is not None and outcome.summary["meta"]["status"] == "finished"


def exit_status(outcomes: Sequence[Outcome]) -> int:
    """The worst that any run left, or what the interrupt of the last one says."""
    statuses = [outcome.exit_status for outcome in outcomes]
    if outcomes[-1].interrupted:
        return statuses[-1]
    return next((status for status in _WORST_FIRST if status in statuses), 0)
