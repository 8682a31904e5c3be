"""A search for the fastest settings on this machine: one engine after the other, each measured."""

from __future__ import annotations

import asyncio
import logging
import shlex
from datetime import datetime
from pathlib import Path
from typing import Any

from harness import command_line
from harness.engine import life as engine_life
from harness.engine import weights
from harness.engine.causes import EngineLog
from harness.engine.vllm import Engine
from harness.errors import BenchmarkError, EngineError, UsageError
from harness.language import phrase
from harness.measure import lifecycle
from harness.measure.preparation import Prepared
from harness.measure.session import EngineMaker
from harness.results.folder import TUNING_JSON, TUNING_LOG
from harness.terminal import Stopwatch, Terminal, timed_phase
from harness.tuning import file as tuning_file
from harness.tuning import plans as tuning_plans
from harness.tuning import search as tuning
from harness.tuning import trial
from harness.tuning.search import Trial
from harness.tuning.text import plan_lines, table, trial_line

log = logging.getLogger("harness")


def execute(
    prepared: Prepared,
    minutes: float,
    command: list[str],
    terminal: Terminal,
    make_engine: EngineMaker = Engine,
) -> int:
    """Searches for so many minutes at most; returns the exit status.

    `make_engine` may bring an engine double. Whatever ends the search, what was measured is kept.
    Raises UsageError when the time is too short for a single trial, or nothing is left to vary.
    """
    search = TuneSession(prepared, minutes, command, terminal, make_engine)
    if search.plan.most_trials == 1:
        raise UsageError(
            f"--tune {minutes:g}: --engine-arg fixes all that would be varied "
            f"({', '.join(sorted(search.plan.fixed))}); leave some of it out."
        )
    if search.trials_expected == 0 and not search.is_over:
        raise UsageError(
            f"--tune {minutes:g}: one trial takes about {search.expected_s / 60:.0f} min here; "
            "allow more."
        )
    for line in plan_lines(search.plan, prepared.plan.profile, search.trials, minutes):
        terminal.say(line)
    search.results_dir.mkdir(parents=True, exist_ok=True)
    with lifecycle.logging_to(search.log_path, command):
        ending = lifecycle.run_to_the_end(search.run)
    search.conclude()
    lifecycle.say_error("run.py", ending, search.log_path)
    return lifecycle.leave(ending.exit_status, threads_left=ending.threads_left)


