"""How near a run came to each limit, as bars of report.html, from what summary.json holds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from harness import formatting
from harness.language import phrase
from harness.rounds import ROUNDS
from harness.rules.rule import FAILED

_MARK_AT = 0.75  # of the bar's width: room for what lies beyond the limit


@dataclass(frozen=True)
class Gauge:
    """A figure beside the limit that it has to keep."""

    name: str
    value: str
    limit: str  # "below 2,000 ms"
    sentence: str  # "uses 79 % of its limit"
    kept: bool
    share: float  # of the limit
    at_most: bool  # whether the value has to stay below the limit, not to reach it

    @property
    def filled_percent(self) -> float:
        """How far the bar is filled; the limit is at `mark_percent`."""
        return round(min(100.0, 100 * _MARK_AT * self.share), 2)

    @property
    def mark_percent(self) -> float:
        """Where on the bar the limit is."""
        return 100 * _MARK_AT


def gauges(record: dict[str, Any]) -> Iterator[Gauge]:
    """A gauge for each limit of this run that something was measured against."""
    performance, accuracy = record["run"]["performance"], record["run"]["accuracy"]
    broken = {r["id"] for r in record["verdict"]["rules"] if r["outcome"] == FAILED}
    if performance:
        yield from _latencies(performance, broken)
        yield from _size(record, performance, broken)
    for gate in accuracy["gates"] if accuracy else ():
        yield _rouge(gate) if gate["high"] is None else _length(gate)


def _latencies(performance: dict[str, Any], broken: set[str]) -> Iterator[Gauge]:
    limits = performance["limits_ms"] or {}
    for name in ("ttft", "tpot"):
        limit_ms = limits.get(f"{name}_p99_ms")
        value_ms = (performance[f"{name}_ms"] or {}).get("p99")
        if limit_ms and value_ms is not None:
            share = value_ms / limit_ms
            kept = share < 1 and name not in broken
            yield Gauge(
                f"{name.upper()} p99",
                formatting.milliseconds(value_ms),
                phrase("below {limit}", limit=formatting.milliseconds(limit_ms)),
                phrase("uses {share} of its limit", share=percent_of_limit(share)),
                kept,
                share,
                at_most=True,
            )


def _size(record: dict[str, Any], performance: dict[str, Any], broken: set[str]) -> Iterator[Gauge]:
    """Whether the test was as long, and of as many samples, as an official one."""
    meta = record["meta"]
    official = ROUNDS[meta["version"]]
    for name, value, minimum, write, rule in (
        (
            phrase("duration"),
            performance["duration_s"],
            official.min_duration_s,
            formatting.duration,
            "duration-reached",
        ),
        (
            phrase("samples"),
            performance["sample_count"],
            official.category(meta["category"]).dataset_samples,
            formatting.count,
            "performance-samples",
        ),
    ):
        if value is not None:
            share = value / minimum
            yield Gauge(
                name,
                write(value),
                phrase("at least {minimum} in an official run", minimum=write(minimum)),
                phrase("{share} of what is needed", share=percent_of_limit(share)),
                share >= 1 and rule not in broken,
                share,
                at_most=False,
            )


def _rouge(gate: dict[str, Any]) -> Gauge:
    share, minimum = gate["value"] / gate["low"], f"{gate['low']:.2f} %"
    return Gauge(
        gate["name"],
        f"{gate['value']:.2f} %",
        phrase("at least {minimum}", minimum=minimum),
        phrase("{share} of its gate", share=percent_of_limit(share)),
        gate["passed"] if gate["passed"] is not None else share >= 1,
        share,
        at_most=False,
    )


def _length(gate: dict[str, Any]) -> Gauge:
    """The length of the answers, which has a limit on both sides: the nearer one counts."""
    at_most = gate["value"] >= gate["reference"]
    limit = gate["high"] if at_most else gate["low"]
    count, share = formatting.count(limit), gate["value"] / limit
    name = phrase("gen_len, the low limit")
    asked = phrase("at least {count} characters", count=count)
    if at_most:
        name = phrase("gen_len, the high limit")
        asked = phrase("at most {count} characters", count=count)
    return Gauge(
        name,
        formatting.count(gate["value"]),
        asked,
        phrase("{share} of this limit", share=percent_of_limit(share)),
        share <= 1 if at_most else share >= 1,
        share,
        at_most=at_most,
    )


def percent_of_limit(share: float) -> str:
    """0.794 -> '79 %'; near the limit with a digit more, and 100 % only where it is met exactly."""
    digits = 1 if 0.9 < share < 1.1 else 0
    steps = 100 * share * 10**digits
    # What lies below the limit is never rounded up to it, and what lies above never down.
    whole = math.floor(steps + 1e-9) if share < 1 else math.ceil(steps - 1e-9)
    if 0 < share < 1 and whole == 0:
        return phrase("less than 1 %")
    return f"{whole / 10**digits:,.{digits}f} %"
