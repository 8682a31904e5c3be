"""The highest rate at which a Server test is VALID: a bracket, then halving. Pure decisions."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from harness import formatting
from harness.language import phrase
from harness.rounds import LatencyLimits

FIRST_SHARE = 0.9  # of the Offline rate, which a Server test cannot pass
PROBE_S = 60.0  # a tenth of a full test
BRIEF_PROBE_S = 20.0  # on the way up, where a rate far too low need not be looked at for longer
PLAIN_SHARE = 0.5  # of the limits: a rate that stays under it is far too low
MAX_FULL_TESTS = 3
STEP_DOWN = 0.02  # at least, after a whole test that did not hold
MAX_STEP_DOWN = 0.06  # a test broken off early looks slower than the engine is
# A rate that holds is raised, one that fails lowered, by this factor; the step grows from the third
# one on, as the first guess is close after an Offline run and may be far off after a burst.
GROWTH = 1.12
TOLERANCE = 0.02  # the search ends when the bracket is this narrow
MAX_PROBES = 12
# A probe shorter than this says nothing about p99: early stopping alone needs 459 queries.
MIN_QUERIES = 700
# What grows by less than this share of the limit over a third of a probe is taken for chance.
MIN_DRIFT = 0.01


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
    brief: bool = False  # too short to settle on; enough to try a higher rate next
    broken_off: bool = False  # before its end, as lost


def next_rate(probes: Sequence[Probe], first_guess: float) -> float | None:
    """The next rate to try, in queries per second; None: the search is over."""
    if not probes:
        return first_guess
    if len(probes) >= MAX_PROBES:
        return None
    best, worst = highest_that_holds(probes), _lowest_that_fails(probes)
    if worst is None:
        assert best is not None
        return best * GROWTH ** max(1, len(probes) - 1)
    if best is None:
        return worst / GROWTH ** max(1, len(probes) - 1)
    if worst / best <= 1 + TOLERANCE:
        seen_well = any(probe.qps == best and not probe.brief for probe in probes)
        return None if seen_well else best
    return math.sqrt(best * worst)


def is_plain(ttft_p99_ms: float | None, tpot_p99_ms: float | None, limits: LatencyLimits) -> bool:
    """Whether a rate holds with room to spare."""
    within = ((ttft_p99_ms, limits.ttft_p99_ms), (tpot_p99_ms, limits.tpot_p99_ms))
    return all(p99 is not None and p99 <= PLAIN_SHARE * limit for p99, limit in within)


def may_be_brief(probes: Sequence[Probe]) -> bool:
    """Whether the next probe only looks for a rate that is too high."""
    return _lowest_that_fails(probes) is None


def highest_that_holds(probes: Sequence[Probe]) -> float | None:
    """The highest rate below every rate that failed; None: no probe held."""
    worst = _lowest_that_fails(probes)
    held = [probe.qps for probe in probes if probe.holds and (worst is None or probe.qps < worst)]
    return max(held, default=None)


def _lowest_that_fails(probes: Sequence[Probe]) -> float | None:
    return min((probe.qps for probe in probes if not probe.holds), default=None)


def step_down(qps: float, answered_per_s: float) -> float:
    """The next rate after a whole test at `qps` did not hold: what it did answer, within bounds."""
    return min(max(answered_per_s, qps * (1 - MAX_STEP_DOWN)), qps * (1 - STEP_DOWN))


def probe_queries(qps: float, full_s: float, *, brief: bool) -> int:
    """How many queries a probe has.

    A minute's (a third of one when brief), no more than the test's, and never too few to judge by.
    """
    return max(MIN_QUERIES, round(qps * min(BRIEF_PROBE_S if brief else PROBE_S, full_s)))


def describe(probe: Probe) -> str:
    """'52.8 queries/s holds (both limits kept; TTFT p99 300 ms, TPOT p99 62.0 ms)'."""
    return phrase(
        "{rate} {holds} ({because}; TTFT p99 {ttft}, TPOT p99 {tpot})",
        rate=formatting.rate(probe.qps, "queries/s"),
        holds=phrase("holds") if probe.holds else phrase("does not hold"),
        because=probe.because,
        ttft=formatting.milliseconds(probe.ttft_p99_ms),
        tpot=formatting.milliseconds(probe.tpot_p99_ms),
    )


def expected_at_end_ms(
    times_s: Sequence[float],
    values_ms: Sequence[float],
    full_s: float,
    limit_ms: float,
    issued_qps: float | None = None,
) -> float:
    """The median TTFT or TPOT at the end of a test of `full_s`, continuing a probe's drift.

    Above its capacity an engine falls behind by the same amount every second: too little to see in
    a short probe's p99, and far too much after ten minutes. A queue that only fluctuates empties
    now and then, so the drift is looked for in the quickest tenth, between the middle and the last
    third of the probe. `times_s` must ascend.

    With `issued_qps`, times are the moments of issue, and what the random schedule issued in excess
    of that rate is no drift: a long test has as many gaps as bunches.
    """
    third = len(times_s) // 3
    if third == 0:
        return max(values_ms, default=0.0)
    middle, last = slice(third, 2 * third), slice(2 * third, None)
    drift_ms = _quick_tenth(values_ms[last]) - _quick_tenth(values_ms[middle])
    if issued_qps is not None:
        calm_ms = [
            value - 1000 * (number / issued_qps - (time - times_s[0]))
            for number, (time, value) in enumerate(zip(times_s, values_ms, strict=True))
        ]
        drift_ms = min(drift_ms, _quick_tenth(calm_ms[last]) - _quick_tenth(calm_ms[middle]))
    now_ms = median(values_ms[last])
    if drift_ms < MIN_DRIFT * limit_ms:
        return now_ms
    between_s = median(times_s[last]) - median(times_s[middle])
    rest_s = max(0.0, full_s - median(times_s[last]))
    return now_ms + drift_ms / between_s * rest_s


def _quick_tenth(values_ms: Sequence[float]) -> float:
    return sorted(values_ms)[len(values_ms) // 10]
