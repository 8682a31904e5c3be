"""What becomes of a run on two machines when one of their parts fails in the middle of a test: how
long it takes to end, with which exit status and which words, and what it leaves on either machine.

  sudo .venv/bin/python benchmarks/two_nodes_faults.py
  sudo .venv/bin/python benchmarks/two_nodes_faults.py --only 'raylet|cable' --at-once 2

Each fault strikes a run of its own, with the demo model, on two nodes of its own as
benchmarks/two_nodes.py makes them; so several can share two GPUs, of which each engine takes
little. Needs what that program needs. It prints a line a fault as it comes and a table at the end,
and returns 1 where a run took more than 60 s, ended otherwise than with exit status 1 (128 + the
signal where it was one), left a process, or where Ray then holds a GPU back.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.two_nodes import NODES, Pair
from harness import tables

PROJECT = Path(__file__).resolve().parent.parent
LIMIT_S = 60.0  # from the fault to the end of run.py, and from there to that of all else
GIVE_UP_S = 100.0
TESTING_WITHIN_S = 300.0
STRIKE_AFTER_S = 5.0  # of the test
LOOK_EVERY_S = 0.25
BEGINS = "harness: performance: begins"  # run.log
# A test that is still going when the fault comes, on GPUs that other runs use as well.
ARGUMENTS = (
    "--model", "demo", "--dataset", "sample", "--mode", "performance",
    "--scenario", "server", "--server-target-qps", "20", "--total-sample-count", "120",
    "--min-duration", "600", "--tensor-parallel-size", "1", "--data-parallel-size", "2",
    "--distributed-executor-backend", "ray", "--gpu-memory-utilization", "0.05",
    "--engine-arg", "kv_cache_memory_bytes=1073741824",
)  # fmt: skip
# What Ray itself runs on a node, and keeps when a run has ended.
_RAYS_OWN = re.compile(
    r"/(gcs_server|raylet|monitor\.py|log_monitor\.py|dashboard\.py|agent\.py|main\.py) "
    r"|ray::(IDLE|DashboardAgent|RuntimeEnvAgent)|default_worker\.py|ray\.util\.client\.server"
    r"|ray-dashboard|setup_worker\.py"
)
_FREE = re.compile(r"([\d.]+)/([\d.]+) GPU")
RAYLET, CORE, WORKER = "/raylet ", "ray::EngineCoreActor", "ray::RayWorkerProc|VLLM::Worker"


@dataclasses.dataclass(frozen=True)
class Fault:
    """What strikes, and how a run should end by it."""

    name: str
    exit_status: int
    victim: str = ""  # of the second node: what matches its command line; "": run.py itself
    number: signal.Signals = signal.SIGKILL
    cuts: bool = False  # the cable; it is mended once run.py has ended
    for_good: bool = False  # it is not
    ray_nodes_left: int = 2


FAULTS = (
    Fault("raylet of the second node killed", 1, RAYLET, ray_nodes_left=1),
    Fault("engine on the second node killed", 1, CORE),
    Fault("worker on the second node killed", 1, WORKER),
    Fault("cable cut until run.py has ended", 1, cuts=True),
    # Ray gives a machine up that it has not heard for a minute.
    Fault("cable cut for good", 1, cuts=True, for_good=True, ray_nodes_left=1),
    Fault("SIGTERM to run.py", 128 + signal.SIGTERM, number=signal.SIGTERM),
    Fault("SIGINT to run.py", 128 + signal.SIGINT, number=signal.SIGINT),
    Fault("SIGKILL to run.py", -signal.SIGKILL),
)


@dataclasses.dataclass
class Seen:
    """How a case ended; seconds are from the fault on."""

    loaded_s: float = 0.0
    ended_s: float | None = None  # run.py; None: it went on
    exit_status: int | None = None
    clean_s: float | None = None  # the last process of it on either node
    left: tuple[str, ...] = ()
    free_gpus: str = ""  # "2 of 2", as Ray says afterwards
    said: str = ""  # on stderr
    problems: tuple[str, ...] = ()


class Struck:
    """A run on two nodes, and the fault that strikes it."""

    def __init__(self, fault: Fault, pair: Pair, results: Path, program: str):
        self.fault = fault
        self.pair = pair
        self.results = results
        with (results.parent / "stderr").open("wb") as stderr:
            self.run = pair.begin(
                1, [sys.executable, program, *ARGUMENTS, "--results-dir", str(results)],
                cwd=PROJECT, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=stderr,
                start_new_session=True,
            )  # fmt: skip

    def said(self) -> str:
        """All that it wrote to standard error."""
        return (self.results.parent / "stderr").read_text(errors="replace")

    def wait_for_the_test(self) -> None:
        """Returns when the test has begun. Raises RuntimeError."""
        give_up = time.monotonic() + TESTING_WITHIN_S
        while self.run.poll() is None and time.monotonic() < give_up:
            if any(BEGINS in log.read_text(errors="replace") for log in self._logs()):
                time.sleep(STRIKE_AFTER_S)
                return
            time.sleep(LOOK_EVERY_S)
        raise RuntimeError(f"the test did not begin (exit status {self.run.returncode})")

    def _logs(self) -> Iterator[Path]:
        return self.results.glob("2*/run.log")

    def strike(self) -> float:
        """The fault; returns when it came. Raises RuntimeError."""
        fault = self.fault
        if fault.cuts:
            self.pair.cut()
        elif not fault.victim:
            self.run.send_signal(fault.number)
        else:
            victims = [
                process
                for process in self.pair.processes(2)
                if re.search(fault.victim, f"{described(process)} ")
            ]
            if not victims:
                raise RuntimeError(f"no {fault.victim.strip()} on the second node")
            for victim in victims:
                victim.send_signal(fault.number)
        return time.monotonic()

    def left(self) -> list[str]:
        """The processes on the nodes that are not Ray's own."""
        return [
            f"node {node}: {process.pid} {text[:90]}"
            for node in NODES
            for process in self.pair.processes(node)
            if (text := described(process)) and not _RAYS_OWN.search(f"{text} ")
        ]


