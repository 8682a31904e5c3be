"""How many queries of a Server test may miss a latency limit: LoadGen's early stopping.

A test passes when, with 99 % confidence, at least 99 % of all queries would keep the limit
(inference_rules.adoc:1140-1160; loadgen/early_stopping.cc).
"""

from __future__ import annotations

import math
from functools import cache

PERCENTILE = 0.99
CONFIDENCE = 0.99


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
