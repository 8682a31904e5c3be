"""index.html of a results folder: every run that finished, to sort and to filter, over time.

Made anew from the run folders, as index.md is.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from harness import formatting, templates
from harness.language import phrase, recalled
from harness.report import pages, svg
from harness.report.canvas import BLUE, GREEN, ORANGE, RED, SKY, legend_above, svg_at, thousands
from harness.results.files import read_object, write_text
from harness.results.folder import RunFolder, finished_runs
from harness.results.index import part, timestamp

# What makes runs comparable: a line of the figure, and what a change is told against.
_ALIKE = ("category", "scenario", "model")
_LOOKS = ((BLUE, "o-"), (ORANGE, "s--"), (GREEN, "^-."), (RED, "D:"), (SKY, "v-"))
_SETTINGS = ("precision", "weights", "dataset", "total_sample_count", "server_target_qps")
_NOT_A_SETTING = ("model", "revision", "seed")  # of the engine's arguments


def write(results_dir: Path) -> Path:
    """Writes index.html and returns where it is. Raises BenchmarkError without jinja2, OSError."""
    runs = finished_runs(results_dir)
    settings = {run["run"]: _settings(results_dir, run["run"]) for run in runs}
    rows = [
        {
            **run,
            "headline": recalled(run["headline"] or ""),
            "formats": ", ".join(filter(None, (run["quantization"], run["precision"]))),
            "moment": timestamp(run["finished"]),
            "when": _when(run["finished"]),
            "changed": _changed(run, runs[place + 1 :], settings),
            "page": f"{run['run']}/{_page(results_dir, run['run'])}",
        }
        for place, run in enumerate(runs)
    ]
    page = results_dir / "index.html"
    values = {
        "title": phrase("Runs, newest first"),
        "runs": rows,
        "filters": {
            phrase("scenario"): ("scenario", _values(rows, "scenario")),
            phrase("model"): ("model", _values(rows, "model")),
            phrase("number formats"): ("formats", _values(rows, "formats")),
        },
        "picture": _picture(runs),
    }
    write_text(page, templates.render("history.html.j2", pages.TEMPLATES, **values))
    return page


def _values(rows: Sequence[Mapping[str, Any]], key: str) -> list[str]:
    return sorted({str(row[key]) for row in rows if row[key]})


def _when(finished: object) -> str:
    try:
        return f"{datetime.fromisoformat(str(finished)):%Y-%m-%d %H:%M}"
    except ValueError:
        return formatting.NOT_KNOWN


def _page(results_dir: Path, run: str) -> str:
    """The run's report; one of an earlier version has no page, nor has an evaluation."""
    folder = RunFolder(results_dir / run)
    return (folder.report_html if folder.report_html.exists() else folder.report_md).name


def _settings(results_dir: Path, run: str) -> dict[str, str]:
    """What may have been changed between two runs, as text."""
    config = read_object(RunFolder(results_dir / run).config_json)
    flags, engine = part(config, "flags"), part(config, "resolved", "engine")
    found = {key: part(flags, key) for key in _SETTINGS}
    if isinstance(engine, dict):
        found |= {key: value for key, value in engine.items() if key not in _NOT_A_SETTING}
    found["vLLM"] = part(config, "system", "vllm_version")
    return {key: str(value) for key, value in found.items() if value is not None}


def _changed(
    run: Mapping[str, Any],
    older: Sequence[Mapping[str, Any]],
    settings: Mapping[str, Mapping[str, str]],
) -> str:
    """What differs from the run before of the same scenario and model; empty: there is none."""
    before = next((one for one in older if _alike(one) == _alike(run)), None)
    if before is None:
        return ""
    then, now = settings[before["run"]], settings[run["run"]]
    changes = [
        f"{key} {then.get(key, '-')} → {now.get(key, '-')}"
        for key in sorted({*then, *now})
        if then.get(key) != now.get(key)
    ]
    return ", ".join(changes) or phrase("nothing")


def _alike(run: Mapping[str, Any]) -> tuple[Any, ...]:
    return tuple(run[key] for key in _ALIKE)


def _picture(runs: Sequence[Mapping[str, Any]]) -> str:
    """Tokens per second over time, a line for each scenario and model; empty: nothing to draw."""
    measured = [run for run in reversed(runs) if run["tokens_per_sec"] and run["finished"]]
    groups: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for run in measured:
        groups.setdefault(_alike(run), []).append(run)
    # Those with the most runs tell most; more lines could not be told apart.
    shown = sorted(groups.items(), key=lambda group: -len(group[1]))[: len(_LOOKS)]
    if len(measured) < 2:
        return ""
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "history.svg"
            _draw(path, shown)
            picture = path.read_text(encoding="utf-8")
    except ImportError:
        return ""
    return svg.inline(picture, "history", str(phrase("Tokens per second of the runs so far")))


def _draw(
    path: Path, groups: Sequence[tuple[tuple[Any, ...], Sequence[Mapping[str, Any]]]]
) -> None:
    with svg_at(path) as figure:
        axes = figure.subplots()
        for ((_, scenario, model), runs), (color, look) in zip(groups, _LOOKS, strict=False):
            moments: list[Any] = [datetime.fromtimestamp(timestamp(r["finished"])) for r in runs]
            rates = [run["tokens_per_sec"] for run in runs]
            label = f"{scenario}, {model}"
            axes.plot(moments, rates, look, color=color, markersize=5, linewidth=1.2, label=label)
        axes.set_ylim(bottom=0)
        axes.set_ylabel(phrase("tokens per second"))
        thousands(axes, "y")
        axes.grid(axis="y")
        figure.autofmt_xdate(rotation=30)
        legend_above(axes, columns=2)
