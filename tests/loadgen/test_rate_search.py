"""Which rates the search tries, and what a probe promises."""

from __future__ import annotations

import heapq
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.loadgen import rate_search
from harness.loadgen.rate_search import Probe
from harness.rounds import LatencyLimits

LIMITS = LatencyLimits(ttft_p99_ms=2000, tpot_p99_ms=100)


def probe_of(qps: float, knee: float) -> Probe:
    return Probe(qps, qps <= knee, "", 1000, 60.0, 1.0, 1.0)


def search(knee: float, first_guess: float) -> list[Probe]:
    probes: list[Probe] = []
    while (qps := rate_search.next_rate(probes, first_guess)) is not None:
        probes.append(probe_of(qps, knee))
    return probes


@given(knee=st.floats(1, 500), guess=st.floats(0.5, 1.5))
def test_the_search_ends_within_two_percent_below_the_knee(knee: float, guess: float) -> None:
    probes = search(knee, knee * guess)
    found = rate_search.highest_that_holds(probes)

    assert found is not None
    assert knee / (1 + rate_search.TOLERANCE) <= found <= knee
    assert len(probes) <= rate_search.MAX_PROBES


def test_the_rate_found_has_had_a_probe_of_full_length() -> None:
    brief = Probe(100, True, "", 1000, 20.0, 1.0, 1.0, brief=True)
    fails = Probe(101, False, "", 1000, 60.0, 1.0, 1.0)
    whole = Probe(100, True, "", 6000, 60.0, 1.0, 1.0)

    assert rate_search.next_rate([brief, fails], 100) == 100
    assert rate_search.next_rate([brief, fails, whole], 100) is None


def test_a_rate_is_plain_under_half_of_both_limits() -> None:
    assert rate_search.is_plain(1000, 50, LIMITS)
    assert not rate_search.is_plain(1001, 50, LIMITS)
    assert not rate_search.is_plain(1000, 51, LIMITS)
    assert not rate_search.is_plain(None, 50, LIMITS)


@pytest.mark.parametrize(
    ("held", "following"), [(1, 112), (2, 112), (3, 112 * 1.12), (4, 112 * 1.12**2)]
)
def test_the_step_upwards_grows_from_the_third_on(held: int, following: float) -> None:
    probes = [probe_of(100, 1000)] * held

    assert rate_search.next_rate(probes, 100) == pytest.approx(following)


def test_probes_are_brief_until_one_has_failed() -> None:
    holds, fails = probe_of(100, 150), probe_of(200, 150)

    assert rate_search.may_be_brief([]) and rate_search.may_be_brief([holds])
    assert not rate_search.may_be_brief([holds, fails])
    assert rate_search.probe_queries(100, 600, brief=True) == 2000
    assert rate_search.probe_queries(100, 600, brief=False) == 6000
    assert rate_search.probe_queries(100, 30, brief=False) == 3000


def test_a_rate_above_one_that_failed_is_not_believed() -> None:
    probes = [probe_of(10, 10), probe_of(12, 11), probe_of(14, 20)]

    assert rate_search.highest_that_holds(probes) == 10


def test_the_step_down_follows_what_was_answered_within_bounds() -> None:
    assert rate_search.step_down(100, 99.5) == 98
    assert rate_search.step_down(100, 96) == 96
    assert rate_search.step_down(100, 40) == 94


def test_a_queue_that_grows_by_a_percent_is_over_the_limit_after_ten_minutes() -> None:
    times_s = [second / 10 for second in range(600)]
    ttft_ms = [10 + 10 * time for time in times_s]  # 1 % of the time that has passed

    late_ms = rate_search.expected_at_end_ms(times_s, ttft_ms, 600, LIMITS.ttft_p99_ms)

    assert late_ms == pytest.approx(10 + 10 * 600, rel=0.02)


def test_a_queue_that_fluctuates_and_empties_is_not_taken_for_a_growing_one() -> None:
    draw = random.Random(0)
    times_s = [second / 10 for second in range(600)]
    ttft_ms = [max(0.0, draw.gauss(200, 300)) for _ in times_s]

    late_ms = rate_search.expected_at_end_ms(times_s, ttft_ms, 600, LIMITS.ttft_p99_ms)

    assert late_ms < 300


def queue_of(rate: float, seconds: float, seed: int) -> tuple[list[float], list[float]]:
    """When queries came to 200 places of one second each, and how long they waited, in ms."""
    draw = random.Random(seed)
    now, places = 0.0, [0.0] * 200
    times_s, waited_ms = [], []
    for _ in range(round(rate * seconds)):
        now += draw.expovariate(rate)
        begins = max(heapq.heappop(places), now)
        heapq.heappush(places, begins + 1.0)
        times_s.append(now)
        waited_ms.append(1000 * (begins - now))
    return times_s, waited_ms


@pytest.mark.parametrize(("rate", "low", "high"), [(196, 0, 1), (198, 0, 3), (206, 24, 30)])
def test_bunches_in_the_schedule_are_not_taken_for_a_growing_queue(
    rate: float, low: int, high: int
) -> None:
    late = 0
    for seed in range(30):
        times_s, waited_ms = queue_of(rate, 60, seed)
        limit_ms = LIMITS.ttft_p99_ms
        expected_ms = rate_search.expected_at_end_ms(times_s, waited_ms, 600, limit_ms, rate)
        late += expected_ms > limit_ms

    assert low <= late <= high
