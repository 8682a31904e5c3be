"""The figure of a search for the highest rate: what each probe found, against the limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness import formatting
from harness.loadgen.rate_search import Probe, highest_that_holds
from harness.report.canvas import (
    BLUE,
    GREEN,
    INK,
    ORANGE,
    RED,
    SVG_PANELS_IN,
    figure_at,
    legend_above,
    says,
    thousands,
)
from harness.rounds import LatencyLimits

if TYPE_CHECKING:
    from harness.report.canvas import Axes

MAX_LIMITS = 3  # times longer than so many limits stand at the upper edge, with their number


def rate_search(path: Path, probes: Sequence[Probe], limits: LatencyLimits, *, run: str) -> bool:
    """TTFT p99 and TPOT p99 of each probe against its rate; False where nothing was measured."""
    ttft = [(probe, probe.ttft_p99_ms) for probe in probes if probe.ttft_p99_ms is not None]
    tpot = [(probe, probe.tpot_p99_ms) for probe in probes if probe.tpot_p99_ms is not None]
    if not ttft and not tpot:
        return False
    best = highest_that_holds(probes)
    title = "The search for the highest rate that holds"
    with figure_at(path, title, run, small_in=SVG_PANELS_IN) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True)
        for axes in (upper, lower):
            # Drawn of nothing, so that the legend is whole whatever a panel has to show.
            axes.plot([], [], "o", color=BLUE, markersize=8, label="holds")
            axes.plot([], [], "X", color=ORANGE, markersize=8, label="does not hold")
            if best is not None:
                text = f"the rate found: {formatting.rate(best, 'queries/s')}"
                axes.axvline(best, color=GREEN, linestyle="--", linewidth=1.6, label=text)
        _panel(upper, ttft, limits.ttft_p99_ms, "TTFT")
        _panel(lower, tpot, limits.tpot_p99_ms, "TPOT")
        legend_above(upper, columns=4)
        rates = [probe.qps for probe in probes]
        margin = 0.06 * (max(rates) - min(rates)) or 0.05 * rates[0]
        lower.set_xlim(min(rates) - margin, max(rates) + margin)
        lower.set_xlabel("queries per second")
    return True


def _panel(axes: Axes, p99s: Sequence[tuple[Probe, float]], limit_ms: float, name: str) -> None:
    ceiling = MAX_LIMITS * limit_ms
    top = min(ceiling, 1.25 * max([limit_ms, *(ms for _, ms in p99s)]))
    for probe, ms in p99s:
        # The shape says it too, for those who cannot see the colours.
        marker, color = ("o", BLUE) if probe.holds else ("X", ORANGE)
        height = min(ms, 0.93 * top)
        (point,) = axes.plot(probe.qps, height, marker, color=color, markersize=8)
        says(
            point,
            f"{formatting.rate(probe.qps, 'queries/s')}: {name} p99 {formatting.milliseconds(ms)}",
        )
        if ms > ceiling:
            text = f"{formatting.milliseconds(ms)}  "
            axes.text(probe.qps, height, text, ha="right", va="center", color=INK, fontsize=9)
    axes.axhline(limit_ms, color=RED, linewidth=1.8, label="the limit of p99")
    axes.axhspan(limit_ms, 1e9, color=RED, alpha=0.08, linewidth=0)
    axes.set_ylim(0, top)
    axes.set_ylabel(f"{name} p99\nin milliseconds")
    thousands(axes, "y")
    axes.grid()
