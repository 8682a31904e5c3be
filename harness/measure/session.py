"""One run on one loaded engine: warm-up, then each LoadGen test, leaving LoadGen's logs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from harness import formatting, precision
from harness.engine import life as engine_life
from harness.engine.causes import EngineLog
from harness.engine.keeper import EngineKeeper
from harness.engine.plan import EnginePlan
from harness.engine.settings import Sampling
from harness.engine.vllm import Engine
from harness.errors import EngineError
from harness.language import phrase
from harness.loadgen.planning import Target
from harness.machine import cards, ceilings
from harness.measure import highest_rate, performance, repeats, targets, tests
from harness.measure.active import ActiveRun
from harness.measure.preparation import Prepared
from harness.measure.record import RunRecord
from harness.measure.warm_up import warm_up
from harness.results.folder import RunFolder
from harness.terminal import Terminal

# Makes the engine of a run, not loaded yet; a test's double stands in for it here.
EngineMaker = Callable[[EnginePlan, Sampling], Engine]

log = logging.getLogger("harness")


@dataclass(frozen=True)
class EngineSource:
    """Where a run's engine comes from, and which run may go on with it."""

    keeper: EngineKeeper
    make_engine: EngineMaker = Engine
    next_settings: Mapping[str, Any] | None = None  # of the run after this one

    def take(self, prepared: Prepared) -> tuple[Engine, bool]:
        """The engine that the run before left, or a new one; and whether it is loaded already."""
        kept = self.keeper.take()
        return kept or self.make_engine(prepared.plan, prepared.sampling), kept is not None


async def measure(
    prepared: Prepared,
    folder: RunFolder,
    record: RunRecord,
    terminal: Terminal,
    source: EngineSource,
) -> None:
    """Runs every test on one engine: one of its own, or the one that the run before left.

    Raises BenchmarkError.
    """
    keeper = source.keeper
    engine, loaded_already = source.take(prepared)
    engine_log = EngineLog((loaded_already and keeper.run_log) or folder.run_log)
    run = ActiveRun(prepared, folder, record, terminal, engine, engine_log)
    try:
        if loaded_already:
            log.info("the engine of the run before goes on; its words: %s", keeper.run_log)
            record.takes_over_engine()
        else:
            await _measure_ceilings(run)
            async with run.phase("engine_load_s", phrase("loading the engine")):
                await engine_life.load(engine, prepared.config.stall_timeout_s)
            keeper.loaded(folder.run_log)
            log.info("the engine is loaded: load %d in this invocation", keeper.loads)
        await _all_tests(run)
        keeper.keep(engine, source.next_settings)
    except EngineError as error:
        raise EngineError(engine_life.explain(error, engine_log)) from error
    finally:
        if not keeper.keeps(engine):
            async with run.phase("shutdown_s", phrase("shutting the engine down")):
                await asyncio.to_thread(engine_life.shut_down, engine)


async def _measure_ceilings(run: ActiveRun) -> None:
    """What a GPU can do, while it is still free; a run without one has nothing to measure."""
    if run.config.extra_metrics and run.prepared.plan.system.gpu_count:
        async with run.phase("ceilings_s", phrase("measuring what a GPU can do")):
            found = await asyncio.to_thread(ceilings.measure, _products_are_in(run.prepared))
        if found is not None:
            run.record.ceilings(found)


def _products_are_in(prepared: Prepared) -> str:
    """The number format of a run's products on its GPU, as --precision spells it."""
    quantised, card = prepared.plan.model.quantization, cards.find(prepared.plan.system.gpu_kind)
    asked = precision.of_products(
        prepared.config.precision, quantised.activations if quantised else None
    )
    return asked if card is None else card.multiplies_in(asked)


async def _all_tests(run: ActiveRun) -> None:
    """The search where one is asked for, accuracy first, then performance and its TEST06."""
    config = run.config
    if run.is_server:
        run.server_rate = targets.known_server_rate(config, run.last_offline)
        if config.server_target_qps == "max":
            await warm_up(run)
            await highest_rate.find_rate(run)
    if config.runs_accuracy:
        await warm_up(run)
        await performance.collect_answers(run)
    if config.runs_performance:
        await warm_up(run)
        target = await _measure_performance(run)
        await repeats.measure_again(run, target)
        if config.compliance:
            test = tests.test06(run, target)
            run.terminal.say(
                phrase(
                    "{name}: {count} queries", name=test.name, count=formatting.count(test.samples)
                )
            )
            await tests.loadgen_test(run, test)


async def _measure_performance(run: ActiveRun) -> Target:
    """The performance test whose logs count; returns its target."""
    if run.is_server and run.config.server_target_qps == "max":
        return await highest_rate.measure_at_the_rate(run)
    target = performance.choose_target(run)
    await performance.measure(run, target)
    return target
