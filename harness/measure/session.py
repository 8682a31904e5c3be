"""One run on one loaded engine: warm-up, then each LoadGen test, leaving LoadGen's logs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from harness.engine import life as engine_life
from harness.engine.keeper import EngineKeeper
from harness.engine.vllm import Engine
from harness.errors import EngineError
from harness.loadgen.planning import Target
from harness.measure import highest_rate, performance, targets, tests
from harness.measure.active import ActiveRun
from harness.measure.preparation import Prepared
from harness.measure.record import RunRecord
from harness.measure.warm_up import warm_up
from harness.results.folder import RunFolder
from harness.terminal import Terminal

# Makes the engine of a run, not loaded yet; a test's double stands in for it here.
EngineMaker = Callable[[Prepared], Engine]

log = logging.getLogger("harness")


def make_engine(prepared: Prepared) -> Engine:
    """The engine of a run as its plan has it."""
    return Engine(prepared.plan, prepared.sampling)


async def measure(
    prepared: Prepared,
    folder: RunFolder,
    record: RunRecord,
    terminal: Terminal,
    keeper: EngineKeeper,
    make: EngineMaker = make_engine,
) -> None:
    """Runs every test on one engine: one of its own, or the one that the run before left.

    Raises BenchmarkError.
    """
    kept = keeper.take(prepared.plan.settings)
    engine = kept or make(prepared)
    run = ActiveRun(prepared, folder, record, terminal, engine)
    try:
        if kept is not None:
            log.info("the engine of the run before goes on; its words: %s", keeper.run_log)
            record.takes_over_engine()
        else:
            async with run.phase("engine_load_s", "loading the engine"):
                await engine_life.load(engine)
            keeper.loaded(folder.run_log)
            log.info("the engine is loaded: load %d in this invocation", keeper.loads)
        await _all_tests(run)
        keeper.keep(engine)
    except EngineError as error:
        log_of_engine = keeper.run_log or folder.run_log
        raise EngineError(engine_life.explain(error, log_of_engine)) from error
    finally:
        if not keeper.keeps(engine):
            async with run.phase("shutdown_s", "shutting the engine down"):
                await asyncio.to_thread(engine_life.shut_down, engine)


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
        if config.compliance:
            run.terminal.say("TEST06: 100 queries")
            await tests.loadgen_test(run, tests.test06(run, target))


async def _measure_performance(run: ActiveRun) -> Target:
    """The performance test whose logs count; returns its target."""
    if run.is_server and run.config.server_target_qps == "max":
        return await highest_rate.measure_at_the_rate(run)
    target = performance.choose_target(run)
    await performance.measure(run, target)
    return target
