"""The latency limits of Server tests: how many queries of a test miss them, and how many may.

The times are those of samples.csv, which count from the moment LoadGen issued a query. LoadGen's
own figures count from the moment the query was scheduled, a little earlier: where LoadGen was late
in issuing, it sees more queries over the TTFT limit than are counted here. Its word decides.

How many may miss a limit is LoadGen's early stopping: a test passes when, with 99 % confidence, at
least 99 % of all queries would keep the limit (inference_rules.adoc:1140-1160;
loadgen/early_stopping.cc).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from harness.metrics import SampleTimes
from harness.rounds import LatencyLimits

PERCENTILE = 0.99
CONFIDENCE = 0.99


@dataclass(frozen=True)
class LimitCounts:
    """How many queries of one test were over a limit, and how many met both."""

    queries: int
    ttft_over: int
    tpot_over: int
    met_both: int

    @property
    def allowed(self) -> int | None:
        """How many early stopping lets be over either limit; None: it fails so few queries."""
        allowed = allowed_over_limit(self.queries)
        return None if allowed < 0 else allowed

    @property
    def goodput_share(self) -> float:
        """The share of the queries that met both limits."""
        return self.met_both / self.queries


def count_over_limits(
    samples: Sequence[SampleTimes], limits: LatencyLimits | None
) -> LimitCounts | None:
    """None where there are no limits, or no samples. See above for whose clock counts."""
    if limits is None or not samples:
        return None
    ttft_over = tpot_over = met_both = 0
    for sample in samples:
        # A time that does not exist (an answer of one token has no TPOT) is over no limit.
        late = (sample.ttft_ms or 0.0) > limits.ttft_p99_ms
        slow = (sample.tpot_ms or 0.0) > limits.tpot_p99_ms
        ttft_over += late
        tpot_over += slow
        met_both += not (late or slow)
    return LimitCounts(len(samples), ttft_over, tpot_over, met_both)


@cache
def allowed_over_limit(queries: int) -> int:
    """The most queries over a limit with which a test of `queries` still passes; -1: none would.

    107 of 13,368; 229 of 26,736; 354 of 40,104; 0 of 459; -1 of 458.
    """
    if not _passes(queries, 0):
        return -1
    low, high = 0, queries  # passes at low, fails at high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _passes(queries, middle) else (low, middle)
    return low


def _passes(queries: int, over: int) -> bool:
    """Whether `over` of `queries` being late is that unlikely if only 99 % were in time."""
    return _at_most(over, queries, 1 - PERCENTILE) <= 1 - CONFIDENCE


def _at_most(successes: int, trials: int, probability: float) -> float:
    """The binomial distribution function, summed from its logarithms."""
    log_p, log_q = math.log(probability), math.log1p(-probability)
    total = 0.0
    for k in range(min(successes, trials) + 1):
        log_choose = math.lgamma(trials + 1) - math.lgamma(k + 1) - math.lgamma(trials - k + 1)
        total += math.exp(log_choose + k * log_p + (trials - k) * log_q)
    return total
