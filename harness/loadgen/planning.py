"""How long a test will take, and the LoadGen settings that follow from it. Pure arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass

from harness import formatting
from harness.config import LONGEST_TEST_S
from harness.language import phrase

# LoadGen issues 1.1 x min_duration x target_qps samples in Offline, padded to whole passes of the
# data set (loadgen/test_settings_internal.cc:146-160, loadgen.cc:320-325).
LOADGEN_OFFLINE_MARGIN = 1.1
# In SingleStream it makes 2 x min_duration / target_latency queries, and then always fills up to
# the next whole pass (test_settings_internal.cc:162-177).
LOADGEN_SINGLE_STREAM_MARGIN = 2.0
# How many times as fast as seen the engine may be. A burst of two engine fills came out 7 to 13 %
# below the steady rate on an H200, one of two and a half fills 2 to 4 % on an H100; a whole test of
# the data set repeats within a few percent.
BURST_MARGIN = 1.15
FULL_TEST_MARGIN = 1.03
# Over n samples on a full engine the rate scatters by up to this over the root of n more: two
# standard errors of the mean work of a sample, whose prompts differ by half of their mean length.
STEADY_SCATTER = 1.0
# The share of the engine's Offline rate that a Server test is given when nothing else is known.
SERVER_SHARE_OF_OFFLINE = 0.8
# The Poisson schedule of a Server test ends a little early or late.
SERVER_STEP_MARGIN = 0.985
# How far floating-point arithmetic may be off: a test that lasts the minimum exactly needs no
# further pass.
ROUNDING = 1e-9
# LoadGen makes all queries before it issues the first, 320 bytes each, and the record of their
# times takes as much again: 7 GB. Nobody's result of this model needs a tenth of them.
MOST_QUERIES = 10_000_000


@dataclass(frozen=True)
class Pace:
    """How fast the engine was when last seen."""

    samples_per_second: float
    source: str  # where it was seen, for people
    margin: float  # how many times as fast it may be in truth


@dataclass(frozen=True)
class Target:
    """What LoadGen is given to expect, and what that leads to."""

    source: str  # where the estimate came from, for people
    samples: int  # LoadGen will issue that many
    expected_duration_s: float
    qps: float | None = None  # Offline, Server: queries (samples) per second
    latency_ms: float | None = None  # SingleStream: of one query
    advice: str | None = None  # a sentence on a better choice


def beyond_reason(target: Target) -> str | None:
    """What a test should not be tried for, in words; None: it can be."""
    if target.samples > MOST_QUERIES:
        return phrase(
            "the test would have {count} queries, and LoadGen, which keeps them all in memory, "
            "should have {most} at most",
            count=formatting.count(target.samples), most=formatting.count(MOST_QUERIES),
        )  # fmt: skip
    if target.expected_duration_s > LONGEST_TEST_S:
        return phrase(
            "the test of {count} queries would take {duration}, and a week is the most",
            count=formatting.count(target.samples),
            duration=formatting.duration(target.expected_duration_s),
        )  # fmt: skip
    return None


def passes_that_last(samples_per_second: float, *, sample_count: int, min_duration_s: float) -> int:
    """The fewest whole passes of the data set that take `min_duration_s` at a rate."""
    passes = samples_per_second * min_duration_s / sample_count
    return max(1, math.ceil(passes * (1 - ROUNDING)))


def offline_target(pace: Pace, *, sample_count: int, min_duration_s: float) -> Target:
    """The fewest whole passes that surely last `min_duration_s`, and the rate to ask for them."""
    fastest = pace.samples_per_second * pace.margin
    passes = passes_that_last(fastest, sample_count=sample_count, min_duration_s=min_duration_s)
    samples = passes * sample_count
    qps = pace.samples_per_second
    if min_duration_s > 0:
        # Close to the highest rate that gives this many passes; less by a hundredth of one, as
        # LoadGen rounds up.
        qps = (samples - sample_count / 100) / (LOADGEN_OFFLINE_MARGIN * min_duration_s)
    return Target(pace.source, samples, samples / pace.samples_per_second, qps=qps)


def steady_margin(samples: int) -> float:
    """The margin of a rate that was seen over so many samples on a full engine."""
    return FULL_TEST_MARGIN + STEADY_SCATTER / math.sqrt(samples)


def samples_of_longer_burst(
    pace: Pace, *, fill: int, spent: int, sample_count: int, min_duration_s: float
) -> int:
    """How long a further burst should be for an Offline test of fewer passes; 0: none pays.

    An estimate whose margin reaches over the end of a pass costs a whole pass more. A burst over n
    samples on a full engine has a smaller margin; it answers two engine fills besides, before and
    after its steady part, which is no shorter than one fill itself. `spent` samples have gone into
    such bursts already: with this one they may not cost more than the passes they save.
    """
    rate = pace.samples_per_second
    likely, sure = (
        passes_that_last(highest, sample_count=sample_count, min_duration_s=min_duration_s)
        for highest in (rate, rate * pace.margin)
    )
    shortest, shortest_total = 0, sure * sample_count
    for passes in range(likely, sure):
        margin = passes * sample_count / (rate * min_duration_s)
        if margin <= FULL_TEST_MARGIN:  # so near the end of a pass that no burst can be sure
            continue
        counted = math.ceil((STEADY_SCATTER / (margin - FULL_TEST_MARGIN)) ** 2)
        burst = 2 * fill + max(fill, counted)
        total = burst + passes * sample_count
        if spent + total < shortest_total:
            shortest, shortest_total = burst, spent + total
    return shortest


def server_target(qps: float, *, sample_count: int, min_duration_s: float, source: str) -> Target:
    """Whole passes of the data set at `qps` until `min_duration_s` is scheduled.

    Advises the rate just under the next whole number of passes where that is faster and no longer.
    """
    passes = passes_that_last(qps, sample_count=sample_count, min_duration_s=min_duration_s)
    samples = passes * sample_count
    advice = None
    if min_duration_s > 0:
        best = passes * sample_count / min_duration_s * SERVER_STEP_MARGIN
        if best > qps * 1.01:
            advice = phrase(
                "LoadGen pads to {passes} whole {value} of the data set: {rate} would take "
                "{duration} instead of {longer}.",
                passes=passes, value="pass" if passes == 1 else "passes",
                rate=formatting.rate(best, "queries/s"),
                duration=formatting.duration(samples / best),
                longer=formatting.duration(samples / qps),
            )  # fmt: skip
    return Target(source, samples, samples / qps, qps=qps, advice=advice)


def single_stream_target(pace: Pace, *, sample_count: int, min_duration_s: float) -> Target:
    """The fewest whole passes that surely last `min_duration_s` one query after another.

    Its latency is the one that makes LoadGen issue so many.
    """
    fastest = pace.samples_per_second * pace.margin
    passes = passes_that_last(fastest, sample_count=sample_count, min_duration_s=min_duration_s)
    samples = passes * sample_count
    latency_s = 1 / pace.samples_per_second
    given_latency_s = latency_s
    if min_duration_s > 0:
        # LoadGen fills up to the next whole pass even when it has just reached one.
        queries = samples - sample_count / 50
        given_latency_s = LOADGEN_SINGLE_STREAM_MARGIN * min_duration_s / queries
    return Target(pace.source, samples, samples * latency_s, latency_ms=given_latency_s * 1000)
