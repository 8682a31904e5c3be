"""The figures of the runs side by side, each with its difference, and the one that decides."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from harness import formatting
from harness.config import Scenario
from harness.language import joined, phrase
from harness.report import comparison_latencies as latencies
from harness.report import comparison_rates as rates
from harness.report import latency_text
from harness.report.comparison_differences import same_rates
from harness.report.comparison_runs import ComparedRun
from harness.report.comparison_statistics import Interval, over_repeats

STEADY = "steady_tokens_per_second"
# The figures that may decide, the first of which has an interval does. None is chosen by its value.
_DECIDING = {
    Scenario.OFFLINE: (STEADY,),
    Scenario.SINGLESTREAM: ("latency_p90", "latency_p50"),
}


@dataclass(frozen=True)
class Figure:
    """One figure of every run, and how the others' differs from the first run's."""

    key: str
    name: str
    unit: str
    more_is_better: bool
    values: tuple[float | None, ...]  # of each run
    intervals: tuple[Interval | None, ...]  # of each run but the first; None: not known
    over_repeats: bool = False  # the intervals are over repeated tests, not within one

    def text(self, run: int) -> str:
        """A run's value with its unit."""
        value = self.values[run]
        if self.unit == "ms":
            return formatting.milliseconds(value)
        if self.unit == "s":
            return formatting.duration(value)
        return formatting.rate(value, self.unit)

    def difference(self, run: int) -> float | None:
        """How much more a run's figure is than the first run's: 0.02 is two percent more."""
        first, value = self.values[0], self.values[run]
        if (interval := self.intervals[run - 1]) is not None:
            return interval.estimate
        return None if not first or value is None else value / first - 1

    def slower_by(self, run: int) -> tuple[float, float, float] | None:
        """By how much a run is slower, with the ends of the interval; negative: it is faster."""
        interval = self.intervals[run - 1]
        if interval is None:
            return None
        if self.more_is_better:
            return -interval.estimate, -interval.high, -interval.low
        return interval.estimate, interval.low, interval.high


@dataclass(frozen=True)
class Deciding:
    """The figure that says which of two runs is faster, or why none does."""

    figure: Figure | None
    because: str  # of none: a sentence's end; of one: what it stands for


def figures(runs: Sequence[ComparedRun]) -> list[Figure]:
    """Every figure that the scenario has; those that decide first."""
    found = [_steady(runs)]
    if all(run.scenario is not Scenario.OFFLINE for run in runs):
        by_latency = [figure for what in latency_text.NAMES for figure in _percentiles(what, runs)]
        found = [*by_latency, *found]
    return [*found, *_of_loadgen(runs)]


def deciding(found: Sequence[Figure], runs: Sequence[ComparedRun], run: int) -> Deciding:
    """Which figure says whether a run is faster or slower than the first."""
    first, other = runs[0], runs[run]
    if first.scenario is not other.scenario:
        return Deciding(None, phrase("they ran different scenarios, which no figure compares"))
    if first.result.scenario == "Server":
        keys, meaning = _of_server(first, other)
    else:
        keys, meaning = _DECIDING[first.scenario], ""
    if not keys:
        return Deciding(None, meaning)
    by_key = {figure.key: figure for figure in found}
    for key in keys:
        if key in by_key and by_key[key].intervals[run - 1] is not None:
            return Deciding(by_key[key], meaning)
    return Deciding(
        None,
        phrase(
            "the tests are too short to tell chance from a difference ({count} answers); give both "
            "more samples or repeat them",
            count=formatting.count(min(len(r.test.tokens) for r in (first, other))),
        ),
    )


