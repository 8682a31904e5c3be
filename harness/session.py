"""One invocation on one loaded engine: warm-up, then each LoadGen test of the run, leaving LoadGen's logs behind."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from typing import Any

from harness import formatting, loadgen, planning, processes, sut
from harness.engine import Engine, streams_first_token
from harness.errors import BenchmarkError, EngineError
from harness.preparation import Prepared
from harness.run_folder import RunFolder, write_json, write_text
from harness.terminal import Stopwatch, Terminal, progress_line

# Enough to compile and touch every kernel that a test needs.
WARM_UP_SAMPLES = 64
# A burst of two engine fills has a steady middle to estimate the speed from.
ESTIMATE_FILLS = 2
# The engine's own queue never runs dry, and stays short when LoadGen issues 40,000 queries at once.
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
        self.max_num_seqs = int(prepared.engine_settings["max_num_seqs"])
        self.samples_per_second: float | None = None  # as last seen on this engine
        self.rate_source = ""
        self.rate_margin = planning.BURST_MARGIN

    async def measure(self) -> None:
        """Loads the engine once and runs every test of the run. Raises BenchmarkError."""
        engine = Engine(
            self.prepared.engine_settings,
            max_new_tokens=self.config.max_new_tokens,
            eos_token_ids=self.prepared.model.eos_token_ids,
        )
        try:
            async with self.phase("engine_load_s", "loading the engine"):
                await _load(engine)
            log.info("the engine is loaded: load 1 of 1 in this invocation")
            if self.config.runs_accuracy:
                await self._warm_up(engine, WARM_UP_SAMPLES)
                await self._test(engine, accuracy=True)
            if self.config.runs_performance:
                await self._warm_up(engine, self._estimate_samples())
                await self._test(engine, accuracy=False)
        except EngineError as error:
            raise EngineError(self._explain(error)) from error
        finally:
            async with self.phase("shutdown_s", "shutting the engine down"):
                await asyncio.to_thread(_shut_down, engine)

    def _estimate_samples(self) -> int:
        if self.samples_per_second is not None or self.prepared.min_duration_s == 0:
            return WARM_UP_SAMPLES
        return ESTIMATE_FILLS * self.max_num_seqs

    async def _warm_up(self, engine: Engine, samples: int) -> None:
        progress = sut.Progress()
        prompts = self.prompts[:samples]
        async with self.phase("warm_up_s", "warm-up", progress, len(prompts)):
            result = await sut.burst(
                engine, prompts, stall_timeout_s=self.config.stall_timeout_s, progress=progress
            )
        log.info(
            "warm-up: %d samples, %d tokens, %.3f s", result.samples, result.tokens, result.seconds
        )
        if self.samples_per_second is None:
            self.samples_per_second = result.samples_per_second
            self.rate_source = f"the warm-up of {formatting.count(result.samples)} samples"
            self.rate_margin = planning.BURST_MARGIN

    async def _test(self, engine: Engine, *, accuracy: bool) -> None:
        name = "accuracy" if accuracy else "performance"
        count = len(self.prompts)
        target = self._target(count, accuracy)
        log_dir = self.folder.accuracy if accuracy else self.folder.performance
        log_dir.mkdir(exist_ok=True)
        write_text(
            self.folder.user_conf,
            loadgen.user_conf_text(
                self.config,
                sample_count=count,
                min_duration_s=self.prepared.min_duration_s,
                target_qps=target.value,
            ),
        )
        plan = loadgen.LoadGenPlan(
            loadgen_model=self.record["resolved"]["loadgen_model"],
            scenario=self.config.scenario.loadgen_name,
            accuracy=accuracy,
            user_conf=self.folder.user_conf,
            log_dir=log_dir,
            total_samples=count,
            samples_csv=None if accuracy else self.folder.samples_csv,
        )
        samples = count if accuracy else target.samples
        self.terminal.say(
            f"{name}: {formatting.count(samples)} samples, about "
            f"{formatting.duration(samples * target.expected_duration_s / target.samples)} "
            f"(at {formatting.rate(target.samples / target.expected_duration_s, 'samples/s')}, from {target.source})"
        )
        progress = sut.Progress()
        async with self.phase(f"{name}_s", name, progress, samples):
            await sut.run_test(
                engine,
                self.prompts,
                plan,
                stream_first_token=streams_first_token(self.config.scenario),
                admit_at_once=ADMITTED_FILLS * self.max_num_seqs,
                stall_timeout_s=self.config.stall_timeout_s,
                progress=progress,
            )
        log.info("%s: %d samples answered", name, progress.samples_done)
        if not accuracy:
            sut.write_timeline(progress.timeline, self.folder.timeline_csv)
        self.samples_per_second = progress.samples_done / progress.timeline[-1].time_s
        self.rate_source = f"the {name} test"
        if progress.samples_done >= ESTIMATE_FILLS * self.max_num_seqs:
            self.rate_margin = planning.FULL_TEST_MARGIN

    def _target(self, count: int, accuracy: bool) -> planning.TargetRate:
        assert self.samples_per_second is not None  # every test follows a warm-up
        target = planning.offline_target(
            self.samples_per_second,
            sample_count=count,
            min_duration_s=self.prepared.min_duration_s,
            source=self.rate_source,
            margin=self.rate_margin,
        )
        if not accuracy:
            self.record["resolved"]["target_qps"] = {
                "value": target.value,
                "source": target.source,
                "expected_samples": target.samples,
                "expected_duration_s": target.expected_duration_s,
            }
            write_json(self.folder.config_json, self.record)
        return target

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
        """vLLM says "see root cause above"; this finds that cause in run.log and adds the way out."""
        cause = root_cause(self.folder.run_log.read_text(errors="replace"))
        text = str(error).rstrip(".")
        if cause and cause not in text:
            text += f" ({cause})"
        return f"{text}. {_way_out(text)}"


async def _load(engine: Engine) -> None:
    """Loads in a thread, so that progress shows and signals are heard; cancelled, leaves no process."""
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
        return "Raise --gpu-memory-utilization, or lower --max-model-len (auto is the least that fits)."
    return "run.log in the run folder holds the engine's own words."


def _shut_down(engine: Engine) -> None:
    engine.shutdown()
    processes.end_children()
