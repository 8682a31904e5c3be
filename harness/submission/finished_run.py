"""A run folder with the verdict on it, as a submission takes it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from harness.results.folder import RunFolder
from harness.rules.evidence import Evidence
from harness.rules.read import read_evidence
from harness.rules.verdict import judge


@dataclass(frozen=True)
class FinishedRun:
    """A run folder, all that it holds, and the verdict on it."""

    folder: RunFolder
    evidence: Evidence
    result: str  # OFFICIAL-READY, VALID BUT UNOFFICIAL, INVALID or FAILED
    reasons: tuple[str, ...]  # a sentence for each rule that it breaks


def read_run(run_dir: Path) -> FinishedRun:
    """A run folder and the verdict on it. Raises UsageError, LogError."""
    folder = RunFolder(run_dir.resolve())
    evidence = read_evidence(folder)
    verdict = judge(evidence)
    reasons = tuple(broken.sentence for broken in verdict.failed)
    return FinishedRun(folder, evidence, verdict.result, reasons)
