"""Names and creates run folders, and keeps the index and `latest` whole whatever happens.

The only module that knows paths under the results folder. Several runs may share one results
folder: each holds the lock of its own run folder while it is alive, and takes the lock of the
results folder to finish. Both locks go with the process that held them.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import itertools
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from harness.errors import UsageError
from harness.results import index as run_index
from harness.results.files import locked, read_object, set_aside, write_json, write_text
from harness.results.index import ENDED_WITHOUT_A_WORD, FAILED, FINISHED, RUNNING

SUMMARY_LOG = "mlperf_log_summary.txt"
DETAIL_LOG = "mlperf_log_detail.txt"
ACCURACY_LOG = "mlperf_log_accuracy.json"
MMLU = "mmlu"  # the category of an evaluation by mmlu.py, in its folder's name and config.json
TEST06_RESULT = "result.json"  # each check in words
TEST06_VERIFIED = "verify_accuracy.txt"  # the same in the official form
TUNING_JSON = "tuning.json"  # beside the run folders: what searches for settings have found
TUNING_LOG = "tuning.log"  # what their engines said
_RUN_NAME = re.compile(r"\d{8}-\d{6}-((datacenter|edge)-[a-z]+|mmlu)(-\d+)?")
_DOOMED = ".deleting-"
_RUN_LOCK = ".running"
_RESERVE = ".reserve"
RESERVE_BYTES = 4 * 2**20  # config.json, the report with its plots, the index


class RunFolder:
    """One run's folder and every path in it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_json = path / "config.json"  # flags as resolved, constants, departures
        self.summary_json = path / "summary.json"  # the results for programs
        self.report_md = path / "report.md"  # the results for people
        self.report_html = path / "report.html"  # the same as one file to forward
        self.plots = path / "plots"
        self.run_log = path / "run.log"  # what the run and the engine said
        self.user_conf = path / "user.conf"  # the settings given to LoadGen
        self.performance = path / "Performance"  # LoadGen's output folders
        self.accuracy = path / "Accuracy"
        self.probes = path / "Probes"  # LoadGen's logs of a rate search, a folder each
        self.rouge_json = self.accuracy / "rouge.json"
        self.answers_jsonl = self.accuracy / "answers.jsonl"  # the answers as text
        self.test06 = path / "Compliance" / "TEST06"  # what the compliance test left
        self.samples_csv = path / "samples.csv"  # a line per answered sample
        self.timeline_csv = path / "timeline.csv"  # the engine's state over the test
        self.telemetry_csv = path / "telemetry.csv"  # what the machine did, second by second
        self._lock: IO[str] | None = None

    @classmethod
    def create(
        cls, results_dir: Path, category: str, scenario: str | None, now: datetime
    ) -> RunFolder:
        """Makes `YYYYMMDD-hhmmss-<category>-<scenario>`, with -2, -3 ... where that is taken.

        An MMLU run has the category mmlu and no scenario.

        The folder counts as a living run, which no other run deletes, until `finish` or until
        this process ends.
        """
        results_dir.mkdir(parents=True, exist_ok=True)
        name = "-".join(filter(None, (f"{now:%Y%m%d-%H%M%S}", category, scenario)))
        for number in itertools.count(1):
            folder = cls(results_dir / (name if number == 1 else f"{name}-{number}"))
            # mkdir fails on a folder that is there, so two runs never share one.
            with contextlib.suppress(FileExistsError):
                folder.path.mkdir()
                break
        folder._lock = (folder.path / _RUN_LOCK).open("a")
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(folder._lock, fcntl.LOCK_EX)
        _reserve(folder.path / _RESERVE)
        return folder

    @property
    def name(self) -> str:
        """The folder's own name, which is the run's name."""
        return self.path.name

    def is_alive(self) -> bool:
        """Whether another process (or this one) still runs in this folder."""
        try:
            with self._open_lock() as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # held, or it cannot be known
            return True
        return False

    def _open_lock(self) -> IO[str]:
        path = self.path / _RUN_LOCK
        try:
            return path.open("r+")  # some file systems want it open for writing
        except PermissionError:
            return path.open()
        except OSError as error:
            if error.errno != errno.EROFS:
                raise
            return path.open()

    def status(self, record: dict[str, Any]) -> tuple[str | None, str | None]:
        """The status in a run's record, config.json, and the error there.

        A run that calls itself running has failed if nobody is at work in its folder.
        """
        run = record.get("run")
        if not isinstance(run, dict):
            return None, None
        if run.get("status") == RUNNING and not self.is_alive():
            return FAILED, ENDED_WITHOUT_A_WORD
        return run.get("status"), run.get("error")

    def is_ours(self) -> bool:
        """Whether this is a folder that `create` made and a run has described."""
        if not _RUN_NAME.fullmatch(self.name) or self.path.is_symlink():
            return False
        return "schema_version" in read_object(self.config_json)

    def free_reserve(self) -> None:
        """Gives back the space that was kept for the words with which a run ends."""
        with contextlib.suppress(OSError):
            (self.path / _RESERVE).unlink(missing_ok=True)

    def release(self) -> None:
        """Says that this run is over; `finish` does it too."""
        self.free_reserve()
        if self._lock is not None and not self._lock.closed:
            with contextlib.suppress(OSError):  # the folder may be gone or read-only by now
                (self.path / _RUN_LOCK).unlink(missing_ok=True)
            self._lock.close()


