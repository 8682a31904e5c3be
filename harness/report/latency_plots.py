"""The figures of latencies: how they are distributed, and how they and the queue went over the run.

As in `plots`: False where there is nothing to draw. Times are in milliseconds since the issue of a
query, moments in seconds since the first query.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Literal

from harness import formatting
from harness.metrics import LatencyStats, SampleTimes, TimelinePoint
from harness.report.canvas import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    RED,
    SKY,
    SVG_PANELS_IN,
    dots,
    figure_at,
    legend_above,
    says,
    thousands,
)

if TYPE_CHECKING:
    from harness.report.canvas import Axes

MAX_POINTS = 4000  # more dots than this are a blot
SMALL_IN = 3.7  # of a distribution in a page, whose legend may take four lines
MAX_STEPS = 400  # of a distribution; the slowest hundredth is drawn in full
MAX_BANDS = 60
MIN_IN_BAND = 20  # a median of fewer jumps about; the p99 of less than 100 is their slowest
MAX_DEPTHS = 200
# A limit further away than this many times the times themselves would flatten the picture.
FAR = 10
FAR_OUT = 1.5  # times p99.9: a slower query is only marked, for the same reason
MANY = 1000  # of fewer queries none is left out: there is no p99.9


@dataclass(frozen=True)
class Subject:
    """What a distribution is of, in the words of its figure."""

    title: str
    axis: str  # follows the unit
    others: str  # what is done within the time


LATENCY = Subject(
    "How long answers took", "from a query's issue to its complete answer", "answered"
)
FINISHED = Subject("When answers were finished", LATENCY.axis, "answered")
TTFT = Subject(
    "How long the first token took (TTFT)",
    "from a query's issue to its first token",
    "with their first token",
)
TPOT = Subject(
    "How long each further token took (TPOT)", "for each token after the first", "that fast"
)


def distribution(
    path: Path,
    subject: Subject,
    times_ms: Sequence[float],
    *,
    marks: LatencyStats | None,
    limit_ms: float | None,
    run: str,
) -> bool:
    """Share of the queries within a time; marks: LoadGen's percentiles, limit_ms: that of p99."""
    if not times_ms:
        return False
    ordered = sorted(times_ms)
    top = _top(ordered)
    if marks:
        # LoadGen counts from when a query was due, so its figures can lie beyond the samples.
        top = max(top, marks.p99_ms or 0.0)
    near = limit_ms is not None and limit_ms <= FAR * top
    right = 1.03 * max(top, limit_ms if near and limit_ms else 0.0) or 1.0
    unit, factor = _unit(right)
    with figure_at(path, subject.title, run, small_in=SMALL_IN) as figure:
        axes = figure.subplots()
        shown = _shown(len(ordered))
        shares = [0.0, *(100 * (place + 1) / len(ordered) for place in shown)]
        steps = [ordered[0] * factor, *(ordered[place] * factor for place in shown)]
        axes.step(steps, shares, where="post", color=BLUE, linewidth=1.6)
        if len(ordered) == 1:
            axes.plot(steps[-1], 100, "o", color=BLUE)
        if marks:
            _mark_percentiles(axes, marks, factor)
        if limit_ms is not None:
            _draw_limit(axes, limit_ms, factor, near=near, which="x")
        if marks or limit_ms is not None:
            legend_above(axes, columns=4)
        axes.set_xlim(0, right * factor)
        axes.set_ylim(0, 103)
        beyond = ""
        if ordered[-1] > right:
            beyond = f"   (the slowest, {formatting.milliseconds(ordered[-1])}, is off the picture)"
        axes.set_xlabel(f"{unit} {subject.axis}{beyond}")
        axes.set_ylabel(f"% of the queries {subject.others}")
        thousands(axes, "x")
        axes.grid()
    return True


