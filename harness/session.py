"""One invocation on one loaded engine: warm-up, then each LoadGen test, leaving LoadGen's logs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

from harness import (
    formatting,
    loadgen,
    planning,
    processes,
    server_search,
    sut,
    system_info,
    targets,
)
from harness.config import Scenario
from harness.engine import Engine, streams_first_token
from harness.errors import BenchmarkError, EngineError
from harness.latency_watch import LatencyWatch
from harness.preparation import Prepared
from harness.run_folder import RunFolder, write_json, write_text
from harness.terminal import Stopwatch, Terminal, progress_line

# Enough to compile and touch every kernel that a test needs.
WARM_UP_SAMPLES = 64
SINGLE_STREAM_WARM_UP_SAMPLES = 8
# A burst of two engine fills has a steady middle to estimate the speed from.
ESTIMATE_FILLS = 2
# The engine's own queue never runs dry, and stays short when LoadGen issues 40,000 at once.
ADMITTED_FILLS = 2

log = logging.getLogger("harness")


class Session:
    """The tests of one run folder; `record` is config.json and grows as the run goes on."""

    def __init__(
        self, prepared: Prepared, folder: RunFolder, record: dict[str, Any], terminal: Terminal
    ):
        self.prepared = prepared
        self.config = prepared.config
        self.folder = folder
        self.record = record
        self.terminal = terminal
        self.prompts = [sample.token_ids for sample in prepared.dataset.samples]
        engine_settings = prepared.engine_settings
        # Sequences that all copies of the model work on at once.
        self.max_num_seqs = int(engine_settings["max_num_seqs"]) * self.config.data_parallel_size
        self.pace: targets.Pace | None = None  # as last seen on this engine
        self.server_rate: tuple[float, str] | None = None

    async def measure(self) -> None:
        """Loads the engine once and runs every test of the run. Raises BenchmarkError."""
        engine = Engine(
            self.prepared.engine_settings,
            max_new_tokens=self.config.max_new_tokens,
            eos_token_ids=self.prepared.model.eos_token_ids,
        )
        if self._is_server:
            self.server_rate = targets.server_rate(self.prepared)
        try:
            async with self.phase("engine_load_s", "loading the engine"):
                await _load(engine)
            log.info("the engine is loaded: load 1 of 1 in this invocation")
            if self._is_server and self.config.server_target_qps == "max":
                await self.warm_up(engine)
                await server_search.find_rate(self, engine)
            if self.config.runs_accuracy:
                await self.warm_up(engine)
                await self.test(engine, accuracy=True)
            if self.config.runs_performance:
                await self.warm_up(engine)
                await server_search.measure_performance(self, engine)
        except EngineError as error:
            raise EngineError(self._explain(error)) from error
        finally:
            async with self.phase("shutdown_s", "shutting the engine down"):
                await asyncio.to_thread(_shut_down, engine)

    @property
    def _is_server(self) -> bool:
        return self.config.scenario in (Scenario.SERVER, Scenario.INTERACTIVE)

    def _warm_up_samples(self) -> int:
        """More than a warm-up needs where the length of the test hangs on the estimate."""
        if self.config.scenario is Scenario.SINGLESTREAM:
            return SINGLE_STREAM_WARM_UP_SAMPLES
        if self._is_server:
            estimates = self.server_rate is None and self.pace is None
        else:
            estimates = self.pace is None and self.prepared.min_duration_s > 0
            estimates = estimates and not self.config.runs_accuracy
        return ESTIMATE_FILLS * self.max_num_seqs if estimates else WARM_UP_SAMPLES

    async def warm_up(self, engine: sut.AnsweringEngine) -> None:
        progress = sut.Progress()
        prompts = self.prompts[: self._warm_up_samples()]
        one_at_a_time = self.config.scenario is Scenario.SINGLESTREAM
        async with self.phase("warm_up_s", "warm-up", progress, len(prompts)):
            result = await sut.burst(
                engine,
                prompts,
                at_once=1 if one_at_a_time else None,
                stall_timeout_s=self.config.stall_timeout_s,
                progress=progress,
            )
        log.info(
            "warm-up: %d samples, %d tokens, %.3f s", result.samples, result.tokens, result.seconds
        )
        if self.pace is None:
            self.pace = targets.Pace(
                result.samples_per_second,
                f"the warm-up of {formatting.count(result.samples)} samples",
                planning.BURST_MARGIN,
            )

    async def test(
        self,
        engine: sut.AnsweringEngine,
        *,
        accuracy: bool,
        watch: LatencyWatch | None = None,
        stop_when_lost: bool = False,
    ) -> None:
        """One LoadGen test of the run; `stop_when_lost` breaks off one that `watch` calls lost."""
        name = "accuracy" if accuracy else "performance"
        target = self.choose_target(accuracy)
        plan = self._plan(target, accuracy)
        samples = len(self.prompts) if accuracy else target.samples
        self._announce(name, samples, target)
        progress = sut.Progress()
        energy_before_j = self._energy_j(accuracy)
        async with self.phase(f"{name}_s", name, progress, samples):
            await sut.run_test(
                engine,
                self.prompts,
                plan,
                stream_first_token=streams_first_token(self.config.scenario),
                admit_at_once=None if self._is_server else ADMITTED_FILLS * self.max_num_seqs,
                stall_timeout_s=self.config.stall_timeout_s,
                progress=progress,
                watch=watch,
                stop_when_lost=stop_when_lost,
            )
        log.info("%s: %d samples answered", name, progress.samples_done)
        if energy_before_j is not None and (after_j := self._energy_j(accuracy)) is not None:
            self.record["run"]["gpu_energy_j"] = round(after_j - energy_before_j, 3)
        if not accuracy:
            sut.write_timeline(progress.timeline, self.folder.timeline_csv)
        long_enough = progress.samples_done >= ESTIMATE_FILLS * self.max_num_seqs
        self.pace = targets.Pace(
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
        text = loadgen.user_conf_text(
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
        if target.advice and name == "performance":
            self.terminal.say(f"  {target.advice}")

    @contextlib.asynccontextmanager
    async def phase(
        self, key: str, label: str, progress: sut.Progress | None = None, total: int = 0
    ) -> AsyncIterator[None]:
        """Shows a progress line, and adds the seconds to config.json's phases."""
        watch = Stopwatch()

        def describe() -> str:
            if progress is None or progress.started_at is None:
                return f"{label}: {formatting.duration(watch.seconds)}"
            return progress_line(
                label, progress.samples_done, total, progress.tokens, progress.elapsed_s
            )

        log.info("%s: begins", label)
        try:
            async with self.terminal.progress(describe):
                yield
        finally:
            phases = self.record["run"]["phases"]
            phases[key] = round(phases.get(key, 0.0) + watch.seconds, 3)
            log.info("%s: %.1f s", label, watch.seconds)

    def _explain(self, error: BenchmarkError) -> str:
        """vLLM says "see root cause above";
        this finds that cause in run.log and adds the way out.
        """
        cause = root_cause(self.folder.run_log.read_text(errors="replace"))
        text = " ".join(str(error).split()).rstrip(".")
        if cause and cause not in text:
            text += f" ({cause})"
        return f"{text}. {_way_out(text)}"


