"""What the report says in words of the latency limits, from run.performance of summary.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness import formatting
from harness.loadgen.rate_search import Probe, highest_that_holds

SAME_RATE = 1e-4  # LoadGen prints six digits of a rate


def sentences(performance: dict[str, Any]) -> Iterator[str]:
    """Paragraphs on the limits, the goodput, and on too few queries to prove anything."""
    over, goodput = performance["over_limit"], performance["goodput"]
    samples = formatting.count(performance["sample_count"])
    minimum = performance["early_stopping_min_queries"]
    if over:
        text = (
            f"Of {samples} queries **{formatting.count(over['ttft'])} were over the TTFT limit and "
            f"{formatting.count(over['tpot'])} over the TPOT limit**"
        )
        if over["allowed"] is not None:
            text += (
                f"; LoadGen's early stopping allows {formatting.count(over['allowed'])} of "
                f"{samples} for each"
            )
        yield (
            f"{text}. These counts begin when a query was issued; LoadGen's begin when it was due "
            "and can be a little higher."
        )
    if goodput:
        yield (
            f"Goodput: {share(goodput['share'])} of the queries met both limits, that is "
            f"{formatting.rate(goodput['queries_per_sec'], 'queries/s')}."
        )
    if minimum and (performance["sample_count"] or 0) < minimum:
        what = "that 99 of 100 queries keep a limit" if over else "the p90 latency"
        yield (
            f"Early stopping needs at least {minimum} queries to prove {what}. This test had "
            f"{samples}, so LoadGen calls it INVALID however fast it was."
        )


def terminal_line(performance: dict[str, Any]) -> str | None:
    """'over the limit: TTFT 3, TPOT 0 of 13,368 queries, 107 allowed'."""
    over = performance["over_limit"]
    if not over:
        return None
    allowed = "" if over["allowed"] is None else f", {formatting.count(over['allowed'])} allowed"
    return (
        f"over the limit: TTFT {formatting.count(over['ttft'])}, "
        f"TPOT {formatting.count(over['tpot'])} of "
        f"{formatting.count(performance['sample_count'])} queries{allowed}"
    )


def share(fraction: float) -> str:
    """'100 %' only when it is all of them: 0.99996 -> '99.99 %'."""
    return "100 %" if fraction == 1 else f"{int(10_000 * fraction) / 100:.2f} %"


def search_result(probes: list[dict[str, Any]], measured_qps: float | None) -> str:
    """What a search of these probes found, and the rate of the whole test if it is another."""
    best = highest_that_holds([Probe(**probe) for probe in probes])
    count = "1 probe" if len(probes) == 1 else f"{len(probes)} probes"
    if best is None:
        return f"None of {count} held."
    text = f"The highest rate that held in {count}: {formatting.rate(best, 'queries/s')}."
    if measured_qps is not None and abs(measured_qps - best) > SAME_RATE * best:
        text += f" The whole test ran at {formatting.rate(measured_qps, 'queries/s')}."
    return text
