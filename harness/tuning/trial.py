"""How good a loaded engine's settings are, in less time than a LoadGen test takes.

Offline: tokens per second while the engine is full. The first fill and the last are left out: they
weigh more the more sequences the engine takes, and nothing in a test of ten minutes.

SingleStream: the mean latency of some queries, one after another; they hardly differ.

Server and Interactive: the rate at which both p99 limits hold would need a search of minute-long
tests for every trial. Instead the engine gets a fixed number of queries in flight, each answer
bringing the next query, and that number is varied until it stands on both sides of the limits; the
score is the tokens per second between the two, where the tighter limit is just reached. In a Server
test as many queries are in flight on average at that rate. What this leaves out is that there they
come in bursts, so the score lies above the rate that a test will hold, for all settings alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

from harness import formatting
from harness.config import Scenario
from harness.errors import BenchmarkError
from harness.loadgen.answering import AnsweringEngine, Progress
from harness.loadgen.burst import Burst, burst
from harness.loadgen.latency_watch import percentile
from harness.rounds import LatencyLimits

OFFLINE_FILLS = 4  # prompts, in fills of the most sequences that any trial has
SINGLE_STREAM_QUERIES = 32
WARM_UP_PROMPTS = 64
SINGLE_STREAM_WARM_UP = 8
MIN_COUNTED = 400  # queries, for a p99
FIRST_IN_FLIGHT = {Scenario.SERVER: 512, Scenario.INTERACTIVE: 256}
IN_FLIGHT_STEP = 1.5
MAX_LOOPS = 6


@dataclass(frozen=True)
class TrialScore:
    """The figure that counts, and those it was taken from."""

    value: float
    details: dict[str, float]


class NoScoreError(BenchmarkError):
    """The engine works, and is no good for the scenario."""


@dataclass(frozen=True)
class Work:
    """What every trial of a search answers."""

    scenario: Scenario
    prompts: Sequence[list[int]]
    most_sequences: int  # that any trial's engine takes, all copies of the model together
    limits: LatencyLimits | None  # of Server and Interactive
    stall_timeout_s: float

    def first(self, count: int) -> list[list[int]]:
        """The same `count` prompts every time, over again where there are fewer."""
        return list(itertools.islice(itertools.cycle(self.prompts), count))


async def measure(
    engine: AnsweringEngine, work: Work, *, sequences: int, in_flight: int | None = None
) -> TrialScore:
    """Warms the engine up and scores it.

    `sequences` is what this engine takes at once, and `in_flight` the number of queries with which
    to begin, where the limits ask for a search. Raises EngineError and NoScoreError.
    """
    if work.scenario is Scenario.SINGLESTREAM:
        await _answer(engine, work, SINGLE_STREAM_WARM_UP, at_once=1)
        return await _single_stream(engine, work)
    await _answer(engine, work, WARM_UP_PROMPTS, at_once=None)
    if work.limits is None:
        return await _offline(engine, work, sequences)
    first = in_flight or FIRST_IN_FLIGHT[work.scenario]
    return await _within_limits(engine, work, work.limits, min(first, sequences), sequences)


async def _single_stream(engine: AnsweringEngine, work: Work) -> TrialScore:
    answers = (await _answer(engine, work, SINGLE_STREAM_QUERIES, at_once=1, stream=True)).answers
    mean_ms = sum(answer.latency_ms for answer in answers) / len(answers)
    ttft_ms = sum(answer.ttft_ms for answer in answers) / len(answers)
    return TrialScore(mean_ms, {"ttft_mean_ms": ttft_ms})


async def _offline(engine: AnsweringEngine, work: Work, sequences: int) -> TrialScore:
    count = OFFLINE_FILLS * work.most_sequences
    result = await _answer(engine, work, count, at_once=2 * sequences)
    return TrialScore(result.steady_tokens_per_second(sequences), {"prompts": count})


@dataclass(frozen=True)
class Loop:
    """What a fixed number of queries in flight led to."""

    in_flight: int
    tokens_per_second: float
    ttft_p99_ms: float
    tpot_p99_ms: float
    share: float  # of the tighter limit: above 1 it is missed


async def _within_limits(
    engine: AnsweringEngine, work: Work, limits: LatencyLimits, first: int, most: int
) -> TrialScore:
    loops: list[Loop] = []
    while (number := next_in_flight(loops, first, most)) is not None:
        loops.append(await _loop(engine, work, limits, number))
    return score_of(loops)


async def _loop(engine: AnsweringEngine, work: Work, limits: LatencyLimits, in_flight: int) -> Loop:
    # One fill to get going, one in which the first wave spreads out, and one to run empty.
    count = 3 * in_flight + max(in_flight, MIN_COUNTED)
    result = await _answer(engine, work, count, at_once=in_flight, stream=True)
    counted = sorted(result.answers, key=lambda answer: answer.asked_s)
    counted = counted[2 * in_flight : count - in_flight]
    ttft_ms = percentile([answer.ttft_ms for answer in counted], 0.99)
    tpot_ms = percentile([answer.tpot_ms for answer in counted], 0.99)
    assert ttft_ms is not None  # MIN_COUNTED are counted
    assert tpot_ms is not None
    return Loop(
        in_flight,
        result.steady_tokens_per_second(in_flight),
        ttft_ms,
        tpot_ms,
        max(ttft_ms / limits.ttft_p99_ms, tpot_ms / limits.tpot_p99_ms),
    )


def next_in_flight(loops: Sequence[Loop], first: int, most: int) -> int | None:
    """The next number of queries in flight; None: the limits lie between two, or out of reach."""
    if not loops:
        return first
    held = max((loop.in_flight for loop in loops if loop.share <= 1), default=None)
    missed = min((loop.in_flight for loop in loops if loop.share > 1), default=None)
    if len(loops) >= MAX_LOOPS or (held is not None and missed is not None):
        return None
    if missed is None:
        assert held is not None
        return None if held >= most else min(most, round(held * IN_FLIGHT_STEP))
    return None if missed == 1 else max(1, round(missed / IN_FLIGHT_STEP))


def score_of(loops: Sequence[Loop]) -> TrialScore:
    """Tokens per second where the tighter limit is just reached, between two loops.

    Raises NoScoreError when the limits were never kept.
    """
    held = max((loop for loop in loops if loop.share <= 1), key=_in_flight, default=None)
    missed = min((loop for loop in loops if loop.share > 1), key=_in_flight, default=None)
    if held is None:
        assert missed is not None  # there is at least one loop
        raise NoScoreError(
            f"The limits are missed even with {missed.in_flight} queries in flight "
            f"(TTFT p99 {formatting.milliseconds(missed.ttft_p99_ms)}, "
            f"TPOT p99 {formatting.milliseconds(missed.tpot_p99_ms)})."
        )
    way = 0.0
    if missed is not None:
        way = (1 - held.share) / (missed.share - held.share)
    more = 0.0 if missed is None else missed.tokens_per_second - held.tokens_per_second
    details = {
        "in_flight": held.in_flight,
        "ttft_p99_ms": held.ttft_p99_ms,
        "tpot_p99_ms": held.tpot_p99_ms,
    }
    return TrialScore(held.tokens_per_second + way * more, details)


def _in_flight(loop: Loop) -> int:
    return loop.in_flight


async def _answer(
    engine: AnsweringEngine,
    work: Work,
    count: int,
    *,
    at_once: int | None,
    stream: bool = False,
) -> Burst:
    return await burst(
        engine,
        work.first(count),
        stall_timeout_s=work.stall_timeout_s,
        progress=Progress(),
        at_once=at_once,
        stream_first_token=stream,
    )
