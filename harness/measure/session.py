"""One invocation on one loaded engine: warm-up, then each LoadGen test, leaving LoadGen's logs."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import functools
import logging
from collections.abc import AsyncIterator, Sequence
from typing import Any

from harness import formatting, processes
from harness.config import Scenario
from harness.engine import life as engine_life
from harness.engine.keeper import EngineKeeper
from harness.engine.vllm import Engine, streams_first_token
from harness.errors import EngineError
from harness.loadgen import planning, sut
from harness.loadgen import process as loadgen
from harness.loadgen.answering import AnsweringEngine, Progress
from harness.loadgen.burst import Burst, burst
from harness.loadgen.latency_watch import LatencyWatch
from harness.loadgen.user_conf import user_conf_text
from harness.machine import system as system_info
from harness.measure import audit, server_search, targets
from harness.measure import pace as offline_pace
from harness.measure.pace import ESTIMATE_FILLS, WARM_UP_SAMPLES
from harness.measure.preparation import Prepared
from harness.results.folder import RunFolder, write_json, write_text
from harness.terminal import Terminal, progress_line, timed_phase

SINGLE_STREAM_WARM_UP_SAMPLES = 8
# The engine's own queue never runs dry, and stays short when LoadGen issues 40,000 at once.
ADMITTED_FILLS = 2

log = logging.getLogger("harness")


class Session:
    """The tests of one run folder; `record` is config.json and grows as the run goes on."""

    def __init__(
        self,
        prepared: Prepared,
        folder: RunFolder,
        record: dict[str, Any],
        terminal: Terminal,
        keeper: EngineKeeper | None = None,
    ):
        self.keeper = keeper or EngineKeeper()
        self.prepared = prepared
        self.config = prepared.config
        self.folder = folder
        self.record = record
        self.terminal = terminal
        self.prompts = [sample.token_ids for sample in prepared.dataset.samples]
        engine_settings = prepared.engine_settings
        # Sequences that all copies of the model work on at once.
        self.max_num_seqs = int(engine_settings["max_num_seqs"]) * self.config.data_parallel_size
        self.pace: planning.Pace | None = None  # as last seen on this engine
        self.server_rate: tuple[float, str] | None = None

    async def measure(self) -> None:
        """Runs every test on one loaded engine: one of its own, or the one that the run before
        left. Raises BenchmarkError.
        """
        kept = self.keeper.take()
        engine = kept or self.make_engine()
        if self._is_server:
            self.server_rate = targets.server_rate(self.prepared)
        try:
            await self._load(engine, loaded_already=kept is not None)
            if self._is_server and self.config.server_target_qps == "max":
                await self.warm_up(engine)
                await server_search.find_rate(self, engine)
            if self.config.runs_accuracy:
                await self.warm_up(engine)
                await self.test(engine, accuracy=True)
            if self.config.runs_performance:
                await self.warm_up(engine)
                await server_search.measure_performance(self, engine)
            if self.config.compliance:
                await audit.run_test06(self, engine)
            self.keeper.keep(engine)
        except EngineError as error:
            log_of_engine = self.keeper.run_log or self.folder.run_log
            raise EngineError(engine_life.explain(error, log_of_engine)) from error
        finally:
            if not self.keeper.keeps(engine):
                async with self.phase("shutdown_s", "shutting the engine down"):
                    await asyncio.to_thread(engine_life.shut_down, engine)

    async def _load(self, engine: Engine, *, loaded_already: bool) -> None:
        if loaded_already:
            log.info("the engine of the run before goes on; its words: %s", self.keeper.run_log)
            self.record["run"]["first_query_s"] = None  # not one wait from a start to a query
            return
        async with self.phase("engine_load_s", "loading the engine"):
            await engine_life.load(engine)
        self.keeper.loaded(self.folder.run_log)
        log.info("the engine is loaded: load %d in this invocation", self.keeper.loads)

    def make_engine(self) -> Engine:
        """The engine of this session, not loaded yet; a double may stand in for it."""
        return Engine(
            self.prepared.engine_settings,
            max_new_tokens=self.config.max_new_tokens,
            eos_token_ids=self.prepared.model.eos_token_ids,
            environment=self.prepared.engine_environment,
        )

    @property
    def _is_server(self) -> bool:
        return self.config.scenario in (Scenario.SERVER, Scenario.INTERACTIVE)

    def _warm_up_samples(self) -> int:
        """More than a warm-up needs where the rate of a Server test hangs on the estimate."""
        if self.config.scenario is Scenario.SINGLESTREAM:
            return SINGLE_STREAM_WARM_UP_SAMPLES
        estimates = self._is_server and self.server_rate is None and self.pace is None
        # A search begins from the last Offline run where there is one.
        estimates = estimates and server_search.offline_rate(self) is None
        return ESTIMATE_FILLS * self.max_num_seqs if estimates else WARM_UP_SAMPLES

    async def warm_up(self, engine: AnsweringEngine) -> None:
        answer = functools.partial(self._burst, engine)
        if self.pace is None and offline_pace.is_wanted(self.config, self.prepared.min_duration_s):
            self.pace = await offline_pace.warm_up(
                self.record, self.prompts, self.max_num_seqs, answer, self.terminal.say
            )
            return
        result = await answer(self.prompts[: self._warm_up_samples()])
        if self.pace is None:
            self.pace = planning.Pace(
                result.samples_per_second,
                f"the warm-up of {formatting.count(result.samples)} samples",
                planning.BURST_MARGIN,
            )

    async def _burst(self, engine: AnsweringEngine, prompts: Sequence[list[int]]) -> Burst:
        progress = Progress()
        at_once = {Scenario.SINGLESTREAM: 1, Scenario.OFFLINE: ADMITTED_FILLS * self.max_num_seqs}
        async with self.phase("warm_up_s", "warm-up", progress, len(prompts)):
            result = await burst(
                engine,
                prompts,
                at_once=at_once.get(self.config.scenario),
                stall_timeout_s=self.config.stall_timeout_s,
                progress=progress,
            )
        log.info(
            "warm-up: %d samples, %d tokens, %.3f s", result.samples, result.tokens, result.seconds
        )
        return result

    async def test(
        self,
        engine: AnsweringEngine,
        *,
        accuracy: bool,
        watch: LatencyWatch | None = None,
    ) -> None:
        """One LoadGen test of the run, which `watch` may break off."""
        name = "accuracy" if accuracy else "performance"
        target = self.choose_target(accuracy)
        plan = self._plan(target, accuracy)
        samples = len(self.prompts) if accuracy else target.samples
        self._announce(name, samples, target)
        progress = Progress()
        energy_before_j = self._energy_j(accuracy)
        async with self.phase(f"{name}_s", name, progress, samples):
            await sut.run_test(
                engine,
                self.prompts,
                plan,
                sut.Serving(
                    stream_first_token=streams_first_token(self.config.scenario),
                    stall_timeout_s=self.config.stall_timeout_s,
                    admit_at_once=None if self._is_server else ADMITTED_FILLS * self.max_num_seqs,
                ),
                progress,
                watch,
            )
        log.info("%s: %d samples answered", name, progress.samples_done)
        # The first test's: how long the person at the terminal waited until something was timed.
        self.record["run"].setdefault(
            "first_query_s", round(processes.age_s() - progress.elapsed_s, 3)
        )
        if energy_before_j is not None and (after_j := self._energy_j(accuracy)) is not None:
            self.record["run"]["gpu_energy_j"] = round(after_j - energy_before_j, 3)
        if not accuracy:
            sut.write_timeline(progress.timeline, self.folder.timeline_csv)
        long_enough = progress.samples_done >= ESTIMATE_FILLS * self.max_num_seqs
        self.pace = planning.Pace(
            progress.samples_done / progress.timeline[-1].time_s,
            f"the {name} test",
            planning.FULL_TEST_MARGIN if long_enough else planning.BURST_MARGIN,
        )

    def _energy_j(self, accuracy: bool) -> float | None:
        """The GPUs' energy counter, with --extra-metrics and in a performance test alone."""
        if accuracy or not self.config.extra_metrics:
            return None
        return system_info.gpu_energy_joules()

    def choose_target(self, accuracy: bool) -> planning.Target:
        assert self.pace is not None  # every test follows a warm-up
        if self._is_server and self.server_rate is None:
            self.server_rate = targets.server_rate_from_burst(self.pace)
        target = targets.target(self.prepared, self.pace, self.server_rate)
        if not accuracy:
            value = target.latency_ms if target.qps is None else target.qps
            self.record["resolved"]["target_qps"] = None if target.qps is None else {
                "value": value,
                "source": target.source,
                "expected_samples": target.samples,
                "expected_duration_s": target.expected_duration_s,
            }  # fmt: skip
            self.record["resolved"]["target"] = dataclasses.asdict(target)
            write_json(self.folder.config_json, self.record)
        return target

    def _plan(self, target: planning.Target, accuracy: bool) -> loadgen.LoadGenPlan:
        log_dir = self.folder.accuracy if accuracy else self.folder.performance
        log_dir.mkdir(exist_ok=True)
        text = user_conf_text(
            self.config,
            sample_count=len(self.prompts),
            min_duration_s=self.prepared.min_duration_s,
            target=target,
        )
        write_text(self.folder.user_conf, text)
        return loadgen.LoadGenPlan(
            loadgen_model=self.record["resolved"]["loadgen_model"],
            scenario=self.config.scenario.loadgen_name,
            accuracy=accuracy,
            user_conf=self.folder.user_conf,
            log_dir=log_dir,
            total_samples=len(self.prompts),
            samples_csv=None if accuracy else self.folder.samples_csv,
        )

    def _announce(self, name: str, samples: int, target: planning.Target) -> None:
        """How long the test will take and why, before the first query."""
        seconds = samples * target.expected_duration_s / target.samples
        if target.latency_ms is not None:
            pace = f"one after another, {formatting.milliseconds(1000 * seconds / samples)} each"
        else:
            unit = "queries/s" if self._is_server else "samples/s"
            pace = f"at {formatting.rate(samples / seconds, unit)}"
        self.terminal.say(
            f"{name}: {formatting.count(samples)} samples, about {formatting.duration(seconds)} "
            f"({pace}; from {target.source})"
        )
        # A search has just shown that more would not hold.
        if target.advice and name == "performance" and self.config.server_target_qps != "max":
            self.terminal.say(f"  {target.advice}")

    @contextlib.asynccontextmanager
    async def phase(
        self, key: str, label: str, progress: Progress | None = None, total: int = 0
    ) -> AsyncIterator[None]:
        """Shows a progress line, and adds the seconds to config.json's phases."""

        def describe() -> str | None:
            if progress is None or progress.started_at is None:
                return None
            return progress_line(
                label, progress.samples_done, total, progress.tokens, progress.elapsed_s
            )

        async with timed_phase(self.terminal, self.record["run"]["phases"], key, label, describe):
            yield
