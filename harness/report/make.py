"""summary.json, report.md, report.html and the plots of a run, from its folder alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness.language import ENGLISH, chosen, recalled_within
from harness.report import figures, run_page, summary, text, withheld
from harness.results.files import read_object, write_json, write_text
from harness.results.folder import ACCURACY_LOG, DETAIL_LOG, SUMMARY_LOG, RunFolder
from harness.rules.contradictions import credible
from harness.rules.evidence import Evidence
from harness.rules.read import read_evidence


def make_report(run_dir: Path) -> dict[str, Any]:
    """Writes summary.json, both reports and plots/ of a run; returns what summary.json holds.

    Of a run that did not finish, whatever logs there are. Raises UsageError when it is no run
    folder, LogError when a log of a finished run is damaged, OSError when it cannot be written.
    """
    folder = RunFolder(run_dir.resolve())
    evidence = read_evidence(folder)
    record = _summary(folder, evidence)
    record["logs"] = _logs(folder)
    shown = credible(evidence, withheld.left_out(record))
    record["plots"], doubts = figures.draw_all(folder, shown)
    record["problems"] += doubts
    write_json(folder.summary_json, record)
    write_text(folder.report_md, text.render(record, evidence.config, folder))
    write_text(folder.report_html, run_page.render(record, evidence.config, folder))
    return record


def read_report(run_dir: Path) -> dict[str, Any]:
    """What summary.json holds of a run whose report was made.

    The file has its sentences in English. In another language the logs are read again, as only
    what sentences are made of can be said in it. Raises UsageError, LogError.
    """
    folder = RunFolder(run_dir.resolve())
    record = read_object(folder.summary_json)
    if chosen() == ENGLISH:
        return record
    # Some are of drawing the figures; an earlier version kept none.
    problems = recalled_within(record.get("problems", []))
    return {**record, **_summary(folder, read_evidence(folder)), "problems": problems}


def _summary(folder: RunFolder, evidence: Evidence) -> dict[str, Any]:
    record = summary.build(evidence)
    record["meta"]["name"] = folder.name
    return record


def _logs(folder: RunFolder) -> dict[str, str | None]:
    """Where the logs lie, relative to the run folder; None where there is none."""
    test = folder.performance if (folder.performance / DETAIL_LOG).exists() else folder.accuracy
    paths = {
        "summary_txt": test / SUMMARY_LOG,
        "detail_txt": test / DETAIL_LOG,
        "accuracy_json": folder.accuracy / ACCURACY_LOG,
        "rouge_json": folder.rouge_json,
        "answers_jsonl": folder.answers_jsonl,
        "run_log": folder.run_log,
    }
    return {
        name: str(path.relative_to(folder.path)) if path.exists() else None
        for name, path in paths.items()
    }