def _reserve(path: Path) -> None:
    """Takes some space, so that a run which fills the disk can still say so in its folder."""
    try:
        with path.open("xb") as file:
            os.posix_fallocate(file.fileno(), 0, RESERVE_BYTES)
    except OSError:  # not there: then the end of a run has no more space than anybody
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


def check_results_dir(path: Path) -> None:
    """Raises UsageError when no run folder can be made there. Leaves nothing behind."""
    existing = path
    while not existing.exists() and not existing.is_symlink() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        raise UsageError(f"--results-dir {path}: {existing} is not a folder; choose another one.")
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise UsageError(
            f"--results-dir {path}: {existing} cannot be written ({error.strerror}); "
            "choose a folder you may write to."
        ) from None


def finish(folder: RunFolder, *, keep_all: bool, spared: Sequence[str] = ()) -> tuple[str, ...]:
    """Enters a run into the index; points `latest` at it and tidies up if it finished.

    Whether it finished is what its summary.json says (meta.status), else its config.json. The
    order makes a crash at any moment harmless: the new index, then `latest`, then (keep_all
    False) the other folders but the `spared`, then the index without them. Returns doubts, a
    sentence each.
    """
    results_dir = folder.path.parent
    with locked(results_dir):
        _free_reserves_of_dead_runs(results_dir)
        doubts = _write_index(results_dir)
        if _entry(folder)["status"] == FINISHED:
            doubts += _point_latest_at(folder)
            if not keep_all:
                doubts += _delete_others(folder, spared)
                doubts += _write_index(results_dir)
    folder.release()
    return doubts


def finished_runs(results_dir: Path) -> list[dict[str, Any]]:
    """The entries of index.json for runs that finished, newest first.

    Read from the run folders themselves, so that a damaged or outdated index misleads nobody.
    """
    return [entry for entry in _entries(results_dir) if entry["status"] == FINISHED]


def _entries(results_dir: Path) -> list[dict[str, Any]]:
    if not results_dir.is_dir():
        return []
    folders = [RunFolder(path) for path in results_dir.iterdir()]
    entries = [_entry(folder) for folder in folders if folder.is_ours()]
    return run_index.newest_first(entry for entry in entries if entry["status"] != RUNNING)


def _entry(folder: RunFolder) -> dict[str, Any]:
    summary, config = read_object(folder.summary_json), read_object(folder.config_json)
    return run_index.entry(folder.name, summary, config, alive=folder.is_alive())


def _free_reserves_of_dead_runs(results_dir: Path) -> None:
    """A run that was killed could not give its space back. Its record stays as it left it.

    That it failed follows from nobody being at work in its folder (`status`), and is not written.
    """
    for folder in map(RunFolder, results_dir.iterdir()):
        if folder.is_ours() and not folder.is_alive():
            folder.free_reserve()


def _write_index(results_dir: Path) -> tuple[str, ...]:
    """Makes the index anew from the run folders; returns doubts."""
    doubts = []
    entries = _entries(results_dir)
    for path in (results_dir / "index.json", results_dir / "index.md"):
        if path.is_dir() and not path.is_symlink():
            doubts.append(f"{path} was a folder; it is now {set_aside(path).name}.")
    write_json(results_dir / "index.json", entries)
    write_text(results_dir / "index.md", run_index.table(entries))
    return tuple(doubts)


def _point_latest_at(folder: RunFolder) -> tuple[str, ...]:
    latest = folder.path.parent / "latest"
    if latest.exists() and not latest.is_symlink():
        return (
            f"{latest} is not a link of this program, so it was left alone; this run is in "
            f"{folder.path}.",
        )
    temporary = latest.with_name(f".latest.{secrets.token_hex(4)}.tmp")
    try:
        temporary.symlink_to(folder.name, target_is_directory=True)
    except OSError as error:
        return (f"{latest} could not be made ({error.strerror}); this run is in {folder.path}.",)
    try:
        temporary.replace(latest)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return ()


def _delete_others(kept: RunFolder, spared: Sequence[str]) -> tuple[str, ...]:
    """Deletes all run folders of ours but `kept`, the spared and those of living runs."""
    doubts = []
    for path in sorted(kept.path.parent.iterdir()):
        folder = RunFolder(path)
        if path.name not in (kept.name, *spared) and folder.is_ours() and not folder.is_alive():
            # Renamed first, so that a half deleted folder is never taken for a run.
            path.rename(path.with_name(_DOOMED + path.name))
    for path in kept.path.parent.glob(_DOOMED + "*"):
        if _RUN_NAME.fullmatch(path.name.removeprefix(_DOOMED)) and not path.is_symlink():
            try:
                shutil.rmtree(path)
            except OSError as error:
                doubts.append(f"{path} could not be deleted ({error.strerror}).")
    return tuple(doubts)
