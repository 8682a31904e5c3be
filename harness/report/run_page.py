"""report.html: a run as one page to forward, with everything in it, for light, dark and a phone."""

from __future__ import annotations

from collections.abc import Iterator
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
        "place": f"{pages.place(record)}, MLPerf Inference v{record['meta']['version']}",
        "gauges": list(gauges(record)),
        "latency_rows": _latency_rows(performance) if performance else [],
        "pictures": list(_pictures(record, folder)),
    }


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
            caption = figures.CAPTIONS[name]
            yield caption, svg.of_run(folder, name, caption)
