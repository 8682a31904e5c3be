"""Queries counted against the latency limits, and how many may miss one."""

from __future__ import annotations

import pytest

from harness.limits import LimitCounts, allowed_over_limit, count_over_limits
from harness.metrics import SampleTimes
from harness.rounds import LatencyLimits
from tests.builders import steady_samples

LIMITS = LatencyLimits(ttft_p99_ms=2000.0, tpot_p99_ms=100.0)


def test_a_query_is_counted_over_each_limit_it_misses_and_met_both_only_if_neither() -> None:
    late = steady_samples(3, ttft_s=2.5)
    slow = steady_samples(4, tpot_s=0.2)
    both = steady_samples(5, ttft_s=2.5, tpot_s=0.2)
    counts = count_over_limits([*late, *slow, *both, *steady_samples(8)], LIMITS)
    assert counts is not None
    assert (counts.ttft_over, counts.tpot_over, counts.met_both) == (3 + 5, 4 + 5, 8)
    assert counts.goodput_share == 8 / 20


def test_a_query_exactly_at_the_limit_is_not_over_it() -> None:
    at_the_limit = SampleTimes(0, 0.0, 2.0, 3.0, 11)
    counts = count_over_limits([at_the_limit], LIMITS)
    assert counts == LimitCounts(1, ttft_over=0, tpot_over=0, met_both=1)


def test_the_allowance_is_that_of_early_stopping_and_unknown_below_459_queries() -> None:
    def allowed(queries: int) -> int | None:
        return LimitCounts(queries, 0, 0, queries).allowed

    assert [allowed(n) for n in (458, 459, 13368, 26736, 40104)] == [None, 0, 107, 229, 354]


@pytest.mark.parametrize(
    ("queries", "allowed"), [(458, -1), (459, 0), (13368, 107), (26736, 229), (40104, 354)]
)
def test_late_queries_allowed_are_loadgens(queries: int, allowed: int) -> None:
    assert allowed_over_limit(queries) == allowed
