"""Percentiles of the latencies of two tests, and the intervals of their ratios.

Queries are drawn in blocks of neighbours in time. Where both tests were asked the same queries in
the same order, the same blocks are drawn from both.
"""

from __future__ import annotations

import numpy as np

from harness.report.comparison_runs import TimedTest
from harness.report.comparison_statistics import (
    Array,
    Interval,
    block_length,
    blocks_of,
    influences,
    interval,
    quantiles,
    quantiles_of,
    weights_of,
    widening,
)

PERCENTILES = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
# A percentile with fewer queries beyond it is little more than its slowest query.
_MIN_BEYOND = 10


def percentiles(values: Array) -> dict[str, float | None]:
    """The percentiles of one test's times; None where there are no times."""
    if np.isnan(values).all():
        return dict.fromkeys(PERCENTILES)
    figures = quantiles_of(values, tuple(PERCENTILES.values()))
    return {name: float(figure) for name, figure in zip(PERCENTILES, figures, strict=True)}


def ratios(what: str, first: TimedTest, second: TimedTest) -> dict[str, Interval | None]:
    """How much higher the second test's percentiles are; None with too few queries to say."""
    one, other = first.times_ms[what], second.times_ms[what]
    queries = min(int(np.count_nonzero(~np.isnan(times))) for times in (one, other))
    shares = {
        name: share
        for name, share in PERCENTILES.items()
        if queries * (1 - share) >= _MIN_BEYOND - 1e-6
    }
    none: dict[str, Interval | None] = dict.fromkeys(PERCENTILES)
    estimates = [quantiles_of(times, tuple(shares.values())) for times in (one, other) if shares]
    if not shares or min(float(figures.min()) for figures in estimates) <= 0:
        return none
    paired = first.asked_the_same(second)
    drawn, blocks, wider = _drawn(one, other, tuple(shares.values()), paired=paired)
    estimate = np.log(estimates[1] / estimates[0])
    return none | {
        name: interval(float(estimate[place]), drawn[:, place], blocks, wider[place])
        for place, name in enumerate(shares)
    }


def _drawn(
    one: Array, other: Array, shares: tuple[float, ...], *, paired: bool
) -> tuple[Array, int, list[float]]:
    """The logarithms of the ratios in each draw, how many blocks there were, and for each share
    how much wider its interval must be.
    """
    moved = [influences(times, shares) for times in (one, other)]
    if paired:
        moves = [b - a for a, b in zip(*moved, strict=True)]
        block = blocks_of(len(one), max(map(block_length, moves)))
        draws = weights_of(int(block[-1]) + 1)
        both = [np.log(quantiles(times, block, draws, shares)) for times in (one, other)]
        return both[1] - both[0], draws.shape[1], [widening(move, block) for move in moves]
    logs, counts, wider = [], [], []
    for number, (times, moves) in enumerate(zip((one, other), moved, strict=True)):
        block = blocks_of(len(times), max(map(block_length, moves)))
        draws = weights_of(int(block[-1]) + 1, seed=number)
        logs.append(np.log(quantiles(times, block, draws, shares)))
        counts.append(draws.shape[1])
        wider.append([widening(move, block) for move in moves])
    return logs[1] - logs[0], min(counts), [max(pair) for pair in zip(*wider, strict=True)]
