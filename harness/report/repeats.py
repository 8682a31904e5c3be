"""What repeated performance tests say of each figure: its median, its spread, an interval.

The interval is that of the mean of the tests, by Student's t; "±" stands for half of it, and for
nothing else.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

from harness import formatting
from harness.config import Scenario
from harness.language import phrase
from harness.metrics import PerformanceResult
from harness.report import latency_text
from harness.rules.evidence import Evidence
from harness.rules.repeats import middle
from harness.rules.verdict import invalid_reasons

TOKENS = "tokens_per_second"
SAMPLES = "samples_per_second"
_PERCENTILES = ("p50", "p90", "p99")


@dataclass(frozen=True)
class RepeatedFigure:
    """A figure over all tests of the run."""

    key: str
    unit: str
    median: float  # the middle one; of two, the worse
    lowest: float
    highest: float
    spread: float | None  # the standard deviation as a share of the mean; None: one test
    half_interval: float | None  # of the 95 % interval of the mean; None: one test
    interval_low: float | None
    interval_high: float | None


def summarise(evidence: Evidence) -> dict[str, Any] | None:
    """summary.json's run.performance.repeats; None where the test was not to be repeated."""
    if evidence.performance is None or not (evidence.repeats or evidence.flags.repeat > 1):
        return None
    results = evidence.performance_tests
    reasons = {evidence.own_number: invalid_reasons(evidence)}
    for repeat in evidence.repeats:
        alone = dataclasses.replace(
            evidence, performance=repeat.performance, samples=repeat.samples, repeats=()
        )
        reasons[repeat.number] = invalid_reasons(alone)
    return {
        "asked": evidence.flags.repeat,
        "measured": len(results),
        "valid": sum(not reasons[number] for number in results),
        "in_performance": evidence.own_number,
        "tests": [
            {
                "number": number,
                "valid": not reasons[number],
                "invalid_reasons": list(reasons[number]),
                "duration_s": result.duration_s,
                "tokens_per_sec": result.tokens_per_second,
                "samples_per_sec": result.samples_per_second,
            }
            for number, result in results.items()
        ],
        "figures": [
            dataclasses.asdict(found)
            for found in _figures(list(results.values()), evidence.scenario)
        ],
    }


def _figures(tests: Sequence[PerformanceResult], scenario: Scenario) -> Iterator[RepeatedFigure]:
    rates = {TOKENS: "tokens/s", SAMPLES: "samples/s"}
    for key, unit in rates.items():
        if found := _figure(key, unit, [getattr(test, key) for test in tests]):
            yield found
    if scenario is Scenario.OFFLINE:
        return
    for what in latency_text.NAMES:
        stats = [getattr(test, what) for test in tests]
        for percentile in _PERCENTILES:
            values = [None if s is None else getattr(s, f"{percentile}_ms") for s in stats]
            if found := _figure(f"{what}_ms.{percentile}", "ms", values):
                yield found


def _figure(key: str, unit: str, values: list[float | None]) -> RepeatedFigure | None:
    """None where a test lacks the figure."""
    known = [value for value in values if value is not None]
    if not known or len(known) < len(values):
        return None
    median = middle(known, more_is_better=unit != "ms")
    spread = half = low = high = None
    mean = fmean(known)
    if len(known) > 1:
        from harness.report.comparison_statistics import student_quantile  # numpy, for this alone

        deviation = stdev(known)
        spread = deviation / mean if mean else None
        half = student_quantile(len(known) - 1) * deviation / len(known) ** 0.5
        low, high = max(mean - half, 0.0), mean + half  # no time and no rate is below 0
    return RepeatedFigure(key, unit, median, min(known), max(known), spread, half, low, high)


def of_headline(record: Mapping[str, Any], metric: str | None) -> RepeatedFigure | None:
    """The figure of the headline over all tests; None where it was measured once."""
    wanted = "latency_ms.p90" if metric == "latency_p90" else metric
    found = [figure for figure in record["figures"] if figure["key"] == wanted]
    figure = RepeatedFigure(**found[0]) if found else None
    return figure if figure and figure.half_interval is not None else None


def as_text(value: float, figure: RepeatedFigure) -> str:
    """A value of the figure with its unit."""
    if figure.unit == "ms":
        return formatting.milliseconds(value)
    return formatting.rate(value, figure.unit)


def half_interval(figure: RepeatedFigure) -> str:
    """Half the interval with its unit, in as many digits as the median has."""
    assert figure.half_interval is not None
    digits = len(as_text(figure.median, figure).split(" ")[0].partition(".")[2])
    return f"{figure.half_interval:,.{digits}f} {figure.unit}"


def values(performance: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the templates of a report are filled with."""
    record = (performance or {}).get("repeats")
    return {"repeat_sentences": list(sentences(record)), "repeat_rows": list(rows(record))}


def sentences(record: Mapping[str, Any] | None) -> Iterator[str]:
    """What the tests of a run were; nothing where there was one."""
    if record is None:
        return
    if record["measured"] < record["asked"]:
        yield phrase(
            "Of {asked} performance tests {measured} were measured. Test {own} is the one in "
            "Performance/, the others lie in Repeats/.",
            asked=record["asked"],
            measured=record["measured"],
            own=record["in_performance"],
        )
    else:
        yield phrase(
            "The performance test ran {measured} times on the loaded engine, and {valid} of these "
            "tests were VALID. The figures of this report are those of test {own}, the median by "
            "the headline's figure; the others lie in Repeats/.",
            measured=record["measured"],
            valid=record["valid"],
            own=record["in_performance"],
        )
    if record["measured"] > 1:
        yield phrase(
            "The spread is the standard deviation of the tests as a share of their mean; the "
            "interval holds the mean with 95 % confidence, and ± is half of it."
        )


def rows(record: Mapping[str, Any] | None) -> Iterator[tuple[str, str, str, str, str]]:
    """A line for each figure: name, median, spread, lowest to highest, interval."""
    for fields in (record or {"figures": []})["figures"]:
        figure = RepeatedFigure(**fields)
        if figure.half_interval is None or figure.interval_low is None:
            continue
        assert figure.interval_high is not None  # both ends are known, or neither
        lowest, low = (as_text(v, figure) for v in (figure.lowest, figure.interval_low))
        highest, high = (as_text(v, figure) for v in (figure.highest, figure.interval_high))
        yield (
            _name(figure.key),
            f"{as_text(figure.median, figure)} ± {half_interval(figure)}",
            f"{formatting.percent(figure.spread, 2)} %",
            phrase("{low} to {high}", low=lowest, high=highest),
            phrase("{low} to {high}", low=low, high=high),
        )


def _name(key: str) -> str:
    if key == TOKENS:
        return phrase("tokens per second")
    if key == SAMPLES:
        return phrase("samples per second")
    what, percentile = key.split("_ms.")
    return phrase("{what}, {percentile}", what=latency_text.NAMES[what], percentile=percentile)
