"""TTFT and TPOT of a running Server test, seen from the system under test."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from harness import formatting
from harness.language import phrase
from harness.limits import allowed_over_limit
from harness.loadgen import rate_search
from harness.rounds import LatencyLimits

LOST, PLAIN = "lost", "plain"  # why a test was broken off


class LatencyWatch:
    """The times of every query of one test; seconds are of time.monotonic().

    LoadGen's own times start at the scheduled moment and end in its process: a fraction of a
    millisecond more than what is seen here.
    """

    def __init__(
        self,
        limits: LatencyLimits,
        planned_queries: int,
        plain_after: int | None = None,
        *,
        stops_when_decided: bool = False,
    ):
        """`plain_after` answers far below the limits say enough of a rate; None: none do.

        With `stops_when_decided` a test is broken off once its rest would say nothing new.
        """
        self.limits = limits
        self.planned_queries = planned_queries
        self.plain_after = plain_after
        self.stops_when_decided = stops_when_decided
        self.decision: str | None = None  # LOST or PLAIN, of a test that was broken off
        self.ttft_over = 0
        self.tpot_over = 0
        self._issued: dict[int, float] = {}  # until the first token
        self._first: dict[int, tuple[float, float]] = {}  # issued, first token; until the last
        self._ttft: list[tuple[float, float]] = []  # issued, ms
        self._tpot: list[tuple[float, float]] = []  # completed, ms
        self._began: float | None = None

    def issued(self, sequence: int) -> None:
        """A query has arrived."""
        now = time.monotonic()
        if self._began is None:
            self._began = now
        self._issued[sequence] = now

    def first_token(self, sequence: int) -> None:
        """A query's first token is there."""
        issued = self._issued.pop(sequence, None)
        if issued is None:
            return
        now = time.monotonic()
        self._first[sequence] = (issued, now)
        ttft_ms = 1000 * (now - issued)
        self._ttft.append((issued, ttft_ms))
        self.ttft_over += ttft_ms > self.limits.ttft_p99_ms

    def completed(self, sequence: int, tokens: int) -> None:
        """A query's last token is there."""
        times = self._first.pop(sequence, None)
        if times is None or tokens < 2:
            return
        now = time.monotonic()
        tpot_ms = 1000 * (now - times[1]) / (tokens - 1)
        self._tpot.append((now, tpot_ms))
        self.tpot_over += tpot_ms > self.limits.tpot_p99_ms

    def breaks_off(self) -> bool:
        """Whether the test should end now; remembers why."""
        if self.stops_when_decided and self.decision is None:
            self.decision = LOST if self.is_lost else PLAIN if self.is_plain else None
        return self.decision is not None

    @property
    def is_plain(self) -> bool:
        """Whether a rate holds with so much room that it need not be looked at for longer."""
        if self.plain_after is None or len(self._tpot) < self.plain_after:
            return False
        return rate_search.is_plain(*self._p99s(), self.limits)

    @property
    def is_lost(self) -> bool:
        """Whether the test fails whatever its remaining queries do."""
        overdue = time.monotonic() - self.limits.ttft_p99_ms / 1000
        waiting = 0
        for issued in self._issued.values():  # in the order of arrival
            if issued > overdue:
                break
            waiting += 1
        allowed = allowed_over_limit(self.planned_queries)
        if allowed < 0:  # a smoke run cannot pass early stopping; its p99 still says something
            allowed = self.planned_queries // 100
        return self.ttft_over + waiting > allowed or self.tpot_over > allowed

    def probe(self, qps: float, *, full_s: float) -> rate_search.Probe:
        """What this test says of `qps` in a test of `full_s` seconds."""
        began = self._began or 0.0
        self._ttft.sort()  # by the moment of issue
        ttft_p99, tpot_p99 = self._p99s()
        because = None
        if self.decision != PLAIN:  # so short a test shows no drift
            because = self._failure(ttft_p99, tpot_p99) or self._drift(began, qps, full_s)
        seconds = max((issued for issued, _ in self._ttft), default=began) - began
        return rate_search.Probe(
            qps=qps,
            holds=because is None,
            because=because or phrase("both limits kept"),
            queries=len(self._ttft),
            seconds=seconds,
            ttft_p99_ms=ttft_p99,
            tpot_p99_ms=tpot_p99,
            brief=self.decision == PLAIN,
            broken_off=self.decision == LOST,
        )

    def _p99s(self) -> tuple[float | None, float | None]:
        """Of TTFT and TPOT so far, in ms."""
        ttft, tpot = ([value for _, value in pairs] for pairs in (self._ttft, self._tpot))
        return percentile(ttft, 0.99), percentile(tpot, 0.99)

    def _drift(self, began: float, qps: float, full_s: float) -> str | None:
        # After the last query the engine empties and quickens, which would hide a drift.
        last_issued = self._ttft[-1][0] if self._ttft else began
        under_load = [(moment, ms) for moment, ms in self._tpot if moment <= last_issued]
        for name, pairs, limit_ms, issued_qps in (
            ("TTFT", self._ttft, self.limits.ttft_p99_ms, qps),
            ("TPOT", under_load, self.limits.tpot_p99_ms, None),
        ):
            times_s = [moment - began for moment, _ in pairs]
            values_ms = [value for _, value in pairs]
            late_ms = rate_search.expected_at_end_ms(
                times_s, values_ms, full_s, limit_ms, issued_qps
            )
            if late_ms > limit_ms:
                return phrase(
                    "it falls behind: after {duration} the {name} would be {late}",
                    duration=formatting.duration(full_s),
                    name=name,
                    late=formatting.milliseconds(late_ms),
                )
        return None

    def _failure(self, ttft_p99: float | None, tpot_p99: float | None) -> str | None:
        allowed = allowed_over_limit(len(self._ttft))
        limits = (
            ("TTFT", self.ttft_over, ttft_p99, self.limits.ttft_p99_ms),
            ("TPOT", self.tpot_over, tpot_p99, self.limits.tpot_p99_ms),
        )
        for name, over, p99, limit in limits:
            if (allowed >= 0 and over > allowed) or (p99 is not None and p99 > limit):
                return phrase(
                    "{over} queries over the {name} limit", over=formatting.count(over), name=name
                )
        return phrase("queries waited past the TTFT limit") if self.decision == LOST else None


def percentile(values: Sequence[float], share: float) -> float | None:
    """The value that `share` of the values do not exceed, as LoadGen picks it; None of nothing."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, math.floor(len(ordered) * share))]
