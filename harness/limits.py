"""The queries of a Server test against its latency limits.

The times are those of samples.csv, which count from the moment LoadGen issued a query. LoadGen's
own figures count from the moment the query was scheduled, a little earlier: where LoadGen was late
in issuing, it sees more queries over the TTFT limit than are counted here. Its word decides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from harness.early_stopping import allowed_over_limit
from harness.metrics import SampleTimes
from harness.rounds import LatencyLimits


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
