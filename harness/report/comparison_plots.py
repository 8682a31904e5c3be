"""The figures of a comparison: the runs laid over each other, one SVG each.

Small, so that they can be read on a phone: a page sets two of them side by side where it has room.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from harness.language import phrase
from harness.report.canvas import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    RED,
    SKY,
    legend_above,
    svg_at,
    thousands,
)
from harness.report.comparison_measures import Figure
from harness.report.comparison_rates import steady_part
from harness.report.comparison_runs import ComparedRun, TimedTest
from harness.report.comparison_statistics import quantiles_of

if TYPE_CHECKING:
    from harness.report.canvas import Axes

CAPTIONS = {
    "differences": phrase(
        "How much higher each figure is than the first run's, with its 95 % interval. An interval "
        "that touches the line may be chance."
    ),
    "tokens_per_sec": phrase("Tokens per second over the test."),
    "latency": phrase("The share of the queries whose whole answer was there within a time."),
    "ttft": phrase("The share of the queries whose first token was there within a time."),
    "tpot": phrase(
        "The share of the queries whose further tokens took no longer than a time each."
    ),
}
# Told apart by the dashes too, for those who cannot see the colours.
_LOOKS = ((BLUE, "-"), (ORANGE, "--"), (GREEN, "-."), (RED, ":"), (SKY, "-"))
_BINS = 100
_SHARES = np.concatenate((np.linspace(0.002, 0.98, 150), np.linspace(0.982, 0.999, 18)))
_ROW_IN = 0.34  # of a figure in the picture of differences


def draw_all(
    folder: Path, runs: Sequence[ComparedRun], figures: Sequence[Figure]
) -> dict[str, Path]:
    """Every picture there is something to draw for, by its name. Raises OSError, ImportError."""
    folder.mkdir(exist_ok=True)
    drawn = {}
    for name in CAPTIONS:
        path = folder / f"{name}.svg"
        if name == "differences":
            is_drawn = _differences(path, runs, figures)
        elif name == "tokens_per_sec":
            is_drawn = _tokens_per_sec(path, runs)
        else:
            is_drawn = _distribution(path, runs, name)
        if is_drawn:
            drawn[name] = path
        else:
            path.unlink(missing_ok=True)
    return drawn


def _look(run: int) -> tuple[str, str]:
    return _LOOKS[run % len(_LOOKS)]


def _differences(path: Path, runs: Sequence[ComparedRun], figures: Sequence[Figure]) -> bool:
    known = [figure for figure in figures if any(figure.intervals)]
    if not known:
        return False
    others = len(runs) - 1
    with svg_at(path, height_in=1.0 + _ROW_IN * len(known) * max(1, others / 2)) as figure:
        axes = figure.subplots()
        axes.axvline(0, color=INK, linewidth=1)
        for run in range(1, len(runs)):
            color, _ = _look(run)
            label = f"{runs[run].label} to {runs[0].label}"
            for row, known_figure in enumerate(known):
                if (interval := known_figure.intervals[run - 1]) is None:
                    continue
                y = row + (run - (others + 1) / 2) * 0.6 / others
                ends = (100 * interval.low, 100 * interval.high)
                axes.plot(ends, (y, y), color=color, linewidth=2.2, solid_capstyle="butt")
                full = interval.is_more_than_chance
                axes.plot(
                    100 * interval.estimate,
                    y,
                    "o",
                    color=color,
                    markerfacecolor=color if full else "white",
                    markersize=6,
                    label=label,
                )
                label = "_nolegend_"
        axes.set_yticks(range(len(known)), [f.name.replace(" (", "\n(") for f in known])
        axes.set_ylim(len(known) - 0.5, -0.5)
        axes.set_xlabel("% more than the first run")
        axes.grid(axis="x")
        if others > 1:
            legend_above(axes)
    return True


def _tokens_per_sec(path: Path, runs: Sequence[ComparedRun]) -> bool:
    shown = [(number, run) for number, run in enumerate(runs) if len(run.test.timeline_s) > 1]
    if not shown:
        return False
    with svg_at(path) as figure:
        axes = figure.subplots()
        top = 0.0
        for number, run in shown:
            color, dashes = _look(number)
            moments, rates = _binned(run.test)
            top = max(top, float(rates.max()))
            axes.plot(moments, rates, color=color, linestyle=dashes, label=run.label, linewidth=1.4)
        _shade_steady_part(axes, shown[0][1])
        axes.set_xlim(0, max(float(run.test.timeline_s[-1]) for _, run in shown))
        axes.set_ylim(0, 1.08 * top or 1)
        axes.set_xlabel("seconds since the first query")
        axes.set_ylabel("tokens per second")
        thousands(axes, "y")
        axes.grid(axis="y")
        legend_above(axes, columns=len(shown) + 1)
    return True


def _binned(test: TimedTest) -> tuple[np.typing.NDArray[np.float64], np.typing.NDArray[np.float64]]:
    """The middle of each bin and the tokens per second in it."""
    bins = max(min(_BINS, len(test.timeline_s) - 1), 1)
    edges = np.linspace(0, test.timeline_s[-1], bins + 1)
    time_s = np.concatenate(([0.0], test.timeline_s))
    tokens = np.interp(edges, time_s, np.concatenate(([0.0], test.timeline_tokens)))
    return (edges[:-1] + edges[1:]) / 2, np.diff(tokens) / np.diff(edges)


def _shade_steady_part(axes: Axes, run: ComparedRun) -> None:
    part = steady_part(run, run.test)
    if part.is_steady:
        ends = np.interp(
            (part.first_token, part.last_token), run.test.timeline_tokens, run.test.timeline_s
        )
        text = f"steady part of {run.label}"
        axes.axvspan(*ends, color=GREY, alpha=0.12, linewidth=0, label=text)


def _distribution(path: Path, runs: Sequence[ComparedRun], what: str) -> bool:
    times = [run.test.times_ms[what] for run in runs]
    offline = any(run.result.scenario == "Offline" for run in runs)
    if offline or any(np.isnan(values).all() for values in times):
        return False  # an Offline latency is when in the test an answer was finished
    top = max(float(np.nanmax(values)) for values in times)
    unit, factor = ("seconds", 1e-3) if top >= 10_000 else ("milliseconds", 1.0)
    with svg_at(path) as figure:
        axes = figure.subplots()
        for number, (run, values) in enumerate(zip(runs, times, strict=True)):
            color, dashes = _look(number)
            at = factor * quantiles_of(values, tuple(_SHARES))
            axes.plot(
                at, 100 * _SHARES, color=color, linestyle=dashes, label=run.label, linewidth=1.6
            )
        axes.set_xlim(left=0)
        axes.set_ylim(0, 100)
        axes.set_xlabel(unit)
        axes.set_ylabel("% of the queries")
        thousands(axes, "x")
        axes.grid()
        legend_above(axes, columns=len(runs))
    return True
