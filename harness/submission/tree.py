"""Finished run folders to the tree that MLCommons takes: copied, described, checked, not edited.

Where what lies in which round: entries "v5.1" and "v6.0" of
tools/submission/submission_checker/constants.py of github.com/mlcommons/inference (b66003e1), and
tools/submission/submission_checker.py at v5.1.1 for code/ and calibration.md.
"""

from __future__ import annotations

import re
import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.logs.text import sha256
from harness.results.files import write_json, write_text
from harness.results.folder import ACCURACY_LOG, DETAIL_LOG, SUMMARY_LOG, TEST06_VERIFIED
from harness.submission import checks as submission_checks
from harness.submission import source_copy, system_description
from harness.submission import texts as submission_texts
from harness.submission.finished_run import FinishedRun, read_run

MODELS = {"datacenter": "llama3.1-8b", "edge": "llama3.1-8b-edge"}  # folder names in the tree
# tools/submission/truncate_accuracy_log.py: what is kept of an accuracy log at either end.
KEPT_CHARACTERS = 4096
CUT = "\n\n...\n\n"


@dataclass(frozen=True)
class Layout:
    """Where a round wants what, below <division>/<submitter>/."""

    code: str
    measurements: str
    measurements_json: str
    compliance: str


_RESULTS = "results/{system}/{model}/{scenario}"
_V5 = Layout(
    code="code/{model}",
    measurements="measurements/{system}/{model}/{scenario}",
    measurements_json="{system}.json",
    compliance="compliance/{system}/{model}/{scenario}/TEST06",
)
_V6 = Layout(
    code="src",
    measurements=_RESULTS,
    measurements_json="measurements.json",
    compliance=f"{_RESULTS}/TEST06",
)
LAYOUTS = {"5.1": _V5, "6.0": _V6, "6.1": _V6}


@dataclass(frozen=True)
class Submission:
    """What the flags ask for."""

    out: Path  # does not exist yet
    submitter: str
    division: str  # closed or open
    system_json: Path | None


def make_submission(asked: Submission, run_dirs: Sequence[Path], project: Path) -> tuple[str, ...]:
    """The tree of these run folders; returns doubts. Raises UsageError, LogError."""
    return make_tree(asked, [read_run(path) for path in run_dirs], project)


def make_tree(asked: Submission, runs: Sequence[FinishedRun], project: Path) -> tuple[str, ...]:
    """Writes the tree in one step and returns doubts, a sentence each.

    Raises UsageError when a run or the description of the system is not fit for a submission; then
    nothing is written.
    """
    _check_names(asked)
    given = system_description.read_json(asked.system_json)
    submission_checks.check(runs, asked.division)
    system = system_description.describe(
        runs[0].evidence.config, given, submitter=asked.submitter, division=asked.division
    )
    out = asked.out
    unfinished = out.with_name(f".{out.name}.{secrets.token_hex(4)}.tmp")
    try:
        tree = _Tree(unfinished / asked.division / asked.submitter, system["system_name"], runs)
        write_json(tree.made("systems") / f"{tree.system}.json", system)
        tree.write_common(project)
        for run in runs:
            tree.write_run(run)
        unfinished.rename(out)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise
    return submission_checks.doubts(runs)


def check_beforehand(asked: Submission, config: dict[str, Any]) -> None:
    """What can be refused before anything is measured. `config` is config.json of a run to come.

    Raises UsageError.
    """
    _check_names(asked)
    given = system_description.read_json(asked.system_json)
    system_description.describe(config, given, submitter=asked.submitter, division=asked.division)


def _check_names(asked: Submission) -> None:
    if asked.out.exists() or asked.out.is_symlink():
        raise UsageError(
            f"--submission {asked.out}: it exists already; name a folder that does not, so that "
            "nothing is mixed or overwritten."
        )
    if not asked.out.absolute().parent.is_dir():
        raise UsageError(
            f"--submission {asked.out}: there is no folder {asked.out.parent}; make it first."
        )
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", asked.submitter):
        raise UsageError(
            f"--submitter {asked.submitter!r} names a folder: letters, digits, '-', '_' and '.' "
            "alone, such as My_Company."
        )


def folder_name(system_name: str) -> str:
    """A system's name as a folder: no blanks, nothing that a shell or a checker trips over."""
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", system_name).strip("._-") or "system"


class _Tree:
    """The folder of one submitter while it is written."""

    def __init__(self, root: Path, system_name: str, runs: Sequence[FinishedRun]):
        first = runs[0].evidence
        self.root = root
        self.system = folder_name(system_name)
        self.model = MODELS[first.config["flags"]["category"]]
        self.layout = LAYOUTS[first.official.name]
        self.runs = runs

    def made(self, place: str, scenario: str = "") -> Path:
        """A folder of the tree, made if it is not there."""
        path = self.root / self.named(place, scenario)
        path.mkdir(parents=True, exist_ok=True)
        return path

    def named(self, place: str, scenario: str = "") -> str:
        """A path of the layout with its names filled in."""
        return place.format(system=self.system, model=self.model, scenario=scenario)

    def write_common(self, project: Path) -> None:
        """The source and the calibration, which all scenarios share."""
        commit = self.runs[0].evidence.config["system"].get("git_commit")
        source_copy.copy_source(project, commit, self.made(self.layout.code))
        text = submission_texts.calibration([run.evidence for run in self.runs])
        write_text(self.root / "calibration.md", text)

    def write_run(self, run: FinishedRun) -> None:
        """Results, measurements and compliance of one scenario."""
        scenario, folder = run.evidence.scenario.label, run.folder
        results = self.made(_RESULTS, scenario)
        _copy_logs(folder.performance, results / "performance" / "run_1")
        self._write_accuracy(run, results / "accuracy")
        place = self.made(self.layout.measurements, scenario)
        name = self.named(self.layout.measurements_json)
        write_json(place / name, submission_texts.measurements(run.evidence))
        shutil.copyfile(folder.user_conf, place / "user.conf")
        code = self.named(self.layout.code)
        write_text(place / "README.md", submission_texts.measurement_readme(run.evidence, code))
        if run.evidence.compliance is not None:
            test06 = self.made(self.layout.compliance, scenario)
            shutil.copyfile(folder.test06 / TEST06_VERIFIED, test06 / TEST06_VERIFIED)
            (test06 / "accuracy").mkdir()
            # The official tool cuts no log of TEST06.
            shutil.copyfile(folder.test06 / ACCURACY_LOG, test06 / "accuracy" / ACCURACY_LOG)

    @staticmethod
    def _write_accuracy(run: FinishedRun, target: Path) -> None:
        log = run.folder.accuracy / ACCURACY_LOG
        _copy_logs(run.folder.accuracy, target)
        write_text(target / ACCURACY_LOG, truncated(log))
        assert run.evidence.accuracy is not None  # submission_checks has seen to it
        text = submission_texts.accuracy_text(run.evidence.accuracy, sha256(log))
        write_text(target / "accuracy.txt", text)


def _copy_logs(source: Path, target: Path) -> None:
    """LoadGen's summary and detail log, byte for byte."""
    target.mkdir(parents=True)
    for name in (SUMMARY_LOG, DETAIL_LOG):
        shutil.copyfile(source / name, target / name)


def truncated(log: Path) -> str:
    """The beginning and the end of an accuracy log as the official tool leaves them."""
    text = log.read_text(encoding="utf-8")
    if len(text) < KEPT_CHARACTERS:
        return text
    return text[:KEPT_CHARACTERS] + CUT + text[-KEPT_CHARACTERS:]
