"""The warm-up before a test, which is also the first look at the engine's speed."""

from __future__ import annotations

import functools
import logging
from collections.abc import Sequence

from harness import formatting
from harness.config import Scenario
from harness.language import phrase
from harness.loadgen import planning
from harness.loadgen.answering import Progress
from harness.loadgen.burst import Burst, burst
from harness.loadgen.planning import Pace
from harness.measure import pace
from harness.measure.active import ActiveRun
from harness.measure.pace import ESTIMATE_FILLS, WARM_UP_SAMPLES
from harness.measure.tests import ADMITTED_FILLS

SINGLE_STREAM_WARM_UP_SAMPLES = 8

log = logging.getLogger("harness")


async def warm_up(run: ActiveRun) -> None:
    """Answers some prompts without LoadGen; the first time, they show how fast the engine is.

    Raises EngineError.
    """
    answer = functools.partial(_burst, run)
    if run.pace is None and pace.is_wanted(run.config, run.prepared.min_duration_s):
        record = run.record.to_json()
        run.pace = await pace.warm_up(
            record, run.prompts, run.max_num_seqs, answer, run.terminal.say
        )
        return
    result = await answer(run.prompts[: samples(run)])
    if run.pace is None:
        run.pace = Pace(
            result.samples_per_second,
            phrase("the warm-up of {samples} samples", samples=formatting.count(result.samples)),
            planning.BURST_MARGIN,
        )


def samples(run: ActiveRun) -> int:
    """More than a warm-up needs where the rate of a Server test hangs on the estimate."""
    if run.config.scenario is Scenario.SINGLESTREAM:
        return SINGLE_STREAM_WARM_UP_SAMPLES
    estimates = run.is_server and run.server_rate is None and run.pace is None
    # A search begins from the last Offline run where there is one.
    estimates = estimates and run.last_offline is None
    return ESTIMATE_FILLS * run.max_num_seqs if estimates else WARM_UP_SAMPLES


async def _burst(run: ActiveRun, prompts: Sequence[list[int]]) -> Burst:
    progress = Progress()
    at_once = {Scenario.SINGLESTREAM: 1, Scenario.OFFLINE: ADMITTED_FILLS * run.max_num_seqs}
    async with run.phase("warm_up_s", phrase("warm-up"), progress, len(prompts)):
        result = await burst(
            run.engine,
            prompts,
            at_once=at_once.get(run.config.scenario),
            stall_timeout_s=run.config.stall_timeout_s,
            progress=progress,
        )
    log.info(
        "warm-up: %d samples, %d tokens, %.3f s", result.samples, result.tokens, result.seconds
    )
    return result