def _of_server(first: ComparedRun, other: ComparedRun) -> tuple[tuple[str, ...], str]:
    """The keys that may decide between Server tests and why it is those; or why none does."""
    both = (first, other)
    behind = [run.label for run in both if run.test.falls_behind]
    if len(behind) == 2:
        return (STEADY,), phrase(
            "both fell behind the rate asked for, so that latencies grow with the length of the "
            "test and tokens/s tells the speed"
        )
    if not same_rates(both):
        given = (formatting.rate(r.result.target_qps, "queries/s") for r in both)
        asked = joined(phrase(" and "), given)
        return (), phrase(
            "they were asked for {asked}: tokens/s then follows the rate asked for, and the "
            "latencies are those of different loads; give both the same --server-target-qps",
            asked=asked,
        )
    if crowded := [run.label for run in both if run.test.falls_behind or run.test.is_crowded]:
        return ("tpot_p90",), phrase(
            "the queue of {labels} hardly ever emptied, so that other latencies tell how long it "
            "happened to grow, and the time of each further token the speed",
            labels=joined(phrase(" and "), crowded),
        )
    return ("latency_p50",), phrase(
        "both had the same rate to keep up with, so that tokens/s follows it and the latency tells "
        "the speed; near its limit an engine's latency rises faster than its speed falls"
    )


def _steady(runs: Sequence[ComparedRun]) -> Figure:
    per_run = [[rates.steady_rate(run, test) for test in run.tests] for run in runs]
    repeated = [over_repeats(per_run[0], other) for other in per_run[1:]]
    over = all(repeated)
    intervals = repeated if over else [rates.rate_ratio(runs[0], r).interval for r in runs[1:]]
    steady = all(rates.steady_part(run, run.test).is_steady for run in runs)
    name = phrase("tokens/s in the steady part") if steady else "tokens/s"
    values = [_middle(figures) for figures in per_run]
    return Figure(STEADY, name, "tokens/s", True, tuple(values), tuple(intervals), over)


def _percentiles(what: str, runs: Sequence[ComparedRun]) -> Iterator[Figure]:
    per_run = [[latencies.percentiles(test.times_ms[what]) for test in run.tests] for run in runs]
    if any(figure is None for tests in per_run for test in tests for figure in test.values()):
        return
    within = [_within(what, runs[0], run) for run in runs[1:]]
    for name in latencies.PERCENTILES:
        columns = [[test[name] or 0.0 for test in tests] for tests in per_run]
        repeated = [over_repeats(columns[0], column) for column in columns[1:]]
        over = all(repeated)
        intervals = repeated if over else [ratio[name] for ratio in within]
        values = tuple(_middle(column) for column in columns)
        title = joined(", ", (latency_text.NAMES[what], name))
        yield Figure(f"{what}_{name}", title, "ms", False, values, tuple(intervals), over)


def _within(what: str, first: ComparedRun, other: ComparedRun) -> dict[str, Interval | None]:
    """Intervals within one test; none of waiting times whose chance has a longer memory than it."""
    server = first.result.scenario == other.result.scenario == "Server"
    never_quiet = any(r.test.falls_behind or r.test.is_crowded for r in (first, other))
    if server and what != "tpot" and never_quiet:
        return dict.fromkeys(latencies.PERCENTILES)
    return latencies.ratios(what, first.test, other.test)


def _middle(figures: Sequence[float]) -> float:
    """Of repeated tests the mean of logarithms, as the interval is about; of one test its own."""
    return float(np.exp(np.log(figures).mean())) if min(figures) > 0 else 0.0


def _of_loadgen(runs: Sequence[ComparedRun]) -> Iterator[Figure]:
    """LoadGen's figures of the whole test: one number each, without an interval."""
    none = (None,) * (len(runs) - 1)
    for key, name, unit, more in (
        ("tokens_per_second", phrase("tokens/s by LoadGen, whole test"), "tokens/s", True),
        ("samples_per_second", phrase("samples/s by LoadGen, whole test"), "samples/s", True),
        ("duration_s", phrase("first query to last answer"), "s", False),
    ):
        values = tuple(getattr(run.result, key) for run in runs)
        if any(value is not None for value in values):
            yield Figure(key, name, unit, more, values, none)
