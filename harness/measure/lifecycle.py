"""The life of one invocation: whatever ends it, its folder says so and no process is left."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable, Coroutine, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from harness import processes
from harness.errors import BenchmarkError
from harness.language import edited, joined, phrase, text_of, translated
from harness.measure.interrupts import Interrupts
from harness.measure.record import RunRecord
from harness.report import history
from harness.results import room
from harness.results.folder import RunFolder, finish
from harness.terminal import Terminal, output_to

log = logging.getLogger("harness")


@dataclasses.dataclass(frozen=True)
class Job:
    """What a program brings to a run.

    `work` measures, and leaves what `make_report` turns into a report; that works on the finished
    folder alone. `exit_status` judges what summary.json holds (None: no report could be made).
    """

    program: str  # as typed, for the last line of a run that failed
    category: str
    scenario: str | None
    results_dir: Path
    keep_all: bool
    record: RunRecord
    work: Callable[[RunFolder], Coroutine[Any, Any, None]]
    make_report: Callable[[Path], dict[str, Any]]
    terminal_summary: Callable[[dict[str, Any]], str]
    exit_status: Callable[[dict[str, Any] | None], int]
    loop: asyncio.AbstractEventLoop | None = None  # None: one of its own
    keeps_processes: Callable[[], bool] = lambda: False  # whether a later job needs the engine
    interrupts: Interrupts | None = None  # None: nobody asks after the run whether there were any
    spared: tuple[str, ...] = ()  # run folders that stay although keep_all is False


@dataclasses.dataclass(frozen=True)
class Outcome:
    """A job that is over."""

    folder: RunFolder
    summary: dict[str, Any] | None  # summary.json; None: no report could be made
    exit_status: int
    interrupted: bool
    threads_left: bool  # a thread may still wait for an engine that is gone


@dataclasses.dataclass(frozen=True)
class Ending:
    """How the measuring part of an invocation ended."""

    status: str  # finished, failed or interrupted
    exit_status: int
    error: str | None = None
    threads_left: bool = False  # a thread may still wait for an engine that is gone
    lacked_room: bool = False  # the error says which file could not be written and why


def execute(job: Job, command: list[str], terminal: Terminal) -> int:
    """Everything from the run folder to the report; returns the exit status."""
    outcome = carry_out(job, command, terminal)
    return leave(outcome.exit_status, threads_left=outcome.threads_left)


def leave(exit_status: int, *, threads_left: bool) -> int:
    """Returns the exit status, or ends this process where threads wait for an engine."""
    if threads_left:
        end_now(exit_status)
    return exit_status


def end_now(exit_status: int) -> NoReturn:
    """Ends this process without waiting for threads that wait for an engine."""
    with contextlib.suppress(OSError):
        sys.stdout.flush()
    os._exit(exit_status)


def carry_out(job: Job, command: list[str], terminal: Terminal) -> Outcome:
    """Everything from the run folder to the report."""
    started = datetime.now().astimezone()
    folder = _begin(job, started)
    terminal.say(phrase("results go to {path}", path=folder.path))
    with logging_to(folder.run_log, command):
        ending = run_to_the_end(
            lambda: job.work(folder),
            job.loop,
            keeps_processes=job.keeps_processes,
            interrupts=job.interrupts,
        )
        ending = _record_end(job.record, folder, ending)
        summary, ending = _report(folder, ending, job.make_report)
        unreported = ending.status == "finished" and summary is None
        notes = () if unreported else _enter(folder, job)
        folder.release()
    terminal.say()
    if summary is not None:
        terminal.say(job.terminal_summary(summary))
    for note in notes:
        terminal.say(note)
    say_error(job.program, ending, folder.run_log)
    return Outcome(
        folder=folder,
        summary=summary,
        exit_status=ending.exit_status or job.exit_status(summary),
        interrupted=ending.status == "interrupted",
        threads_left=ending.threads_left,
    )


@contextlib.contextmanager
def logging_to(log_path: Path, command: list[str]) -> Iterator[None]:
    """Sends all that this process and its children say to a file, from the command on."""
    with output_to(log_path):
        logging.basicConfig(
            stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s: %(message)s"
        )
        log.info("command: %s", " ".join(command))
        yield


def say_error(program: str, ending: Ending, log_path: Path) -> None:
    """The last line of an invocation that failed, on stderr."""
    if ending.error:
        with contextlib.suppress(OSError):  # the terminal may be what was closed
            text = phrase("{error} (log: {path})", error=ending.error, path=log_path)
            sys.stderr.write(f"{program}: {translated(text)}\n")
            sys.stderr.flush()


def run_to_the_end(
    measure: Callable[[], Coroutine[Any, Any, None]],
    loop: asyncio.AbstractEventLoop | None = None,
    *,
    keeps_processes: Callable[[], bool] = lambda: False,
    interrupts: Interrupts | None = None,
) -> Ending:
    """Awaits what `measure` begins; whatever happens, no process of this invocation is left.

    An engine that the next run goes on with stays, and with it the loop it belongs to. After it,
    interrupts are only noted: all is measured, and what is left takes a second and should not be
    cut in half.
    """
    processes.adopt_orphans()
    processes.watch_over_children()
    on_loop = loop or asyncio.new_event_loop()
    heard = interrupts or Interrupts()

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None

        def stop() -> None:
            on_loop.call_soon_threadsafe(task.cancel)

        heard.listen(stop)
        if heard.received:  # before the line above
            task.cancel()
        await measure()

    try:
        on_loop.run_until_complete(work())
        return Ending("finished", 0)
    except asyncio.CancelledError:
        return _interrupted(heard)
    except BenchmarkError as error:
        if heard.received:  # the same signal has reached the engine, which was faster
            return _interrupted(heard)
        return Ending("failed", error.exit_status, text_of(error))
    except Exception as error:
        _print_traceback()
        text = phrase("unexpected {kind}: {error}", kind=type(error).__name__, error=error)
        lacked_room = False
        if isinstance(error, OSError) and error.filename and room.is_lacking(error):
            text, lacked_room = room.explain(error, Path(str(error.filename)).parent), True
        return Ending("failed", 1, text, threads_left=True, lacked_room=lacked_room)
    finally:
        if not keeps_processes():
            processes.end_children_for_good()
        heard.listen(None)


def _interrupted(heard: Interrupts) -> Ending:
    number = heard.received[0] if heard.received else signal.SIGTERM
    return Ending(
        "interrupted",
        128 + number,
        phrase("interrupted by {signal}", signal=number.name),
        threads_left=True,
    )


def _begin(job: Job, started: datetime) -> RunFolder:
    """Makes the run folder with its record. Raises BenchmarkError."""
    try:
        folder = RunFolder.create(job.results_dir, job.category, job.scenario, started)
        job.record.begin(folder, started)
    except OSError as error:
        raise BenchmarkError(room.explain(error, job.results_dir)) from error
    return folder


def _record_end(record: RunRecord, folder: RunFolder, ending: Ending) -> Ending:
    """Writes how the run ended; what no longer fits into its folder makes it a failed one."""
    trouble = room.trouble(folder.path, run_failed=ending.status == "failed")
    if trouble is not None and ending.status != "interrupted" and not ending.lacked_room:
        ending = _failed(ending, trouble)
    folder.free_reserve()
    try:
        record.finish(ending.status, ending.error)
    except OSError as error:
        if trouble is None:
            ending = _failed(ending, room.explain(error, folder.path))
    return ending


def _failed(ending: Ending, why: str) -> Ending:
    text = why
    if ending.error:
        text = phrase("{why} (It ended with: {error})", why=why, error=ending.error)
    return dataclasses.replace(ending, status="failed", exit_status=1, error=text)


def _enter(folder: RunFolder, job: Job) -> tuple[str, ...]:
    """The run's place in the index; returns doubts."""
    try:
        doubts = finish(folder, keep_all=job.keep_all, spared=job.spared)
        history.write(job.results_dir)
        return doubts
    except BenchmarkError as error:  # without jinja2 there is no report either
        return (f"index.html was not written. {error}",)
    except OSError as error:
        why = room.explain(error, job.results_dir)
        return (joined(" ", (phrase("The index of runs was not written."), why)),)


def _print_traceback() -> None:
    with contextlib.suppress(OSError):  # run.log may be on the disk that is full
        traceback.print_exc()


def _report(
    folder: RunFolder, ending: Ending, make_report: Callable[[Path], dict[str, Any]]
) -> tuple[dict[str, Any] | None, Ending]:
    """The report and the ending; a report that fails never costs what was measured."""
    try:
        return make_report(folder.path), ending
    except Exception as error:  # the measurement is over and its logs are whole: say so and go on
        _print_traceback()
        if ending.status != "finished":
            return None, ending
        # Some errors are whole sentences, some a word or two.
        why = joined("", (edited(text_of(error), lambda words: words.rstrip(".")), "."))
        if isinstance(error, OSError):
            why = room.explain(error, folder.path)
        text = phrase(
            "The run was measured, but its report could not be made: {why} Once that is mended, "
            "python report.py {folder} makes it.",
            why=why,
            folder=folder.path,
        )
        return None, dataclasses.replace(ending, exit_status=1, error=text)
