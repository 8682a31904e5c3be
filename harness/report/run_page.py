"""report.html: a run as one page to forward, with everything in it, for light, dark and a phone."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from harness import formatting, templates
from harness.language import joined, phrase
from harness.report import figures, latency_text, pages, svg, text
from harness.report.gauges import gauges
from harness.results.folder import RunFolder
from harness.rules.verdict import INVALID, NOT_FINISHED, OFFICIAL_READY, UNOFFICIAL

# How a page colours a verdict.
_TONES = {OFFICIAL_READY: "good", UNOFFICIAL: "doubtful", INVALID: "bad", NOT_FINISHED: "bad"}
_STATISTICS = {
    "mean": phrase("mean"),
    "p50": "p50",
    "p90": "p90",
    "p95": "p95",
    "p99": "p99",
    "p999": "p99.9",
}


def render(record: dict[str, Any], config: dict[str, Any], folder: RunFolder) -> str:
    """report.html. Raises BenchmarkError when jinja2 is not installed, OSError."""
    run = values(record, config, folder)
    title = joined(": ", (run["title"], record["headline"]["text"]))
    return templates.render("report.html.j2", pages.TEMPLATES, run=run, title=title)


def values(record: dict[str, Any], config: dict[str, Any], folder: RunFolder) -> dict[str, Any]:
    """What the template of a run is filled with; its figures lie in the run folder. OSError."""
    performance = record["run"]["performance"]
    return {
        **text.values(record, config, folder),
        "tone": _TONES[record["verdict"]["result"]],
        "place": _place(record),
        "gauges": list(gauges(record)),
        "latency_rows": _latency_rows(performance) if performance else [],
        "pictures": list(_pictures(record, folder)),
    }


def _place(record: dict[str, Any]) -> str:
    """Where and when: '1 x NVIDIA H200, 2026-11-24 05:33, MLPerf Inference v5.1'."""
    system, meta = record["system"], record["meta"]
    count = system.get("gpu_count")
    where = f"{count} x {system.get('gpu_name')}" if count else f"CPU: {system.get('cpu')}"
    parts = [where if count or system.get("cpu") else formatting.NOT_KNOWN]
    try:
        parts.append(f"{datetime.fromisoformat(str(meta['finished'])):%Y-%m-%d %H:%M}")
    except ValueError:  # it did not come to its end
        parts.append(str(meta["status"]))
    return f"{', '.join(parts)}, MLPerf Inference v{meta['version']}"


def _latency_rows(performance: dict[str, Any]) -> list[list[str]]:
    """A column for each latency, which a phone has room for."""
    names = {f"{what}_ms": name for what, name in latency_text.NAMES.items()}
    known = {key: name for key, name in names.items() if performance[key]}
    rows = [["", *known.values()]]
    for statistic, name in _STATISTICS.items():
        found = [performance[key][statistic] for key in known]
        rows.append([name, *(formatting.milliseconds(v).removesuffix(" ms") for v in found)])
    limits = performance["limits_ms"]
    if limits:
        of = {"ttft_ms": "ttft_p99_ms", "tpot_ms": "tpot_p99_ms"}
        cells = [f"{limits[of[key]]:,.0f}" if key in of else phrase("none") for key in known]
        rows.append([phrase("limit of p99"), *cells])
    return rows


def _pictures(record: dict[str, Any], folder: RunFolder) -> Iterator[tuple[str, str]]:
    for name, path in record["plots"].items():
        if path:
            picture = (folder.plots / f"{name}.svg").read_text(encoding="utf-8")
            # Several runs may stand on one page, and a name must be there once.
            label = f"{folder.name}-{name}"
            yield figures.CAPTIONS[name], svg.inline(picture, label, figures.CAPTIONS[name])