def described(process: psutil.Process) -> str:
    """A process's command line; nothing where it is gone."""
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


def until(is_so: Callable[[], bool], since: float) -> float | None:
    """Seconds from `since` until it is so; None: not in time."""
    while not is_so():
        if time.monotonic() - since > GIVE_UP_S:
            return None
        time.sleep(LOOK_EVERY_S)
    return time.monotonic() - since


def look_at(fault: Fault, pair: Pair, place: Path, program: str, say: Say) -> Seen:
    """One fault from the start of its nodes to what is left on them."""
    seen = Seen()
    with pair.cable():
        for node in NODES:
            pair.start_ray(node)
        began = time.monotonic()
        struck = Struck(fault, pair, place / "results", program)
        try:
            struck.wait_for_the_test()
            seen.loaded_s = time.monotonic() - began
            say(f"in its test after {seen.loaded_s:.0f} s")
            since = struck.strike()
            seen.ended_s = until(lambda: struck.run.poll() is not None, since)
            say(f"run.py: {_seconds(seen.ended_s)}, exit status {struck.run.returncode}")
            say(" / ".join(struck.said().splitlines()[-2:]))
            if fault.cuts and not fault.for_good:
                pair.mend()
            seen.clean_s = until(lambda: not struck.left(), since)
            seen.left = tuple(struck.left())
            say(f"its processes: {_seconds(seen.clean_s)}; left: {list(seen.left)}")
            seen.free_gpus = free_gpus(pair, fault.ray_nodes_left)
            say(f"Ray has {seen.free_gpus} GPUs free")
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            seen.problems = (f"{type(error).__name__}: {error}",)
        finally:
            if struck.run.poll() is None:
                struck.run.kill()
            seen.exit_status = struck.run.wait()
            seen.said = struck.said()
    seen.problems += tuple(problems(fault, seen))
    return seen


Say = Callable[[str], None]


def free_gpus(pair: Pair, expected: int) -> str:
    """The GPUs that Ray can give away, once they are as many as expected, or after a while."""
    give_up = time.monotonic() + LIMIT_S
    while True:
        found = _FREE.search(pair.status())
        used, there = map(float, found.groups()) if found else (0.0, 0.0)
        if (used, there) == (0, expected) or time.monotonic() > give_up:
            return f"{there - used:.0f} of {there:.0f}"
        time.sleep(1.0)


def problems(fault: Fault, seen: Seen) -> Iterator[str]:
    """What is not as it should be."""
    if seen.ended_s is None or seen.ended_s > LIMIT_S:
        yield f"run.py went on for more than {LIMIT_S:.0f} s"
    if seen.exit_status != fault.exit_status:
        yield f"exit status {seen.exit_status}, not {fault.exit_status}"
    if seen.clean_s is None:
        yield f"left: {'; '.join(seen.left)}"
    if seen.free_gpus != f"{fault.ray_nodes_left} of {fault.ray_nodes_left}":
        yield f"Ray has {seen.free_gpus or 'no'} GPUs free"
    if "Traceback" in seen.said:
        yield "a traceback on stderr"


def one_case(number: int, fault: Fault, program: str, logs: Path | None) -> Seen:
    """A fault on the pair of nodes of that number, said line by line."""
    began = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - began:6.1f} s  {fault.name}: {what}", flush=True)

    with tempfile.TemporaryDirectory() as folder:
        try:
            return look_at(fault, Pair(number), Path(folder), program, say)
        except Exception as error:  # whatever stops one case, the others go on
            return Seen(problems=(f"{type(error).__name__}: {error}",))
        finally:
            if logs is not None:
                shutil.copytree(folder, logs / fault.name.replace(" ", "-"), symlinks=True)


def main() -> int:
    """Goes through the faults and prints a table; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", default="", metavar="REGEX", help="faults whose name matches")
    parser.add_argument("--at-once", type=int, default=1, help="runs at a time (default: 1)")
    parser.add_argument("--logs", type=Path, metavar="FOLDER", help="keeps what the runs leave")
    parser.add_argument("--program", default="run.py", help="with doubles of the engine, perhaps")
    asked = parser.parse_args()
    if os.geteuid() != 0:
        parser.error("network namespaces need root: sudo")
    faults = [fault for fault in FAULTS if re.search(asked.only, fault.name)]
    with concurrent.futures.ThreadPoolExecutor(asked.at_once) as pool:
        cases = [
            pool.submit(one_case, number, fault, asked.program, asked.logs)
            for number, fault in enumerate(faults)
        ]
        results = [case.result() for case in cases]
    rows = [("fault", "run.py ended", "exit", "all ended", "GPUs free", "as it should be")]
    for fault, seen in zip(faults, results, strict=True):
        rows.append((fault.name, _seconds(seen.ended_s), str(seen.exit_status),
                     _seconds(seen.clean_s), seen.free_gpus,
                     f"NO: {'; '.join(seen.problems)}" if seen.problems else "yes"))  # fmt: skip
        print(f"-- {fault.name}: the last words\n" + "\n".join(seen.said.splitlines()[-4:]))
    print("\n".join(tables.text_lines(rows, right_aligned=(1, 2, 3))))
    return 1 if any(seen.problems for seen in results) else 0


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f} s"


if __name__ == "__main__":
    sys.exit(main())