def _shown(count: int) -> list[int]:
    """The places of sorted times that make a curve: of many every so manieth, and the slowest."""
    tail = count - max(count // 100, 1)
    return [*range(0, tail, max(1, count // MAX_STEPS)), *range(tail, count)]


def _top(ordered: Sequence[float]) -> float:
    """The longest time to show: the slowest, or p99.9 and a little when that is far from it."""
    if len(ordered) < MANY:
        return ordered[-1]
    p999 = ordered[math.floor(0.999 * (len(ordered) - 1))]
    return 1.1 * p999 if ordered[-1] > FAR_OUT * p999 else ordered[-1]


def _unit(longest_ms: float) -> tuple[str, float]:
    return ("seconds", 1 / 1000) if longest_ms >= 10_000 else ("milliseconds", 1.0)


def _mark_percentiles(axes: Axes, marks: LatencyStats, factor: float) -> None:
    for percentile, latency_ms, color in (
        (50, marks.p50_ms, GREEN),
        (90, marks.p90_ms, ORANGE),
        (99, marks.p99_ms, INK),
    ):
        if latency_ms is not None:
            x = latency_ms * factor
            text = f"p{percentile}: {formatting.milliseconds(latency_ms)}"
            axes.plot([x, x], [0, percentile], color=color, linestyle=":", linewidth=1.4)
            (point,) = axes.plot(x, percentile, "o", color=color, label=text)
            says(point, text)


def _draw_limit(
    axes: Axes, limit_ms: float, factor: float, *, near: bool, which: Literal["x", "y"]
) -> None:
    """A line and a tint over what lies beyond it, or a word that it is not on the picture."""
    text = f"limit of p99: {formatting.milliseconds(limit_ms)}"
    if not near:
        where = "to the right" if which == "x" else "above"
        axes.plot([], [], color=RED, linewidth=1.8, label=f"{text} (far {where})")
    elif which == "x":
        axes.axvline(limit_ms * factor, color=RED, linewidth=1.8, label=text)
        axes.axvspan(limit_ms * factor, 1e9, color=RED, alpha=0.08, linewidth=0)
    else:
        axes.axhline(limit_ms * factor, color=RED, linewidth=1.8, label=text)
        axes.axhspan(limit_ms * factor, 1e9, color=RED, alpha=0.08, linewidth=0)


def over_time(
    path: Path, samples: Sequence[SampleTimes], *, ttft_limit_ms: float | None, run: str
) -> bool:
    """TTFT and latency of the queries against the moment of their issue."""
    ordered = sorted(samples, key=lambda sample: sample.issued_s)
    first = [(s.issued_s, s.ttft_ms) for s in ordered if s.ttft_ms is not None]
    whole = [(s.issued_s, s.latency_ms) for s in ordered]
    if not first or whole[0][0] == whole[-1][0]:
        return False
    title = "How long queries took over the run"
    with figure_at(path, title, run, small_in=SVG_PANELS_IN) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True)
        _panel(upper, first, ttft_limit_ms, "to the\nfirst token")
        _panel(lower, whole, None, "to the\nwhole answer")
        legend_above(upper, columns=5)
        lower.set_xlim(0, 1.01 * whole[-1][0])  # the last one is on the picture, too
        lower.set_xlabel("seconds since the first query, at the query's issue")
    return True


def _panel(
    axes: Axes, points: Sequence[tuple[float, float]], limit_ms: float | None, name: str
) -> None:
    top = _top(sorted(time for _, time in points))
    near = limit_ms is not None and limit_ms <= FAR * top
    top = 1.08 * max(top, limit_ms if near and limit_ms else 0.0) or 1.0
    unit, factor = _unit(top)
    shown = points[:: -(-len(points) // MAX_POINTS)]
    few = len(shown) < 500
    size, alpha = (5.0, 0.9) if few else (2.0, 0.35)
    moments, times = [s for s, _ in shown], [ms * factor for _, ms in shown]
    dots(axes, moments, times, SKY, size, alpha)
    axes.plot([], [], ".", color=SKY, markersize=7, label="a query")  # to be seen in the legend
    bands_s, medians, p99s = bands(points)
    if bands_s:
        axes.plot(bands_s, [m * factor for m in medians], color=BLUE, linewidth=1.8, label="median")
        axes.plot(bands_s, [p * factor for p in p99s], color=ORANGE, linewidth=1.4, label="p99")
    slow = [moment for moment, ms in points if ms > top]
    if slow:
        edge = [0.97 * top * factor] * len(slow)
        text = f"still longer ({formatting.count(len(slow))})"
        axes.plot(slow, edge, "^", color=INK, markersize=5, label=text)
    if limit_ms is not None:
        _draw_limit(axes, limit_ms, factor, near=near, which="y")
    axes.set_ylim(0, top * factor)
    axes.set_ylabel(f"{unit} {name}")
    thousands(axes, "y")
    axes.grid(axis="y")


def bands(
    points: Sequence[tuple[float, float]],
) -> tuple[list[float], list[float], list[float]]:
    """Moment, median and p99 of neighbouring queries, as many in each; empty for a few queries."""
    count = min(MAX_BANDS, len(points) // MIN_IN_BAND)
    if count < 3:
        return [], [], []
    moments, medians, p99s = [], [], []
    for band in range(count):
        part = points[band * len(points) // count : (band + 1) * len(points) // count]
        times = sorted(time for _, time in part)
        moments.append(median(moment for moment, _ in part))
        medians.append(median(times))
        p99s.append(times[min(len(times) - 1, math.floor(0.99 * len(times)))])
    return moments, medians, p99s


def queue_depth(
    path: Path, timeline: Sequence[TimelinePoint], *, last_issue_s: float | None, run: str
) -> bool:
    """Queries issued and not yet answered; `last_issue_s`: from then on it can only fall."""
    moments, depths = thinned_depths(timeline)
    if not any(depths):
        return False
    with figure_at(path, "How many queries were at work or waiting", run) as figure:
        axes = figure.subplots()
        axes.fill_between(moments, depths, color=SKY, alpha=0.45, linewidth=0)
        axes.plot(moments, depths, color=BLUE, linewidth=1.3)
        if last_issue_s is not None:
            text = f"last query issued: {formatting.duration(last_issue_s)}"
            axes.axvline(last_issue_s, color=INK, linestyle="--", linewidth=1.2, label=text)
            legend_above(axes)
        axes.set_xlim(0, max(moments[-1], last_issue_s or 0.0) or 1)
        axes.set_ylim(0, 1.08 * max(depths))
        axes.set_xlabel("seconds since the first query")
        axes.set_ylabel("queries not yet answered")
        axes.yaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
        thousands(axes, "y")
        axes.grid(axis="y")
    return True


def thinned_depths(timeline: Sequence[TimelinePoint]) -> tuple[list[float], list[int]]:
    """Moments and queue lengths from an empty queue on; of many neighbours the longest queue."""
    step = max(1, -(-len(timeline) // MAX_DEPTHS))
    parts = [timeline[start : start + step] for start in range(0, len(timeline), step)]
    peaks = [max(part, key=lambda point: point.outstanding) for part in parts]
    if timeline and peaks[-1] is not timeline[-1]:
        peaks.append(timeline[-1])
    moments = [0.0, *(point.time_s for point in peaks)]
    return moments, [0, *(point.outstanding for point in peaks)]
