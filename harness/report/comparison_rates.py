"""Tokens per second in the steady part of two tests, and the interval of their ratio.

A test is cut at equal numbers of tokens, and the seconds between the cuts are what varies. Where
both tests were asked the same queries in the same order, the cuts stand at the same work in both:
what is slow in both, long prompts for one, is then no difference between them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from harness.config import Scenario
from harness.report.comparison_runs import ComparedRun, TimedTest
from harness.report.comparison_statistics import (
    MIN_BLOCKS,
    Array,
    Interval,
    block_length,
    blocks_of,
    interval,
    weights_of,
    widening,
)

_MAX_CUTS = 2000
_ENOUGH_POINTS = 64  # of timeline.csv; where it has fewer, the answers of samples.csv may have more
_BEGINNING = 0.1  # of a Server test, in which its queue fills
_SAME_WORK = 0.02  # tests whose answers have that much the same tokens did the same work


@dataclass(frozen=True)
class SteadyPart:
    """From which token to which a test is steady; the whole test where no part of it is."""

    first_token: float
    last_token: float
    is_steady: bool


@dataclass(frozen=True)
class RateRatio:
    """The rates of two tests; the interval is None where the tests are too short for one."""

    interval: Interval | None
    paired: bool


def steady_part(run: ComparedRun, test: TimedTest) -> SteadyPart:
    """Offline: from one fill of answers to one before the end. Server: while queries come, but for
    the beginning. SingleStream: all of it.
    """
    time_s, tokens = _progress(test)
    whole = SteadyPart(0.0, float(tokens[-1]), False)
    if run.scenario is Scenario.SINGLESTREAM:
        return SteadyPart(0.0, float(tokens[-1]), True)
    if run.scenario is Scenario.OFFLINE:
        if len(test.issued_s) < 3 * run.fill:
            return whole
        done = np.sort(test.completed_s)
        begin_s, end_s = float(done[run.fill - 1]), float(done[-run.fill])
    else:
        end_s = float(test.issued_s[-1])
        # A queue has filled after some answers' time, at least.
        begin_s = max(_BEGINNING * end_s, 2 * float(np.median(test.times_ms["latency"])) / 1000)
        if begin_s > end_s / 2:
            return whole
    first, last = np.interp((begin_s, end_s), time_s, tokens)
    return SteadyPart(float(first), float(last), True)


def steady_rate(run: ComparedRun, test: TimedTest) -> float:
    """Tokens per second in the steady part."""
    part = steady_part(run, test)
    seconds = _seconds_between_cuts(test, part, 1)
    return (part.last_token - part.first_token) / max(float(seconds.sum()), 1e-9)


def rate_of_halves(run: ComparedRun, test: TimedTest) -> tuple[float, float] | None:
    """Tokens per second in both halves of the steady part; None where queries set the rate."""
    part = steady_part(run, test)
    if not part.is_steady or run.result.scenario == "Server":
        return None
    half = (part.last_token - part.first_token) / 2
    early, late = _seconds_between_cuts(test, part, 2)
    return half / max(float(early), 1e-9), half / max(float(late), 1e-9)


def rate_ratio(first: ComparedRun, second: ComparedRun) -> RateRatio:
    """How much higher the second run's rate is."""
    parts = [steady_part(run, run.test) for run in (first, second)]
    paired = _did_the_same(first.test, second.test)
    if paired:
        parts = [_common(*parts)] * 2
    cuts = [
        min(_points_in(run.test, part), _MAX_CUTS)
        for run, part in zip((first, second), parts, strict=True)
    ]
    # A rate that is not steady is one figure of one course of events, unless both had the same.
    if min(cuts) < 4 * MIN_BLOCKS or not (paired or all(part.is_steady for part in parts)):
        return RateRatio(None, paired)
    if paired:
        cuts = [min(cuts)] * 2
    one, other = (
        _seconds_between_cuts(run.test, part, count)
        for run, part, count in zip((first, second), parts, cuts, strict=True)
    )
    tokens = [part.last_token - part.first_token for part in parts]
    estimate = math.log(tokens[1] / float(other.sum()) * float(one.sum()) / tokens[0])
    found = _paired(estimate, one, other) if paired else _apart(estimate, one, other)
    return RateRatio(found, paired)


def _common(one: SteadyPart, other: SteadyPart) -> SteadyPart:
    return SteadyPart(
        max(one.first_token, other.first_token),
        min(one.last_token, other.last_token),
        one.is_steady and other.is_steady,
    )


def _paired(estimate: float, one: Array, other: Array) -> Interval:
    """The same blocks of work are drawn from both."""
    moves = one / one.mean() - other / other.mean()
    block = blocks_of(len(one), block_length(moves))
    draws = weights_of(int(block[-1]) + 1)
    ratios = np.log(_drawn(one, block, draws) / _drawn(other, block, draws))
    return interval(estimate, ratios, draws.shape[1], widening(moves, block))


def _apart(estimate: float, one: Array, other: Array) -> Interval:
    """Blocks are drawn from each by itself."""
    drawn, counts, wider = [], [], 1.0
    for number, seconds in enumerate((one, other)):
        block = blocks_of(len(seconds), block_length(seconds))
        draws = weights_of(int(block[-1]) + 1, seed=number)
        drawn.append(np.log(_drawn(seconds, block, draws) / seconds.mean()))
        counts.append(draws.shape[1])
        wider = max(wider, widening(seconds, block))
    return interval(estimate, estimate + drawn[0] - drawn[1], min(counts), wider)


def _did_the_same(one: TimedTest, other: TimedTest) -> bool:
    tokens = float(one.tokens.sum()), float(other.tokens.sum())
    return one.asked_the_same(other) and abs(tokens[1] / tokens[0] - 1) <= _SAME_WORK


def _drawn(seconds: Array, block: np.typing.NDArray[np.intp], draws: Array) -> Array:
    """The mean seconds between cuts in each draw of blocks."""
    mean: Array = (draws @ np.bincount(block, seconds)) / (draws @ np.bincount(block))
    return mean


def _progress(test: TimedTest) -> tuple[Array, Array]:
    """Moments and the tokens generated by then, both increasing."""
    if len(test.timeline_s) >= min(_ENOUGH_POINTS, len(test.tokens)):
        time_s, tokens = test.timeline_s, test.timeline_tokens
    else:
        order = np.argsort(test.completed_s, kind="stable")
        time_s, tokens = test.completed_s[order], np.cumsum(test.tokens[order])
    time_s, tokens = np.concatenate(([0.0], time_s)), np.concatenate(([0.0], tokens))
    grows = np.concatenate(([True], np.diff(np.maximum.accumulate(tokens)) > 0))
    return time_s[grows], tokens[grows]


def _points_in(test: TimedTest, part: SteadyPart) -> int:
    tokens = _progress(test)[1]
    return int(np.count_nonzero((tokens > part.first_token) & (tokens <= part.last_token)))


def _seconds_between_cuts(test: TimedTest, part: SteadyPart, count: int) -> Array:
    time_s, tokens = _progress(test)
    cuts = np.linspace(part.first_token, part.last_token, count + 1)
    seconds: Array = np.diff(np.interp(cuts, tokens, time_s))
    return seconds
