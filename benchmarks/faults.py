"""Faults in the middle of real runs: each ends in time, says how, and leaves nothing behind.

  python benchmarks/faults.py                          (all of them: half an hour)
  python benchmarks/faults.py --only "SIGKILL.*accuracy"

Real vLLM on a CPU with the demo model, run.py as a person starts it. A case waits until its run is
in a phase and strikes there. Then: is every process gone within 30 s, are the exit status and the
status of the run folder the right ones, and do `latest` and the index hold what they should?

SIGKILL and SIGSTOP strike one process (run.py, the engine's core, its worker, LoadGen); SIGINT and
SIGHUP strike all of them, as Ctrl-C and a closed terminal do, SIGTERM run.py alone. A full disk is
a small file system in memory that is filled up; where none may be mounted, that row is left out.

Exit status: 0 all as they should be; 1 one is not.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import command
from benchmarks.struck_run import (
    ACCURACY,
    CORE,
    FULL_DISK,
    GROUP,
    LIMIT_S,
    LOADGEN,
    LOADING,
    PARENT,
    PERFORMANCE,
    PHASES,
    PROJECT,
    REPORT,
    WORKER,
    Fault,
    NeverThere,
    StruckRun,
    TooLate,
    text_of,
)
from harness import flags, tables
from harness.errors import BenchmarkError
from harness.results.files import read_object

ATTEMPTS = 3  # a phase of a moment may be over when the fault comes
DISK_MIB = 40


class NoFileSystem(Exception):
    """None may be mounted here."""


@dataclasses.dataclass(frozen=True)
class Case:
    """A fault, and how its run should end."""

    fault: Fault
    exit_status: int
    status: str  # of the run folder
    latest_moves: bool = False  # whether `latest` points at this run afterwards

    @property
    def name(self) -> str:
        """What its row is called."""
        return " ".join(filter(None, (self.fault.what, self.fault.target, self.fault.phase)))


def cases() -> Iterator[Case]:
    """Every case there is."""
    for phase in PHASES[:-1]:
        yield Case(Fault("SIGKILL", PARENT, phase), -signal.SIGKILL, "failed")
    yield Case(Fault("SIGKILL", PARENT, REPORT), -signal.SIGKILL, "finished")
    for what in ("SIGKILL", "SIGSTOP"):
        for target, phases in (
            (CORE, (LOADING, ACCURACY, PERFORMANCE)),
            (WORKER, (LOADING, ACCURACY, PERFORMANCE)),
            (LOADGEN, (ACCURACY, PERFORMANCE)),
        ):
            for phase in phases:
                yield Case(Fault(what, target, phase), 1, "failed")
    for number, target in (
        (signal.SIGINT, GROUP),
        (signal.SIGHUP, GROUP),
        (signal.SIGTERM, PARENT),
    ):
        for phase in PHASES[:-1]:
            yield Case(Fault(number.name, target, phase), 128 + number, "interrupted")
        # All is measured by then, and the report is made whole.
        yield Case(Fault(number.name, target, REPORT), 0, "finished", latest_moves=True)
    for phase in PHASES[:-1]:
        yield Case(Fault(FULL_DISK, "", phase), 1, "failed")
    # What was measured is kept; its report is missing, and report.py makes it.
    yield Case(Fault(FULL_DISK, "", REPORT), 1, "finished")


@dataclasses.dataclass(frozen=True)
class Seen:
    """How a case ended."""

    seconds: float  # from the fault to the end of the last process
    exit_status: int | None
    problems: tuple[str, ...] = ()
    said: str = ""  # on stderr


def look_at(case: Case, base: Path, environment: Mapping[str, str], place: Path) -> Seen:
    """One case from its start to what is left of it. Raises TooLate."""
    results = place / "results"
    shutil.copytree(base, results, symlinks=True)
    before = str((results / "latest").readlink())
    run = StruckRun(case.fault, results, environment)
    try:
        run.wait_for_phase()
        seconds, left = run.wait_for_the_end(run.strike())
        (results / "filler").unlink(missing_ok=True)
        problems = [f"left: {', '.join(left)}"] if left else []
        if seconds > LIMIT_S:
            problems.append(f"took more than {LIMIT_S:.0f} s")
        problems += differences(case, run, before)
    finally:
        said = run.said()
    if "Traceback" in said:
        problems.append("a traceback on stderr")
    return Seen(seconds, run.process.returncode, tuple(problems), said)


def differences(case: Case, run: StruckRun, before: str) -> Iterator[str]:
    """What is not as the case says."""
    folder = run.folder()
    if folder is None:
        yield "there is no run folder"
        return
    if run.process.returncode != case.exit_status:
        yield f"exit status {run.process.returncode}, not {case.exit_status}"
    status, _ = folder.status(read_object(folder.config_json))
    if status != case.status:
        yield f"the folder says {status}, not {case.status}"
    latest = run.results / "latest"
    expected = folder.name if case.latest_moves else before
    if str(latest.readlink()) != expected:
        yield f"latest points at {latest.readlink()}"
    if read_object(latest / "summary.json").get("meta", {}).get("status") != "finished":
        yield "latest is not whole"
    entries = json.loads(text_of(run.results / "index.json") or "[]")
    if before not in [entry["run"] for entry in entries]:
        yield "the index is not whole"


@contextlib.contextmanager
def room_for(fault: Fault, root: Path) -> Iterator[Path]:
    """A folder for a case; for a full disk, a small file system. Raises NoFileSystem."""
    place = Path(tempfile.mkdtemp(dir=root))
    if fault.what != FULL_DISK:
        yield place
        return
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "none", str(place)]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        raise NoFileSystem(done.stderr.strip() or "no file system may be mounted here")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


def base_run(root: Path, environment: Mapping[str, str]) -> Path:
    """A results folder with one finished run, for `latest` to point at."""
    results = root / "base"
    line = [sys.executable, "run.py", "--model", "demo", "--dataset", "sample", "--mode",
            "performance", "--total-sample-count", "4", "--engine-arg", "enforce_eager=true",
            "--results-dir", str(results)]  # fmt: skip
    done = subprocess.run(
        line, cwd=PROJECT, env=environment, check=False, stdout=subprocess.DEVNULL
    )
    if done.returncode:
        raise BenchmarkError(
            "A run that nothing strikes failed, for the reason above; mend it first."
        )
    return results


def seen(case: Case, base: Path, environment: Mapping[str, str], root: Path) -> Seen | None:
    """How a case ended, tried again where its phase was missed; None: it cannot be had here."""
    for _ in range(ATTEMPTS):
        try:
            with room_for(case.fault, root) as place:
                return look_at(case, base, environment, place)
        except (TooLate, ProcessLookupError):
            continue
        except NoFileSystem as error:
            print(f"{case.name}: left out ({error})", flush=True)
            return None
        except (NeverThere, OSError) as error:
            return Seen(0.0, None, (str(error),))
    return Seen(0.0, None, (f"missed its phase {ATTEMPTS} times",))


def main(arguments: Sequence[str] | None = None) -> int:
    """Goes through the cases and prints a table; the exit status."""
    parser = flags.Parser(__doc__ or "")
    parser.add_argument("--only", metavar="REGEX", help="cases whose name matches")
    only = parser.parse_args(arguments).only or ""
    try:
        asked = [case for case in cases() if re.search(only, case.name)]
    except re.error as error:
        parser.error(f"--only {only}: no regular expression ({error})")
    if not asked:
        names = "; ".join(case.name for case in cases())
        parser.error(f"--only {only}: no case matches; there are {names}")
    rows = [("fault", "of", "in phase", "seconds", "exit", "run folder", "as it should be")]
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        environment = os.environ | {"XDG_CACHE_HOME": str(root / "cache"), "HF_HUB_OFFLINE": "1"}
        base = base_run(root, environment)
        for case in asked:
            result = seen(case, base, environment, root)
            if result is None:
                continue
            word = f"NO: {'; '.join(result.problems)}" if result.problems else "yes"
            wrong += bool(result.problems)
            fault = case.fault
            rows.append((fault.what, fault.target, fault.phase, f"{result.seconds:.1f}",
                         str(result.exit_status), case.status, word))  # fmt: skip
            print(f"{case.name}: {result.seconds:.1f} s, {word}\n{result.said}", flush=True)
    print("\n".join(tables.text_lines(rows, right_aligned=(3, 4))))
    print(f"{len(rows) - 1} cases, {wrong} not as they should be")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(command.carry_out(main))
