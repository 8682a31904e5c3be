"""The highest rate at which a Server test is VALID: a bracket, then halving. Pure decisions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from harness import formatting

FIRST_SHARE = 0.9  # of the Offline rate, which a Server test cannot pass
PROBE_S = 60.0  # a tenth of a full test
MOST_FULL_TESTS = 3
STEP_DOWN = 0.02  # after a whole test that did not hold
GROWTH = 1.25  # a rate that holds is raised, one that fails lowered, by this factor
TOLERANCE = 0.02  # the search ends when the bracket is this narrow
MOST_PROBES = 12
# A probe shorter than this says nothing about p99: early stopping alone needs 459 queries.
LEAST_QUERIES = 700
# Waiting that grows by less than this share of the limit over a probe is taken for chance.
LEAST_DRIFT = 0.05


@dataclass(frozen=True)
class Probe:
    """One short test at one rate."""

    qps: float
    holds: bool
    because: str  # why it does or does not, a sentence
    queries: int
    seconds: float
    ttft_p99_ms: float | None
    tpot_p99_ms: float | None


def next_rate(probes: Sequence[Probe], first_guess: float) -> float | None:
    """The next rate to try in queries per second; None: the search is over."""
    if not probes:
        return first_guess
    if len(probes) >= MOST_PROBES:
        return None
    best, worst = highest_that_holds(probes), _lowest_that_fails(probes)
    if worst is None:
        assert best is not None
        return best * GROWTH
    if best is None:
        return worst / GROWTH
    if worst / best <= 1 + TOLERANCE:
        return None
    return math.sqrt(best * worst)


def highest_that_holds(probes: Sequence[Probe]) -> float | None:
    """The highest rate below every rate that failed; None: no probe held."""
    worst = _lowest_that_fails(probes)
    held = [probe.qps for probe in probes if probe.holds and (worst is None or probe.qps < worst)]
    return max(held, default=None)


def _lowest_that_fails(probes: Sequence[Probe]) -> float | None:
    return min((probe.qps for probe in probes if not probe.holds), default=None)


def probe_queries(qps: float, full_s: float) -> int:
    """Queries of a probe: a minute's, less for a short test, and never too few to judge by."""
    return max(LEAST_QUERIES, round(qps * min(PROBE_S, full_s / 4)))


def describe(probe: Probe) -> str:
    """'52.8 queries/s holds (both limits kept; TTFT p99 300 ms, TPOT p99 62.0 ms)'."""
    return (
        f"{formatting.rate(probe.qps, 'queries/s')} {'holds' if probe.holds else 'does not hold'} "
        f"({probe.because}; TTFT p99 {formatting.milliseconds(probe.ttft_p99_ms)}, "
        f"TPOT p99 {formatting.milliseconds(probe.tpot_p99_ms)})"
    )


def expected_ttft_ms(
    issued_s: Sequence[float], ttft_ms: Sequence[float], full_s: float, limit_ms: float
) -> float:
    """The median TTFT at the end of a test of `full_s`, continuing a probe's drift.

    Above its capacity an engine falls behind by the same amount every second: too little to see in
    a short probe's p99, and far too much after ten minutes. The drift is that between the medians
    of the middle and the last third of the probe.
    """
    third = len(issued_s) // 3
    if third == 0:
        return max(ttft_ms, default=0.0)
    middle, last = slice(third, 2 * third), slice(2 * third, None)
    before, after = median(ttft_ms[middle]), median(ttft_ms[last])
    if after - before < LEAST_DRIFT * limit_ms / 10:
        return after
    between_s = median(issued_s[last]) - median(issued_s[middle])
    rest_s = full_s - median(issued_s[last])
    return after + (after - before) / between_s * max(0.0, rest_s)
