"""No process is left behind: not even when the one that would end them is killed itself."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import psutil
import pytest

from harness import processes
from tests.conftest import PROJECT

# As vLLM does: an engine core that is forked or started anew, its worker, and one that has left
# for a session of its own. None of them heeds SIGTERM, and those started anew have a title.
STAND_IN = r"""
import os, signal, subprocess, sys, time
from harness import processes

STUBBORN = (
    "import os, signal, time, setproctitle; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
    "setproctitle.setproctitle('VLLM::EngineCore');"
    "os.write(1, b'%d\\n' % os.getpid()); time.sleep(300)"
)

def tell(pid):
    os.write(1, b"%d\n" % pid)  # one write, so that no two lines become one

def stubborn_children():
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    tell(os.getpid())
    subprocess.Popen([sys.executable, "-c", STUBBORN])
    if os.fork() == 0:
        os.setsid()
        if os.fork():
            os._exit(0)  # the grandchild belongs to nobody we know
        tell(os.getpid())
    time.sleep(300)

processes.adopt_orphans()
processes.watch_over_children()
processes.watch_over_children()
tell(processes._watchdog.pid)
subprocess.Popen([sys.executable, "-c", STUBBORN], start_new_session=True)
if os.fork() == 0:
    stubborn_children()
if sys.argv[1] == "ends":
    time.sleep(1)
    processes.end_children(grace_s=0.5)
    sys.exit(0)
time.sleep(300)
"""
STUBBORN_PROCESSES = 4


def started(end: str) -> tuple[subprocess.Popen[str], list[psutil.Process]]:
    """The stand-in and its processes, the watchdog first."""
    stand_in = subprocess.Popen(
        [sys.executable, "-c", STAND_IN, end], cwd=PROJECT, stdout=subprocess.PIPE, text=True
    )
    assert stand_in.stdout is not None
    lines = [stand_in.stdout.readline() for _ in range(1 + STUBBORN_PROCESSES)]
    return stand_in, [psutil.Process(int(line)) for line in lines]


def test_the_processes_of_a_killed_program_are_gone_within_10_s() -> None:
    stand_in, family = started("is killed")
    bystander = subprocess.Popen(["sleep", "60"])
    try:
        stand_in.kill()
        stand_in.wait()
        _, alive = psutil.wait_procs(family, timeout=10)
        assert alive == []
        assert bystander.poll() is None
    finally:
        bystander.kill()
        bystander.wait()
        for process in family:
            if process.is_running():
                process.kill()


def test_the_watchdog_ends_with_a_program_that_ends_by_itself() -> None:
    stand_in, family = started("ends")

    assert stand_in.wait(timeout=20) == 0
    _, alive = psutil.wait_procs(family, timeout=3)
    assert alive == []


def test_the_watchdog_waits_without_a_cost() -> None:
    stand_in, (watchdog, *_) = started("is killed")
    try:
        before = sum(watchdog.cpu_times()[:2])
        time.sleep(2.5)
        assert sum(watchdog.cpu_times()[:2]) - before <= 0.01
        assert watchdog.memory_info().rss < 20 * 2**20
    finally:
        stand_in.kill()
        stand_in.wait()


def test_loadgens_process_dies_with_the_one_that_started_it() -> None:
    code = (
        "import multiprocessing, os, signal, sys, time\n"
        "from harness import processes\n"
        "def life(parent):\n"
        "    processes.die_with_parent(parent); print(os.getpid(), flush=True); time.sleep(300)\n"
        "if __name__ == '__main__':\n"
        "    fork = multiprocessing.get_context('fork')\n"
        "    fork.Process(target=life, args=(os.getpid(),)).start(); time.sleep(300)\n"
    )
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        child = psutil.Process(int(program.stdout.readline()))
        program.kill()
    _, alive = psutil.wait_procs([child], timeout=5)
    assert alive == []


def test_a_child_whose_parent_is_gone_already_ends_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ended: list[int] = []
    monkeypatch.setattr(processes, "_prctl", lambda *_: None)
    monkeypatch.setattr(os, "_exit", ended.append)

    processes.die_with_parent(os.getppid() + 1)

    assert ended == [1]