async def _load(engine: Engine) -> None:
    """Loads in a thread, so that progress shows and signals are heard;
    cancelled, leaves no process.
    """
    with_own_thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="engine-load")
    loading = with_own_thread.submit(engine.load)
    with_own_thread.shutdown(wait=False)
    try:
        await asyncio.wrap_future(loading)
    except asyncio.CancelledError:
        if engine.abandon():
            while not loading.done():
                processes.end_children()
                time.sleep(0.05)
        raise


def root_cause(run_log: str) -> str | None:
    """The last line of an engine's traceback, such as "ValueError: ...", shortened."""
    for line in reversed(run_log.splitlines()):
        words = line.split()
        for position, word in enumerate(words):
            if word.endswith(("Error:", "Exception:")) and word[0].isupper():
                found = " ".join(words[position:])
                if "Engine core initialization failed" in found or word == "EngineDeadError:":
                    break
                return found if len(found) <= 300 else found[:297] + "..."
    return None


def _way_out(text: str) -> str:
    lowered = text.lower()
    if "out of memory" in lowered or "no available memory for the cache blocks" in lowered:
        return "Lower --gpu-memory-utilization or --max-model-len, or use more GPUs."
    if "kv cache" in lowered and "larger" in lowered:
        return (
            "Raise --gpu-memory-utilization, or lower --max-model-len "
            "(auto is the least that fits)."
        )
    return "run.log in the run folder holds the engine's own words."


def _shut_down(engine: Engine) -> None:
    engine.shutdown()
    processes.end_children()
