"""The figures of a report: metrics in, one PNG out.

`canvas` holds their looks; `latency_plots` and `search_plot` draw further ones. Every function
returns False, and writes nothing, where there is nothing to draw. It raises OSError when the file
cannot be written, ImportError when matplotlib is not there. `run` is the line under the title that
says whose figure it is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness import formatting
from harness.metrics import TimelinePoint
from harness.report.canvas import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    RED,
    SKY,
    figure_at,
    legend_above,
    says,
    thousands,
)

if TYPE_CHECKING:
    from harness.report.canvas import Axes

MAX_BINS = 200  # more steps than this cannot be told apart at that width
MAX_HISTORY = 40
Kind = Literal["full", "smoke", "invalid"]


@dataclass(frozen=True)
class GatedScore:
    """One ROUGE value with its gate and reference, all in percent."""

    name: str
    value: float
    gate: float
    reference: float


@dataclass(frozen=True)
class LengthShare:
    """The length of all answers and its band, as shares of the reference length."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class HistoryRun:
    """One run of the index, as a bar."""

    finished: str  # ISO 8601
    tokens_per_second: float
    kind: Kind
    this_run: bool


def tokens_per_sec(
    path: Path, timeline: Sequence[TimelinePoint], *, mean: float | None, run: str
) -> bool:
    """Tokens per second over the performance test, with LoadGen's mean (tokens/s) as a line."""
    edges, rates = binned_rates(timeline)
    if not any(rates):
        return False
    with figure_at(path, "Tokens per second over the run", run) as figure:
        axes = figure.subplots()
        axes.stairs(rates, edges, fill=True, color=SKY, alpha=0.45)
        axes.stairs(rates, edges, color=BLUE, linewidth=1.2)
        top = max(rates)
        if mean is not None:
            text = f"LoadGen's figure for the whole run: {formatting.rate(mean, 'tokens/s')}"
            axes.axhline(mean, color=RED, linewidth=1.4, linestyle="--", label=text)
            legend_above(axes)
            top = max(top, mean)
        axes.set_xlim(0, edges[-1])
        axes.set_ylim(0, 1.08 * top or 1)
        axes.set_xlabel("seconds since the first query")
        axes.set_ylabel("tokens per second")
        thousands(axes, "y")
        axes.grid(axis="y")
    return True


def binned_rates(
    timeline: Sequence[TimelinePoint], max_bins: int = MAX_BINS
) -> tuple[list[float], list[float]]:
    """Bin edges in seconds, each a moment of the timeline, and the tokens/s between them."""
    points = [(0.0, 0)] + [(p.time_s, p.tokens) for p in timeline if p.time_s > 0]
    width = points[-1][0] / max_bins
    edges, counts = [0.0], [0]
    for time_s, tokens in points[1:]:
        # The tolerance keeps evenly spaced moments, each a bin, from being joined by rounding.
        if time_s > edges[-1] and time_s - edges[-1] >= width * (1 - 1e-9):
            edges.append(time_s)
            counts.append(tokens)
    end_s, tokens = points[-1]
    if end_s > edges[-1]:
        # A rest of a moment, in which a few answers end, would tower above all the others.
        if len(edges) > 2:
            edges.pop()
            counts.pop()
        edges.append(end_s)
        counts.append(tokens)
    rates = [
        (after - before) / (right - left)
        for (left, right), (before, after) in zip(pairwise(edges), pairwise(counts), strict=True)
    ]
    return edges, rates


def rouge_vs_threshold(
    path: Path, scores: Sequence[GatedScore], length: LengthShare | None, *, gate: float, run: str
) -> bool:
    """ROUGE and the length of the answers as shares of the reference; `gate` is one too."""
    if not scores:
        return False
    with figure_at(path, "Accuracy against the gate", run) as figure:
        upper, lower = figure.subplots(2, 1, gridspec_kw={"height_ratios": (4, 1.25)})
        for row, score in enumerate(scores):
            passed = round(score.value, 4) >= score.gate  # the official comparison is on 4 decimals
            _dot(upper, score.value / score.reference, row, passed)
        upper.set_yticks(
            range(len(scores)),
            [f"{s.name}   {s.value:.2f} %\ngate {s.gate:.2f} %" for s in scores],
        )
        upper.set_ylim(len(scores) - 0.5, -0.5)
        upper.axvline(100 * gate, color=RED, linestyle="--", label=f"gate ({100 * gate:g} %)")
        upper.axvline(100, color=INK, linewidth=1, label="reference (100 %)")
        legend_above(upper)
        _share_limits(upper, [s.value / s.reference for s in scores], 0.97, 1.03)
        _draw_length(lower, length)
        (upper if length is None else lower).set_xlabel("% of the reference")
    return True


def _draw_length(axes: Axes, length: LengthShare | None) -> None:
    if length is None:
        axes.set_axis_off()
        return
    axes.axvspan(100 * length.low, 100 * length.high, color=GREEN, alpha=0.18, linewidth=0)
    band = f"allowed {100 * length.low:g} to {100 * length.high:g} %"
    axes.axvline(100, color=INK, linewidth=1)
    _dot(axes, length.value, 0, length.low <= length.value <= length.high)
    axes.set_yticks([0], [f"length   {100 * length.value:.1f} %\n{band}"])
    axes.set_ylim(0.5, -0.5)
    _share_limits(axes, [length.value], 0.85, 1.15)


