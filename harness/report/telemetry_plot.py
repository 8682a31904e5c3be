"""The figure of telemetry.csv: what machine and engine did, panels over one time axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.metrics import TelemetryPoint
from harness.report.canvas import BLUE, GREEN, ORANGE, RED, figure_at, legend_above, thousands

PANEL_IN, SMALL_PANEL_IN = 1.35, 1.15
MAX_POINTS = 600  # of a line; more are thinned to the mean of neighbours


@dataclass(frozen=True)
class Line:
    """One column of telemetry.csv as it is drawn."""

    column: str
    label: str
    colour: str


_PANELS: tuple[tuple[str, tuple[Line, ...]], ...] = (
    (
        "%",
        (
            Line("gpu_utilisation_percent", "GPU utilisation", BLUE),
            Line("kv_cache_percent", "KV cache in use", GREEN),
        ),
    ),
    ("W", (Line("gpu_power_w", "power of the GPUs", ORANGE),)),
    ("MHz", (Line("gpu_sm_mhz", "clock of the slowest GPU", BLUE),)),
    ("°C", (Line("gpu_temperature_c", "temperature of the hottest GPU", RED),)),
    (
        "requests",
        (
            Line("engine_running", "running in the engine", BLUE),
            Line("engine_waiting", "waiting for their turn", ORANGE),
        ),
    ),
    (
        "% of a core",
        (
            Line("processes_cpu_percent", "CPU of all processes", BLUE),
            Line("engine_cpu_percent", "of the engine's busiest", GREEN),
            Line("client_cpu_percent", "of the one that answers LoadGen", ORANGE),
        ),
    ),
)


def telemetry(path: Path, points: Sequence[TelemetryPoint], *, run: str) -> bool:
    """One panel for each unit of which something was seen; False with less than two seconds."""
    panels = [
        (unit, seen)
        for unit, lines in _PANELS
        if (seen := [line for line in lines if _series(points, line.column)[1]])
    ]
    if len(points) < 2 or not panels:
        return False
    height_in = 1.0 + PANEL_IN * len(panels)
    small_in = 0.6 + SMALL_PANEL_IN * len(panels)
    title = "What the machine and the engine did"
    with figure_at(path, title, run, height_in, small_in) as figure:
        drawn = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (unit, lines) in zip(drawn, panels, strict=True):
            for line in lines:
                moments, values = _series(points, line.column)
                axes.plot(moments, values, color=line.colour, linewidth=1.3, label=line.label)
            axes.set_ylabel(unit)
            axes.margins(y=0.1)
            axes.set_ylim(0, 105 if unit == "%" else None)
            thousands(axes, "y")
            axes.grid(axis="y")
            legend_above(axes)
        drawn[-1].set_xlim(0, points[-1].time_s)
        drawn[-1].set_xlabel("seconds since the first query")
    return True


def _series(points: Sequence[TelemetryPoint], column: str) -> tuple[list[float], list[float]]:
    """Moments and values of a column, neighbours taken together where there are many."""
    seen = [(p.time_s, float(v)) for p in points if (v := getattr(p, column)) is not None]
    step = max(1, -(-len(seen) // MAX_POINTS))
    parts = [seen[start : start + step] for start in range(0, len(seen), step)]
    moments = [sum(moment for moment, _ in part) / len(part) for part in parts]
    values = [sum(value for _, value in part) / len(part) for part in parts]
    return moments, values
