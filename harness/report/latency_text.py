"""What the report says in words of the latency limits, from run.performance of summary.json."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness import formatting
from harness.language import joined, phrase
from harness.loadgen.rate_search import Probe, highest_that_holds

SAME_RATE = 1e-4  # LoadGen prints six digits of a rate
# The three latencies of a query, by their names in a PerformanceResult.
NAMES = {
    "latency": phrase("whole answer"),
    "ttft": phrase("first token (TTFT)"),
    "tpot": phrase("each further token (TPOT)"),
}


def sentences(performance: dict[str, Any]) -> Iterator[str]:
    """Paragraphs on the limits, the goodput, and on too few queries to prove anything."""
    over, goodput = performance["over_limit"], performance["goodput"]
    samples = formatting.count(performance["sample_count"])
    minimum = performance["early_stopping_min_queries"]
    if over:
        text = phrase(
            "Of {samples} queries **{ttft} were over the TTFT limit and {tpot} over the TPOT "
            "limit**",
            samples=samples,
            ttft=formatting.count(over["ttft"]),
            tpot=formatting.count(over["tpot"]),
        )
        if over["allowed"] is not None:
            text += phrase(
                "; LoadGen's early stopping allows {allowed} of {samples} for each",
                allowed=formatting.count(over["allowed"]),
                samples=samples,
            )
        yield (
            phrase(
                "{text}. The clock starts here when a query was issued; LoadGen's starts when it "
                "was due, so it may count a few more.",
                text=text,
            )
        )
    if goodput:
        yield (
            phrase(
                "Goodput: {share} of the queries met both limits, that is {rate}.",
                share=share(goodput["share"]),
                rate=formatting.rate(goodput["queries_per_sec"], "queries/s"),
            )
        )
    if minimum and (performance["sample_count"] or 0) < minimum:
        what = phrase("that 99 of 100 queries keep a limit") if over else phrase("the p90 latency")
        yield (
            phrase(
                "Early stopping needs at least {minimum} queries to prove {what}. This test had "
                "{samples}, so LoadGen calls it INVALID however fast it was.",
                minimum=minimum,
                what=what,
                samples=samples,
            )
        )


def terminal_line(performance: dict[str, Any]) -> str | None:
    """'over the limit: TTFT 3, TPOT 0 of 13,368 queries, 107 allowed'."""
    over = performance["over_limit"]
    if not over:
        return None
    allowed = (
        ""
        if over["allowed"] is None
        else phrase(", {allowed} allowed", allowed=formatting.count(over["allowed"]))
    )
    return phrase(
        "over the limit: TTFT {ttft}, TPOT {tpot} of {samples} queries{allowed}",
        ttft=formatting.count(over["ttft"]),
        tpot=formatting.count(over["tpot"]),
        samples=formatting.count(performance["sample_count"]),
        allowed=allowed,
    )


def share(fraction: float) -> str:
    """'100 %' only when it is all of them: 0.99996 -> '99.99 %'."""
    return "100 %" if fraction == 1 else f"{int(10_000 * fraction) / 100:.2f} %"


def search_result(probes: list[dict[str, Any]], measured_qps: float | None) -> str:
    """What a search of these probes found, and the rate of the whole test if it is another."""
    best = highest_that_holds([Probe(**probe) for probe in probes])
    count = phrase("1 probe") if len(probes) == 1 else phrase("{probes} probes", probes=len(probes))
    if best is None:
        return phrase("None of {count} held.", count=count)
    text = phrase(
        "The highest rate that held in {count}: {best}.",
        count=count,
        best=formatting.rate(best, "queries/s"),
    )
    if measured_qps is not None and abs(measured_qps - best) > SAME_RATE * best:
        measured = formatting.rate(measured_qps, "queries/s")
        return joined(" ", (text, phrase("The whole test ran at {rate}.", rate=measured)))
    return text
