"""The block bootstrap on series whose truth is known."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from harness.report import comparison_statistics as statistics
from harness.report.comparison_statistics import Array


def chain(alike: float, count: int, seed: int = 0) -> Array:
    """A series each value of which hangs on the one before."""
    shocks = np.random.default_rng(seed).normal(size=count).tolist()
    return np.array(list(itertools.accumulate(shocks, lambda last, shock: alike * last + shock)))


def test_blocks_are_the_longer_the_more_values_hang_together() -> None:
    lengths = [statistics.block_length(chain(alike, 3000)) for alike in (0.0, 0.5, 0.9)]
    assert lengths[0] == pytest.approx(1, abs=2)
    # For such a chain: (1.5 x (2 alike / (1 - alike^2))^2 x count) to the third.
    assert lengths[1] == pytest.approx((1.5 * (1 / 0.75) ** 2 * 3000) ** (1 / 3), rel=0.4)
    assert lengths[2] == pytest.approx((1.5 * (1.8 / 0.19) ** 2 * 3000) ** (1 / 3), rel=0.4)


def test_a_series_without_variation_has_blocks_of_one() -> None:
    assert statistics.block_length(np.ones(100)) == 1
    assert statistics.block_length(np.array([1.0, 2.0])) == 1


def test_blocks_are_neither_too_many_nor_too_few() -> None:
    for count, length, blocks in ((1000, 1.0, 12), (1000, 120.0, 8), (1000, 900.0, 6), (4, 1.0, 4)):
        block = statistics.blocks_of(count, length)
        sizes = np.bincount(block)
        assert len(block) == count and len(sizes) == blocks
        assert max(sizes) - min(sizes) <= 1 and list(block) == sorted(block)


@pytest.mark.parametrize(
    ("freedom", "quantile"), [(1, 12.706), (2, 4.303), (2.5, 3.575), (11, 2.201), (1000, 1.962)]
)
def test_students_quantile_is_that_of_the_tables(freedom: float, quantile: float) -> None:
    assert statistics.student_quantile(freedom) == pytest.approx(quantile, abs=6e-4)


def test_quantiles_of_draws_are_those_of_the_drawn_values() -> None:
    values = np.random.default_rng(1).lognormal(size=600)
    block = statistics.blocks_of(600, 50)
    weights = np.array([[1.0] * 12, [2.0] * 6 + [0.0] * 6])
    whole, first_half = statistics.quantiles(values, block, weights, (0.5, 0.9, 0.99))
    assert whole == pytest.approx(np.quantile(values, (0.5, 0.9, 0.99)), rel=0.02)
    assert first_half == pytest.approx(np.quantile(values[:300], (0.5, 0.9, 0.99)), rel=0.03)


def test_quantiles_of_many_values_lose_nothing_by_the_thinned_grid() -> None:
    values = np.random.default_rng(1).lognormal(size=50_000)
    figures = statistics.quantiles_of(values, (0.5, 0.9, 0.99, 0.999))
    assert figures == pytest.approx(np.quantile(values, (0.5, 0.9, 0.99, 0.999)), rel=1e-3)


def test_values_that_are_not_there_do_not_count() -> None:
    values = np.array([1.0, np.nan, 2.0, 3.0, np.nan])
    assert statistics.quantiles_of(values, (1.0,))[0] == 3
    assert statistics.influences(values, (0.5,))[0][1] == 0


def test_influence_tells_how_a_value_moves_a_quantile() -> None:
    values = np.random.default_rng(2).normal(10, 1, size=20_000)
    (moved,) = statistics.influences(values, (0.9,))
    # The standard error of a quantile: the root of share x (1 - share) over density and count.
    quantile = 10 + 1.2816
    expected = math.sqrt(0.9 * 0.1) / (0.1755 * quantile)
    assert float(moved.std()) == pytest.approx(expected, rel=0.1)
    assert float(moved.mean()) == pytest.approx(0, abs=0.02 * expected)


def test_an_interval_of_few_blocks_is_widened_to_students() -> None:
    draws = np.random.default_rng(3).normal(0.1, 0.01, size=20_000)
    few, many = (statistics.interval(0.1, draws, blocks) for blocks in (6, 10_000))
    assert few.estimate == many.estimate == pytest.approx(math.expm1(0.1))
    ratio = math.log1p(few.high) - 0.1, math.log1p(many.high) - 0.1
    assert ratio[0] / ratio[1] == pytest.approx(2.571 / 1.96 * math.sqrt(6 / 5), rel=1e-3)


def test_blocks_still_alike_widen_the_interval() -> None:
    block = statistics.blocks_of(1200, 100)
    steps = np.repeat(np.arange(12.0), 100)  # a drift: each block is near the one before
    assert statistics.widening(steps, block) == pytest.approx(math.sqrt(1.8 / 0.2), rel=0.05)
    assert statistics.widening(np.tile([1.0, -1.0], 600), block) == 1
    swinging = np.repeat([1.0, -1.0] * 6, 100)
    assert statistics.widening(swinging, block) == 1


def test_the_interval_over_repeats_is_welchs() -> None:
    first, second = [100.0, 102.0, 98.0], [110.0, 113.0, 111.0, 110.0]
    found = statistics.over_repeats(first, second)
    assert found is not None
    logs = np.log(first), np.log(second)
    error = math.sqrt(logs[0].var(ddof=1) / 3 + logs[1].var(ddof=1) / 4)
    freedom = error**4 / ((logs[0].var(ddof=1) / 3) ** 2 / 2 + (logs[1].var(ddof=1) / 4) ** 2 / 3)
    difference = logs[1].mean() - logs[0].mean()
    half = statistics.student_quantile(freedom) * error
    assert found.estimate == pytest.approx(math.expm1(difference))
    assert (found.low, found.high) == pytest.approx(
        (math.expm1(difference - half), math.expm1(difference + half))
    )


def test_one_repeat_gives_no_interval_over_repeats() -> None:
    assert statistics.over_repeats([1.0], [1.0, 2.0]) is None
    same = statistics.over_repeats([2.0, 2.0], [3.0, 3.0])
    assert same is not None and (same.low, same.high) == pytest.approx((0.5, 0.5))


def test_series_that_differ_by_chance_alone_seldom_look_different() -> None:
    alarms = 0
    for seed in range(200):
        series = chain(0.8, 1500, seed)
        block = statistics.blocks_of(1500, statistics.block_length(series))
        draws = statistics.weights_of(int(block[-1]) + 1)
        means = (draws @ np.bincount(block, series)) / (draws @ np.bincount(block))
        wider = statistics.widening(series, block)
        found = statistics.interval(float(series.mean()), means, draws.shape[1], wider)
        alarms += found.is_more_than_chance
    assert alarms <= 14  # 7 % of 200
