"""The runs of one command as one page to forward, from their folders alone."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import templates
from harness.config import Scenario
from harness.language import phrase
from harness.report import make, pages, run_page, series
from harness.results.files import write_text
from harness.results.folder import RunFolder
from harness.results.series import series_html
from harness.rules.read import read_config


def write(paths: Sequence[Path]) -> Path | None:
    """Writes the page of runs that have their report.html, and returns where it is.

    What has none is left out, such as a run whose report failed, or an evaluation; None: all are.
    Raises OSError, BenchmarkError.
    """
    folders = [RunFolder(path.resolve()) for path in paths]
    folders = [folder for folder in folders if folder.report_html.exists()]
    if not folders:
        return None
    runs = [_run(folder) for folder in folders]
    summaries = [run["summary"] for run in runs]
    categories = dict.fromkeys(summary["meta"]["category"] for summary in summaries)
    page = series_html(folders)
    ended = [
        series.Run(Scenario(summary["meta"]["scenario"]).label, folder.path, summary)
        for folder, summary in zip(folders, summaries, strict=True)
    ]
    values = {
        "title": phrase(
            "{count} runs ({categories}): {model}",
            count=len(runs),
            categories=", ".join(categories),
            model=summaries[0]["meta"]["model"],
        ),
        "runs": runs,
        "scenarios": [run.scenario for run in ended],
        "last_line": series.last_line(ended),
        "reasons": list(series.reasons(ended)),
    }
    write_text(page, templates.render("series.html.j2", pages.TEMPLATES, **values))
    return page


def _run(folder: RunFolder) -> dict[str, Any]:
    return run_page.values(make.read_report(folder.path), read_config(folder), folder)
