"""Why an engine ended: the error that did it, not those around it."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from harness.engine import causes, life
from harness.engine.causes import EngineLog
from harness.errors import EngineError, EngineStall

HARMLESS = (
    "(Worker pid=9) WARNING 11-25 07:55:01 [utils.py:598] Failed to create oneDNN linear, fallback "
    "to torch linear. Exception: could not create a primitive descriptor for a matmul primitive"
)
OUT_OF_MEMORY = "torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB"
WRAPPER = (
    "Exception: WorkerProc initialization failed due to an exception in a background process. "
    "See stack trace for root cause."
)
DID_NOT_START = EngineError(
    "The engine did not start: Engine core initialization failed. See root cause above. "
    "Failed core proc(s): {'EngineCore_DP0': 1}"
)


def logged(error: str, level: str = "ERROR") -> str:
    return f"(EngineCore pid=39) {level} 11-25 07:55:10 [core.py:704] {error}"


@pytest.mark.parametrize(
    ("said", "cause"),
    [
        ([logged(OUT_OF_MEMORY), logged(WRAPPER), WRAPPER], OUT_OF_MEMORY),
        (["[rank0]: Traceback (most recent call last):", f"[rank0]: {OUT_OF_MEMORY}",
          "[rank1]: torch.distributed.DistBackendError: NCCL error, connection closed by peer"],
         OUT_OF_MEMORY),
        ([OUT_OF_MEMORY, "ValueError: the cache is empty", WRAPPER], OUT_OF_MEMORY),
        (["(Worker pid=7) RuntimeError: no kernel image", "(Worker pid=8) EOFError",
          "(Worker pid=8) RuntimeError: cancelled"], "RuntimeError: no kernel image"),
        (["EOFError"], "EOFError"),  # better than nothing
        ([HARMLESS], None),
        ([HARMLESS, logged("ValueError: that one")], "ValueError: that one"),
        ([logged("Failed: ValueError: in a sentence")], "ValueError: in a sentence"),
        ([logged("ValueError: survived", "WARNING")], None),
        (["a sentence of its own with ValueError: in it"], None),
        (["AssertionError"], "AssertionError"),
        ([WRAPPER], None),
    ],
    ids=range(12),
)  # fmt: skip
def test_the_cause_is_the_error_that_ended_the_engine(said: list[str], cause: str | None) -> None:
    assert causes.root_cause("\n".join(said)) == cause


def explained(error: EngineError, tmp_path: Path, *since: str, before: str = HARMLESS) -> str:
    """The words for a person, where the engine said things before and since the test began."""
    log = EngineLog(tmp_path / "run.log")
    log.path.write_text(f"{before}\n")
    log.begin()
    with log.path.open("a") as file:
        file.writelines(f"{line}\n" for line in since)
    return life.explain(error, log)


def test_a_worker_out_of_memory_gets_the_advice_on_memory(tmp_path: Path) -> None:
    said = explained(DID_NOT_START, tmp_path, logged(OUT_OF_MEMORY), logged(WRAPPER), WRAPPER)

    assert f"({OUT_OF_MEMORY}). Lower --gpu-memory-utilization or --max-model-len" in said
    assert "WorkerProc" not in said


def test_a_worker_that_ended_without_a_word_while_loading_is_not_blamed_on_another(
    tmp_path: Path,
) -> None:
    said = explained(DID_NOT_START, tmp_path, HARMLESS, logged(WRAPPER))

    assert "a worker of it ended without a word, as one does that is killed). Where nobody" in said
    assert "primitive" not in said


def test_a_core_that_ended_before_its_exit_code_was_known_is_not_left_unexplained(
    tmp_path: Path,
) -> None:
    error = EngineError("The engine did not start: See root cause above. Failed core proc(s): {}")

    said = explained(error, tmp_path, HARMLESS)
    assert (
        "its core process ended without a word, as one does that is killed). Where nobody" in said
    )
    assert "without a word" not in explained(error, tmp_path, logged("ValueError: that one"))


def test_the_end_of_a_worker_is_waited_for_that_is_logged_after_what_follows_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = EngineLog(tmp_path / "run.log")
    log.path.write_text(f"{logged('RuntimeError: cancelled')}\n")

    def the_watch_speaks(_seconds: float) -> None:
        with log.path.open("a") as file:
            file.write(logged("Worker proc VllmWorker-0 died unexpectedly (exit code: -9), ..."))

    monkeypatch.setattr("harness.engine.life.time.sleep", the_watch_speaks)
    said = life.explain(EngineError("The engine failed while answering: it has died"), log)

    assert (
        "it has died (its process VllmWorker-0 was killed by SIGKILL (exit code -9)). Where" in said
    )


@pytest.mark.parametrize(
    ("error", "since", "words"),
    [
        (f"The engine failed while answering: {causes.end_of('EngineCore_DP0', -9)}", (),
         "The engine failed while answering: its process EngineCore_DP0 was killed by SIGKILL "
         "(exit code -9). Where nobody killed it, the machine or the container ran out of memory"),
        ("The engine failed while answering: it has died",
         (logged("Worker proc VllmWorker-1 died unexpectedly (exit code: -9), shutting down."),
          logged("RuntimeError: cancelled")),
         "it has died (its process VllmWorker-1 was killed by SIGKILL (exit code -9)). Where"),
        ("The engine did not start: Failed core proc(s): {'EngineCore_DP0': -9}", (),
         "(its process EngineCore_DP0 was killed by SIGKILL (exit code -9)). Where"),
        (f"The engine failed: {causes.end_of('EngineCore_DP0', -7)}", (logged("OSError: mmap"),),
         "killed by SIGBUS (exit code -7) (OSError: mmap). /dev/shm may be full"),
        (f"The engine failed: {causes.end_of('EngineCore_DP0', -34)}", (),
         "was killed by SIGRTMIN (exit code -34). run.log"),
        (f"The engine failed: {causes.end_of('EngineCore_DP0', -61)}", (),
         "was killed by signal 61 (exit code -61). run.log"),
        (f"The engine failed: {causes.end_of('EngineCore_DP0', 1)}", (logged(OUT_OF_MEMORY),),
         f"ended (exit code 1) ({OUT_OF_MEMORY}). Lower --gpu-memory-utilization"),
    ],
    ids=["core", "worker", "while loading", "of its own doing", "real time", "unnamed", "not"],
)  # fmt: skip
def test_an_engine_that_was_killed_is_said_to_have_been(
    error: str, since: tuple[str, ...], words: str, tmp_path: Path
) -> None:
    said = explained(EngineError(error), tmp_path, *since)

    assert words in said
    assert "primitive" not in said
    assert "cancelled" not in said


def test_an_engine_that_is_stuck_is_not_blamed_on_what_it_said_before(tmp_path: Path) -> None:
    stuck = EngineStall("The engine has produced no token for 5 s while 2 queries wait.")

    assert explained(stuck, tmp_path, before=logged("ValueError: of the test before")) == (
        "The engine has produced no token for 5 s while 2 queries wait. "
        "run.log in the run folder holds the engine's own words."
    )


def test_a_stuck_engine_whose_process_is_stopped_says_so(tmp_path: Path) -> None:
    stop_itself = "import os, signal; os.kill(os.getpid(), signal.SIGSTOP)"
    process = subprocess.Popen([sys.executable, "-c", stop_itself])
    try:
        while (Path("/proc") / str(process.pid) / "stat").read_text().split()[2] != "T":
            asyncio.run(asyncio.sleep(0.01))

        said = explained(EngineStall("The engine is stuck."), tmp_path)
    finally:
        process.kill()
        process.wait()

    assert f"(its process {process.pid} is stopped (kill -STOP))" in said


def test_a_log_that_is_gone_says_nothing(tmp_path: Path) -> None:
    log = EngineLog(tmp_path / "run.log")
    log.begin()

    assert log.read() == ""
