"""How long a test will take, and the LoadGen settings that follow from it. Pure arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness import formatting

# LoadGen issues 1.1 x min_duration x target_qps samples in Offline, padded to whole passes of the
# data set (loadgen/test_settings_internal.cc:146-160, loadgen.cc:320-325).
LOADGEN_OFFLINE_MARGIN = 1.1
# In SingleStream it makes 2 x min_duration / target_latency queries, and then always fills up to
# the next whole pass (test_settings_internal.cc:162-177).
LOADGEN_SINGLE_STREAM_MARGIN = 2.0
# How far the true rate may lie above the estimate. A burst of two engine fills came out 7 to 13 %
# below the steady rate on an H200; a whole test of the data set repeats within a few percent.
BURST_MARGIN = 1.15
FULL_TEST_MARGIN = 1.03
# The share of the engine's Offline rate that a Server test is given when nothing else is known.
SERVER_SHARE_OF_OFFLINE = 0.8
# The Poisson schedule of a Server test ends a little early or late.
SERVER_STEP_MARGIN = 0.985


@dataclass(frozen=True)
class Target:
    """What LoadGen is told to expect, and what that leads to."""

    source: str  # where the estimate came from, for people
    samples: int  # LoadGen will issue that many
    expected_duration_s: float
    qps: float | None = None  # Offline, Server: queries (samples) per second
    latency_ms: float | None = None  # SingleStream: of one query
    advice: str | None = None  # a sentence on a better choice


def offline_target(
    samples_per_second: float,
    *,
    sample_count: int,
    min_duration_s: float,
    source: str,
    margin: float,
) -> Target:
    """The smallest number of whole passes that lasts `min_duration_s`, and the rate to ask for it.

    `margin` is how far the true rate may lie above the estimate without the run ending early.
    """
    passes = max(1, math.ceil(samples_per_second * margin * min_duration_s / sample_count))
    samples = passes * sample_count
    qps = samples_per_second
    if min_duration_s > 0:
        # Close to the highest rate that gives this many passes; less by a hundredth of one, as
        # LoadGen rounds up.
        qps = (samples - sample_count / 100) / (LOADGEN_OFFLINE_MARGIN * min_duration_s)
    return Target(source, samples, samples / samples_per_second, qps=qps)


def server_target(qps: float, *, sample_count: int, min_duration_s: float, source: str) -> Target:
    """Whole passes of the data set at `qps` until `min_duration_s` is scheduled.

    Advises the rate just under the next whole number of passes where that is faster and no longer.
    """
    passes = max(1, math.ceil(qps * min_duration_s / sample_count))
    samples = passes * sample_count
    advice = None
    if min_duration_s > 0:
        best = passes * sample_count / min_duration_s * SERVER_STEP_MARGIN
        if best > qps * 1.01:
            advice = (
                f"LoadGen pads to {passes} whole {'pass' if passes == 1 else 'passes'} "
                f"of the data set: {formatting.rate(best, 'queries/s')} would take "
                f"{formatting.duration(samples / best)} "
                f"instead of {formatting.duration(samples / qps)}."
            )
    return Target(source, samples, samples / qps, qps=qps, advice=advice)


def single_stream_target(
    latency_s: float, *, sample_count: int, min_duration_s: float, source: str, margin: float
) -> Target:
    """Whole passes that last `min_duration_s` one query after another, and the latency to tell.

    `margin` is how far the true latency may lie below the estimate without LoadGen running out of
    queries.
    """
    passes = max(1, math.ceil(min_duration_s * margin / (latency_s * sample_count)))
    samples = passes * sample_count
    told_s = latency_s
    if min_duration_s > 0:
        # LoadGen fills up to the next whole pass even when it has just reached one.
        queries = samples - sample_count / 50
        told_s = LOADGEN_SINGLE_STREAM_MARGIN * min_duration_s / queries
    return Target(source, samples, samples * latency_s, latency_ms=told_s * 1000)
