"""One real run that a fault strikes in a phase of its, and what is left of it afterwards."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import psutil

from harness.results.files import read_object
from harness.results.folder import RunFolder
from harness.results.index import FINISHED

PROJECT = Path(__file__).resolve().parent.parent
LIMIT_S = 30.0  # from the fault to the end of all processes
PHASE_LIMIT_S = 240.0
LOOK_EVERY_S = 0.02
MARK = "FAULT_SUITE"  # the environment variable that all processes of a case inherit

LOADING, ACCURACY, PERFORMANCE = "loading", "accuracy", "performance"
SCORING, REPORT = "scoring", "report"
PHASES = (LOADING, ACCURACY, PERFORMANCE, SCORING, REPORT)
# What run.log says when a phase has begun, and how long after that the fault comes.
SIGNS = {
    LOADING: "Initializing a V1 LLM engine",
    ACCURACY: "harness: accuracy: begins",
    PERFORMANCE: "harness: performance: begins",
    SCORING: "harness: scoring the answers: begins",
}
SETTLED_S = {LOADING: 1.0, ACCURACY: 1.0, PERFORMANCE: 1.0}
PARENT, GROUP, CORE, WORKER, LOADGEN = "run.py", "all", "engine core", "worker", "LoadGen"
FULL_DISK = "full disk"
# Long enough to be struck in each phase, and a stall that is noticed within the limit.
ARGUMENTS = (
    "--model", "demo", "--dataset", "sample", "--total-sample-count", "120",
    "--min-duration", "12", "--stall-timeout", "8", "--engine-arg", "enforce_eager=true",
)  # fmt: skip


class TooLate(Exception):
    """The phase was over before the fault came."""


class NeverThere(Exception):
    """The run ended, or took too long, before it came to the phase."""


@dataclasses.dataclass(frozen=True)
class Fault:
    """What strikes, whom, and in which phase."""

    what: str  # a signal's name, or a full disk
    target: str
    phase: str


class StruckRun:
    """One run with its fault."""

    def __init__(self, fault: Fault, results: Path, environment: Mapping[str, str]):
        self.fault = fault
        self.results = results
        self.mark = f"{fault.what} {fault.target} {fault.phase} {time.monotonic()}"
        self.known = {path.name for path in results.iterdir()}
        backend = ["--distributed-executor-backend", "mp"] if fault.target == WORKER else []
        self.process = subprocess.Popen(
            [sys.executable, "run.py", *ARGUMENTS, *backend, "--results-dir", str(results)],
            cwd=PROJECT,
            env={**environment, MARK: self.mark},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            # A job in the background inherits SIGINT ignored, and Python leaves it so.
            preexec_fn=_hear_all_signals,
        )

    def folder(self) -> RunFolder | None:
        """The folder of this run, once it is there."""
        new = [path for path in self.results.glob("2*") if path.name not in self.known]
        return RunFolder(new[0]) if new else None

    def wait_for_phase(self) -> None:
        """Returns when the run is in the phase of its fault. Raises NeverThere."""
        deadline = time.monotonic() + PHASE_LIMIT_S
        while self.process.poll() is None and time.monotonic() < deadline:
            if self._is_in(self.fault.phase):
                time.sleep(SETTLED_S.get(self.fault.phase, 0.0))
                return
            time.sleep(LOOK_EVERY_S)
        raise NeverThere(f"the run never came to {self.fault.phase}: {self.said()}")

    def _is_in(self, phase: str) -> bool:
        """Whether a phase has begun."""
        folder = self.folder()
        if folder is None:
            return False
        if phase == REPORT:
            return folder.status(read_object(folder.config_json))[0] == FINISHED
        return SIGNS[phase] in text_of(folder.run_log)

    def strike(self) -> float:
        """The fault; returns when it came. Raises TooLate."""
        if self.fault.what == FULL_DISK:
            _fill(self.results)
        elif self.fault.target == GROUP:
            os.killpg(self.process.pid, signal.Signals[self.fault.what])
        else:
            os.kill(self._victim(), signal.Signals[self.fault.what])
        moment = time.monotonic()
        if self._is_over():
            raise TooLate
        return moment

    def _is_over(self) -> bool:
        folder = self.folder()
        if self.fault.phase == REPORT:
            return folder is not None and folder.report_md.exists()
        return self._is_in(PHASES[PHASES.index(self.fault.phase) + 1])

    def _victim(self) -> int:
        """The process that is struck; while loading, one that is still to come."""
        if self.fault.target == PARENT:
            return self.process.pid
        while self.process.poll() is None and not self._is_over():
            look = self._loadgen if self.fault.target == LOADGEN else self._of_the_engine
            if (pid := look()) is not None:
                return pid
            time.sleep(LOOK_EVERY_S)
        raise TooLate

    def _loadgen(self) -> int | None:
        folder = self.folder()
        said = "" if folder is None else text_of(folder.run_log)
        begun = re.findall(
            r"LoadGen process (\d+) begins", said.partition(SIGNS[self.fault.phase])[2]
        )
        return int(begun[-1]) if begun else None

    def _of_the_engine(self) -> int | None:
        title = {CORE: "EngineCore", WORKER: "Worker"}[self.fault.target]
        with contextlib.suppress(psutil.Error):
            for process in psutil.Process(self.process.pid).children(recursive=True):
                with contextlib.suppress(psutil.Error):
                    if title in " ".join(process.cmdline()):
                        return process.pid
        return None

    def wait_for_the_end(self, since: float) -> tuple[float, list[str]]:
        """Seconds until no process was left, and those that were still there after the limit."""
        while alive := self.processes():
            seconds = time.monotonic() - since
            if seconds > LIMIT_S and (self.process.poll() is not None or seconds > 2 * LIMIT_S):
                return seconds, [_described(process) for process in alive]
            time.sleep(5 * LOOK_EVERY_S)
        return time.monotonic() - since, []

    def processes(self) -> list[psutil.Process]:
        """Every process of this run that is alive."""
        self.process.poll()  # no zombie of ours
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                ours = process.environ().get(MARK) == self.mark
                if ours and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found

    def kill(self) -> None:
        """Ends whatever is left."""
        for process in self.processes():
            with contextlib.suppress(psutil.Error):
                process.kill()
        self.process.wait()

    def said(self) -> str:
        """All that the run said on stderr; kills what is left of it."""
        self.kill()
        assert self.process.stderr is not None
        return self.process.stderr.read()


def _hear_all_signals() -> None:
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def text_of(path: Path) -> str:
    """A file's text, empty where there is none."""
    return path.read_text(errors="replace") if path.exists() else ""


def _described(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return f"{process.pid} {' '.join(process.cmdline())[:60]}"
    return str(process.pid)


def _fill(folder: Path) -> None:
    """Takes all the space of a file system."""
    with contextlib.suppress(OSError), (folder / "filler").open("wb", 0) as filler:
        while True:
            filler.write(bytes(4096))
