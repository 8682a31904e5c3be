"""The warm-up before a test, which is also the first look at the engine's speed."""

from __future__ import annotations

import logging

from harness import formatting
from harness.config import Scenario
from harness.loadgen import burst, planning
from harness.loadgen.answering import Progress
from harness.measure.active import ActiveRun
from harness.measure.targets import Pace

# Enough to compile and touch every kernel that a test needs.
WARM_UP_SAMPLES = 64
SINGLE_STREAM_WARM_UP_SAMPLES = 8
# A burst of two engine fills has a steady middle to estimate the speed from.
ESTIMATE_FILLS = 2

log = logging.getLogger("harness")


async def warm_up(run: ActiveRun) -> None:
    """Answers some prompts without LoadGen. Raises EngineError."""
    progress = Progress()
    prompts = run.prompts[: samples(run)]
    one_at_a_time = run.config.scenario is Scenario.SINGLESTREAM
    async with run.phase("warm_up_s", "warm-up", progress, len(prompts)):
        result = await burst.burst(
            run.engine,
            prompts,
            at_once=1 if one_at_a_time else None,
            stall_timeout_s=run.config.stall_timeout_s,
            progress=progress,
        )
    log.info(
        "warm-up: %d samples, %d tokens, %.3f s", result.samples, result.tokens, result.seconds
    )
    if run.pace is None:
        run.pace = Pace(
            result.samples_per_second,
            f"the warm-up of {formatting.count(result.samples)} samples",
            planning.BURST_MARGIN,
        )


def samples(run: ActiveRun) -> int:
    """More than a warm-up needs where the length of the test hangs on the estimate."""
    if run.config.scenario is Scenario.SINGLESTREAM:
        return SINGLE_STREAM_WARM_UP_SAMPLES
    estimates = run.pace is None
    if run.is_server:
        # A search begins from the last Offline run where there is one.
        estimates = estimates and run.server_rate is None and run.last_offline is None
    else:
        timed = run.prepared.min_duration_s > 0 and not run.config.runs_accuracy
        estimates = estimates and timed
    return ESTIMATE_FILLS * run.max_num_seqs if estimates else WARM_UP_SAMPLES
