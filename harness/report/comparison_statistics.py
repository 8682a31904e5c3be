"""Intervals for the difference of two runs: a block bootstrap. Numbers in, numbers out.

Values that follow each other in time are alike, so whole blocks of them are drawn, long enough
that blocks hardly hang together. How long that is, the data say. docs/comparing.md holds the
method, what it assumes and its measured rate of false alarms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.floating[Any]]
DRAWS = 2000  # the ends of the interval then move by a fiftieth of its width from seed to seed
CONFIDENCE = 0.95
MAX_BLOCKS = 12  # long blocks and Student's t hold where values hang together longer than it seems
MIN_BLOCKS = 6  # of fewer, the spread of their means says little about chance
_SEED = 20261123  # the same two runs always compare alike
_DENSE = 1024  # points of a distribution function, besides all in its upper end
_UPPER_END = 0.98
_MOST_ALIKE = 0.8  # beyond, a test says nothing anyway
_NORMAL_QUANTILE = 1.959964


@dataclass(frozen=True)
class Interval:
    """A ratio minus one with its confidence interval: 0.02 is two percent more."""

    estimate: float
    low: float
    high: float

    @property
    def is_more_than_chance(self) -> bool:
        """Whether no difference at all lies outside."""
        return not self.low <= 0 <= self.high


def block_length(series: Array) -> float:
    """The block length for the mean of a series after Politis and White (2004, corrected 2009)."""
    n = len(series)
    deviations = series - series.mean()
    variance = float(deviations @ deviations) / n
    if n < 4 or variance <= 0:
        return 1.0
    in_a_row = max(5, math.ceil(math.sqrt(math.log10(n))))
    most = min(math.ceil(math.sqrt(n)) + in_a_row, n - 1)
    spectrum = np.fft.rfft(
        deviations, 1 << (n + most).bit_length()
    )  # quick, and no lag wraps round
    covariances = np.fft.irfft(np.abs(spectrum) ** 2)[: most + 1] / n
    # The last lag at which the series still is alike: none of the next ones is beyond chance.
    beyond = np.abs(covariances[1:] / variance) > 2 * math.sqrt(math.log10(n) / n)
    last, run = 0, 0
    for lag, is_beyond in enumerate(beyond, start=1):
        run = 0 if is_beyond else run + 1
        last = lag if is_beyond else last
        if run == in_a_row:
            break
    window = min(2 * max(last, 1), most)
    lags = np.arange(1, window + 1)
    weights = np.clip(2 * (1 - lags / window), 0, 1)  # a flat top: 1 up to half the window
    weighted = weights * covariances[1 : window + 1]
    slope, level = 2 * float(weighted @ lags), covariances[0] + 2 * float(weighted.sum())
    if level <= 0:
        return float(last + 1)
    length = (1.5 * (slope / level) ** 2 * n) ** (1 / 3)
    return float(np.clip(length, 1, 3 * math.sqrt(n)))


def blocks_of(count: int, length: float) -> npt.NDArray[np.intp]:
    """The number of the block that each of `count` values in a row is in."""
    blocks = min(max(int(count / max(length, 1)), MIN_BLOCKS), MAX_BLOCKS, count)
    return np.arange(count) * blocks // count


def weights_of(blocks: int, seed: int = 0) -> Array:
    """How often each block is drawn in each draw."""
    chance = np.random.default_rng(_SEED + seed)
    return chance.multinomial(blocks, np.full(blocks, 1 / blocks), size=DRAWS).astype(np.float64)


def quantiles(
    values: Array, block: npt.NDArray[np.intp], weights: Array, shares: Sequence[float]
) -> Array:
    """The quantiles of the values in each draw: a row for each draw. Values that are NaN count not.

    The distribution function of each block on a common grid makes that one product of matrices.
    """
    grid = _grid(values)
    width = len(grid)
    known = ~np.isnan(values)
    place = np.minimum(np.searchsorted(grid, values[known]), width - 1)
    cells = weights.shape[1] * width
    counts = np.bincount(block[known] * width + place, minlength=cells)
    below = weights @ np.cumsum(counts.reshape(-1, width), axis=1, dtype=np.float64)
    rows = np.arange(len(below))
    columns = []
    for share in shares:
        target = share * below[:, -1]
        right = _first_reaching(below, target)
        left = np.maximum(right - 1, 0)
        step = below[rows, right] - below[rows, left]
        part = np.where(step > 0, (target - below[rows, left]) / np.where(step > 0, step, 1), 1.0)
        columns.append(grid[left] + part * (grid[right] - grid[left]))
    return np.stack(columns, axis=1)


def _first_reaching(rising: Array, target: Array) -> npt.NDArray[np.intp]:
    """The first place of each row at which it reaches its target: all rows halved at once."""
    rows, last = np.arange(len(rising)), rising.shape[1] - 1
    low, high = np.zeros(len(rising), np.intp), np.full(len(rising), last, np.intp)
    for _ in range(last.bit_length()):
        middle = (low + high) // 2
        reached = rising[rows, middle] >= target
        low, high = np.where(reached, low, middle + 1), np.where(reached, middle, high)
        low = np.minimum(low, high)
    return high


def quantiles_of(values: Array, shares: Sequence[float]) -> Array:
    """The quantiles of the values as they are, by the same reckoning as in each draw."""
    block = np.zeros(len(values), dtype=np.intp)
    result: Array = quantiles(values, block, np.ones((1, 1)), shares)[0]
    return result


def _grid(values: Array) -> Array:
    ordered = np.unique(values[~np.isnan(values)])
    n = len(ordered)
    if n <= 2 * _DENSE:
        return ordered
    thin = np.linspace(0, n - 1, _DENSE).astype(np.intp)
    upper = np.arange(int(_UPPER_END * n), n)
    chosen: Array = ordered[np.union1d(thin, upper)]
    return chosen


def influences(values: Array, shares: Sequence[float]) -> list[Array]:
    """How much each value moves the logarithm of each quantile, nearly; NaN moves nothing."""
    reach = [min(0.05, (1 - share) / 2) for share in shares]
    around = [s + d * r for s, r in zip(shares, reach, strict=True) for d in (-1, 0, 1)]
    figures = quantiles_of(values, around).reshape(-1, 3)
    moves = []
    for share, r, (low, middle, high) in zip(shares, reach, figures, strict=True):
        slope = (high - low) / (2 * r) / middle if middle > 0 else 0.0
        moves.append(np.where(np.isnan(values), 0.0, (share - (values <= middle)) * slope))
    return moves


def interval(estimate: float, draws: Array, blocks: int, wider: float = 1.0) -> Interval:
    """The interval of a logarithm of a ratio from its draws, as a ratio minus one.

    Few blocks draw too narrow an interval: as for a mean, it is widened from the normal
    distribution to Student's. `wider` is what `widening` says of the series.
    """
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, (tail, 1 - tail)) - estimate
    wider *= student_quantile(blocks - 1) / _NORMAL_QUANTILE * math.sqrt(blocks / (blocks - 1))
    ends = (estimate, estimate + wider * low, estimate + wider * high)
    return Interval(*(math.expm1(float(end)) for end in ends))


def widening(series: Array, block: npt.NDArray[np.intp]) -> float:
    """How much wider an interval must be, because blocks that follow each other are still alike.

    A queue near its limit can have a memory longer than any block. Blocks as alike as the first is
    to the next are taken for such a chain.
    """
    means = np.bincount(block, series) / np.bincount(block)
    means -= means.mean()
    variance = float(means @ means)
    if variance <= 0:
        return 1.0
    # Of blocks that are not alike it would be a little below zero, as their mean is taken off.
    alike = float(means[1:] @ means[:-1]) / variance + 1 / len(means)
    alike = min(max(alike, 0.0), _MOST_ALIKE)
    return math.sqrt((1 + alike) / (1 - alike))


def over_repeats(first: Sequence[float], second: Sequence[float]) -> Interval | None:
    """The interval over repeated tests of two runs (Welch's t), None with one test of either."""
    if min(len(first), len(second)) < 2:
        return None
    logs = [np.log(np.asarray(figures, dtype=np.float64)) for figures in (first, second)]
    errors = [float(log.var(ddof=1)) / len(log) for log in logs]
    estimate, total = float(logs[1].mean() - logs[0].mean()), sum(errors)
    if total == 0:
        return Interval(*[math.expm1(estimate)] * 3)
    freedom = total**2 / sum(e**2 / (len(log) - 1) for e, log in zip(errors, logs, strict=True))
    half = student_quantile(freedom) * math.sqrt(total)
    return Interval(*(math.expm1(end) for end in (estimate, estimate - half, estimate + half)))


def student_quantile(freedom: float) -> float:
    """How many standard errors the interval reaches out, by Student's t.

    With t = sqrt(freedom) tan(angle) the density is a power of the cosine, summed here.
    """
    angles = np.linspace(0, math.pi / 2, 20_001)
    density = np.cos((angles[:-1] + angles[1:]) / 2) ** (freedom - 1)
    share = np.concatenate(([0.0], np.cumsum(density))) / density.sum()
    angle = float(np.interp(CONFIDENCE, share, angles))  # both sides together hold CONFIDENCE
    return math.sqrt(freedom) * math.tan(angle)