def _dot(axes: Axes, share: float, row: int, passed: bool) -> None:
    # The shape says it too, for those who cannot see the colours.
    marker, color = ("o", BLUE) if passed else ("X", RED)
    axes.plot(100 * share, row, marker, color=color, markersize=9, clip_on=False)


def _share_limits(axes: Axes, shares: Sequence[float], low: float, high: float) -> None:
    """Zooms on the gate where all values are near it, else starts at zero."""
    near = min(shares) >= low
    left, right = (low if near else 0.0), max(high, 1.03 * max(shares))
    axes.set_xlim(100 * left, 100 * right)
    axes.grid(axis="x")


def answer_lengths(
    path: Path, lengths: Sequence[int], *, max_new_tokens: int | None, run: str
) -> bool:
    """Histogram of the answers' lengths in tokens, with the limit and the share that hit it."""
    if not lengths:
        return False
    top = max(max(lengths), max_new_tokens or 0)
    step = max(1, -(-top // 64))  # at most 64 bars
    # A bar ends at its longest length, so that the one of the limit ends at the limit.
    bins: Counter[int] = Counter(-(-length // step) * step for length in lengths)
    with figure_at(path, "How long the answers are", run) as figure:
        axes = figure.subplots()
        bars = axes.bar(
            list(bins), list(bins.values()), width=-0.9 * step, align="edge", color=BLUE
        )
        for bar, (longest, answers) in zip(bars, bins.items(), strict=True):
            lengths_of = f"{longest - step + 1} to {longest}" if step > 1 else str(longest)
            says(bar, f"answers of {lengths_of} tokens: {formatting.count(answers)}")
        if max_new_tokens is not None:
            cut = sum(length >= max_new_tokens for length in lengths)
            text = (
                f"longest allowed: {max_new_tokens} tokens "
                f"({formatting.count(cut)} of {formatting.count(len(lengths))} answers reach it)"
            )
            axes.axvline(max_new_tokens, color=RED, linestyle="--", linewidth=1.4, label=text)
            legend_above(axes)
        axes.set_xlim(0, 1.04 * top or 1)
        axes.set_xlabel("tokens in the answer" + (f" (bars of {step})" if step > 1 else ""))
        axes.set_ylabel("answers")
        axes.yaxis.get_major_locator().set_params(integer=True)  # type: ignore[call-arg]
        thousands(axes, "y")
        axes.grid(axis="y")
    return True


def history(path: Path, runs: Sequence[HistoryRun], *, run: str) -> bool:
    """Tokens per second of at least two runs, oldest first; of more than 40 the newest."""
    if len(runs) < 2:
        return False
    shown = list(runs)[-MAX_HISTORY:]
    looks = {
        "full": (BLUE, "", "full size, VALID"),
        "smoke": (SKY, "", "smoke run"),
        "invalid": (ORANGE, "////", "INVALID"),
    }
    with figure_at(path, "Tokens per second of the runs so far", run) as figure:
        axes = figure.subplots()
        for kind, (color, hatch, label) in looks.items():
            places = [x for x, bar in enumerate(shown) if bar.kind == kind]
            heights = [shown[x].tokens_per_second for x in places]
            if places:
                bars = axes.bar(
                    places,
                    heights,
                    width=0.7,
                    color=color,
                    hatch=hatch,
                    edgecolor="white",
                    label=label,
                )
                for bar, height in zip(bars, heights, strict=True):
                    says(bar, f"{formatting.rate(height, 'tokens/s')}, {label}")
        _name_bars(axes, shown)
        axes.set_xlim(-0.6, max(len(shown), 6) - 0.4)
        axes.set_ylim(0, 1.15 * max(bar.tokens_per_second for bar in shown) or 1)
        axes.set_ylabel("tokens per second")
        legend_above(axes)
        thousands(axes, "y")
        axes.grid(axis="y")
    return True


def _name_bars(axes: Axes, runs: Sequence[HistoryRun]) -> None:
    few = len(runs) <= 12
    for x, bar in enumerate(runs):
        height = bar.tokens_per_second
        if few or bar.this_run:
            text = formatting.rate(height, "").rstrip()
            weight = "normal"
            if bar.this_run:
                text, weight = f"this run\n{text}", "bold"
            axes.text(x, height, text, ha="center", va="bottom", fontweight=weight)
        if bar.this_run:
            (frame,) = axes.bar(x, height, width=0.7, fill=False, edgecolor=INK, linewidth=2)
            says(frame, f"this run: {formatting.rate(height, 'tokens/s')}")
    every = -(-len(runs) // 12)
    ticks = range((len(runs) - 1) % every, len(runs), every)  # the newest is always named
    axes.set_xticks(ticks, [_when(runs[x].finished) for x in ticks], fontsize=9)


def _when(finished: str) -> str:
    try:
        return datetime.fromisoformat(finished).strftime("%d %b\n%H:%M")
    except ValueError:
        return "?"