class TuneSession:
    """The trials of one search; `trials` grows as it goes on, and is kept in tuning.json."""

    def __init__(
        self,
        prepared: Prepared,
        minutes: float,
        command: list[str],
        terminal: Terminal,
        make_engine: EngineMaker,
    ):
        config = prepared.config
        self.prepared = prepared
        self.config = config
        self.terminal = terminal
        self.command = command
        self.results_dir = Path(config.results_dir)
        self.log_path = self.results_dir / TUNING_LOG
        self.budget_s = 60 * minutes
        self.make_engine = make_engine
        self.plan = tuning_plans.make_plan(
            prepared.plan.place,
            weights.kind(config, prepared.plan.model) or config.precision,
            config.scenario.value,
            prepared.plan.profile,
            tuple(config.engine_args),
        )
        self.search = tuning_file.describe(
            config,
            prepared.plan.system,
            prepared.plan.settings["max_model_len"],
            prepared.dataset.checksum,
        )
        self.trials = tuning_file.read_trials(self.results_dir, self.search)
        self.work = trial.Work(
            scenario=config.scenario,
            prompts=[sample.token_ids for sample in prepared.dataset.samples],
            most_sequences=self._sequences_of_all_copies(self.plan.most_sequences),
            limits=config.round.latency_limits(config.scenario.value),
            stall_timeout_s=config.stall_timeout_s,
        )
        self._begun: Stopwatch | None = None  # when the first trial does

    @property
    def expected_s(self) -> float:
        """Seconds of the next trial."""
        return tuning.expected_s(self.plan, self.trials)

    @property
    def trials_expected(self) -> int:
        """How many trials still fit into the time."""
        return int((self.budget_s - self.used_s) / self.expected_s)

    @property
    def used_s(self) -> float:
        """Seconds of the budget that are gone."""
        return self._begun.seconds if self._begun else 0.0

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to try."""
        return tuning.next_settings(self.plan, self.trials) is None

    async def run(self) -> None:
        """Tries until nothing is left to try or the next trial would take too long."""
        self._begun = Stopwatch()
        recorded = len(self.trials)
        while (settings := tuning.next_settings(self.plan, self.trials)) is not None:
            # That the first one fits was found before anything was written.
            if len(self.trials) > recorded and self.trials_expected == 0:
                self.terminal.say(phrase("the time is used up; the same command goes on from here"))
                break
            self.trials.append(await self._try(settings))
            self._save()
            self.terminal.say(trial_line(self.plan, self.trials[-1], len(self.trials)))
        if all(trial.score is None for trial in self.trials):
            raise BenchmarkError(f"No trial has worked. The last one: {self.trials[-1].failure}")

    async def _try(self, settings: dict[str, Any]) -> Trial:
        """One trial; settings with which the engine does not work are a result, too."""
        watch = Stopwatch()
        engine_log = EngineLog(self.log_path)
        engine_log.begin()
        plan = self.prepared.plan.with_profile_settings(settings)
        engine = self.make_engine(plan, self.prepared.sampling)
        number = len(self.trials) + 1
        sequences = self._sequences_of_all_copies(int(plan.settings["max_num_seqs"]))
        log.info("trial %d: %s", number, settings)
        loading = phrase("trial {number}: loading the engine", number=number)
        measuring = phrase("trial {number}: measuring", number=number)
        try:
            async with timed_phase(self.terminal, {}, "load", loading):
                await engine_life.load(engine, self.prepared.config.stall_timeout_s)
            engine_log.begin()
            async with timed_phase(self.terminal, {}, "measure", measuring):
                score = await trial.measure(
                    engine, self.work, sequences=sequences, in_flight=self._last_in_flight()
                )
        except EngineError as error:
            failure = engine_life.with_cause(error, engine_log.read())
            return Trial(settings, watch.seconds, None, failure)
        except trial.NoScoreError as error:
            return Trial(settings, watch.seconds, None, str(error))
        finally:
            await asyncio.to_thread(engine_life.shut_down, engine)
        return Trial(settings, watch.seconds, score.value, None, score.details)

    def _last_in_flight(self) -> int | None:
        """The queries in flight at which the best trial kept its limits: the next begins there."""
        chosen = tuning.best(self.plan, self.trials)
        number = chosen.details.get("in_flight") if chosen else None
        return None if number is None else int(number)

    def _sequences_of_all_copies(self, sequences: int) -> int:
        given = self.config.engine_args.get("max_num_seqs", sequences)
        return int(given) * self.config.data_parallel_size

    def _save(self) -> None:
        note = tuning_file.write(
            self.results_dir,
            self.search,
            self.plan,
            self.trials,
            date=datetime.now().astimezone().isoformat(timespec="seconds"),
            profile=self.prepared.plan.profile,
        )
        if note is not None:
            self.terminal.say(note)

    def conclude(self) -> None:
        """The table, where it is kept, and the command that uses it."""
        if not self.trials:
            return
        self.terminal.say()
        self.terminal.say(table(self.plan, self.trials))
        self.terminal.say()
        self.terminal.say(phrase("kept in {path}", path=self.results_dir / TUNING_JSON))
        chosen = tuning.best(self.plan, self.trials)
        if chosen is None:
            return
        if tuning.key(chosen.settings) == tuning.key(self.plan.base):
            so_far = phrase(
                "nothing tried so far was better: later runs keep the profile's settings"
            )
            ended = phrase("nothing tried was better: later runs keep the profile's settings")
            self.terminal.say(ended if self.is_over else so_far)
            return
        self.terminal.say(
            phrase(
                "later runs with the same model, precision, scenario and results folder use the "
                "best:"
            )
        )
        self.terminal.say(f"  {shlex.join(command_line.without_flag(self.command, '--tune'))}")
