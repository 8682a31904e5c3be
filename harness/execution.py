"""One run from its folder to its report:
whatever ends it, the folder says so and no process is left.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import signal
import sys
import traceback
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

from harness import preparation, processes
from harness.errors import BenchmarkError
from harness.preparation import Prepared
from harness.run_folder import RunFolder, finish, write_json
from harness.session import Session
from harness.terminal import Terminal, output_to


def execute(
    prepared: Prepared,
    command: list[str],
    terminal: Terminal,
    *,
    score: Callable[[Prepared, RunFolder], None],
    make_report: Callable[[Path], dict[str, Any]],
    terminal_summary: Callable[[dict[str, Any]], str],
) -> int:
    """Everything from the run folder to the report; returns the exit status.

    `score` turns the accuracy log into rouge.json, `make_report` the folder into a report: both
    work on finished logs alone and are handed in by the program.
    """
    config = prepared.config
    processes.adopt_orphans()
    started = datetime.now().astimezone()
    results_dir = Path(config.results_dir)
    folder = RunFolder.create(results_dir, config.category, config.scenario.value, started)
    record = preparation.config_record(prepared, command)
    record["run"] |= {"name": folder.name, "started": started.isoformat(timespec="seconds")}
    write_json(folder.config_json, record)
    terminal.say(f"results go to {folder.path}")
    with output_to(folder.run_log):
        logging.basicConfig(
            stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s: %(message)s"
        )
        logging.getLogger("harness").info("command: %s", " ".join(command))
        ending = _run_to_the_end(prepared, folder, record, terminal, score)
        # All is measured by now; what is left takes a second and should not be cut in half.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        record["run"] |= {
            "status": ending.status,
            "error": ending.error,
            "finished": datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        write_json(folder.config_json, record)
        summary, ending = _report(folder, ending, make_report)
        unreported = ending.status == "finished" and summary is None
        notes = () if unreported else finish(folder, keep_all=config.keep_all)
        folder.release()
    terminal.say()
    if summary is not None:
        terminal.say(terminal_summary(summary))
    for note in notes:
        terminal.say(note)
    if ending.error:
        sys.stderr.write(f"run.py: {ending.error} (log: {folder.run_log})\n")
    status = ending.exit_status or _verdict_status(prepared, summary)
    if ending.threads_left:
        sys.stdout.flush()
        os._exit(status)
    return status


@dataclasses.dataclass(frozen=True)
class Ending:
    """How the measuring part of a run ended."""

    status: str  # finished, failed or interrupted
    exit_status: int
    error: str | None = None
    threads_left: bool = False  # a thread may still wait for an engine that is gone


def _run_to_the_end(
    prepared: Prepared,
    folder: RunFolder,
    record: dict[str, Any],
    terminal: Terminal,
    score: Callable[[Prepared, RunFolder], None],
) -> Ending:
    """Measures and scores; whatever happens, no process of this run is left."""
    received: list[signal.Signals] = []

    async def work() -> None:
        task = asyncio.current_task()
        assert task is not None

        def stop(number: int, _frame: object) -> None:
            if os.getpid() != this_process:
                os._exit(128 + number)  # an engine process just forked, still with our handler
            received.append(signal.Signals(number))
            loop.call_soon_threadsafe(task.cancel)

        # Not loop.add_signal_handler: its wake-up socket would be shared with the engine processes
        # that vLLM forks, and a signal to one of them would look like one to us.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        session = Session(prepared, folder, record, terminal)
        await session.measure()
        if prepared.config.runs_accuracy:
            async with session.phase("scoring_s", "scoring the summaries"):
                await asyncio.to_thread(score, prepared, folder)

    this_process = os.getpid()
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(work())
        return Ending("finished", 0)
    except asyncio.CancelledError:
        number = received[0] if received else signal.SIGTERM
        return Ending(
            "interrupted", 128 + number, f"interrupted by {number.name}", threads_left=True
        )
    except BenchmarkError as error:
        return Ending("failed", error.exit_status, str(error))
    except Exception as error:
        traceback.print_exc()
        return Ending("failed", 1, f"unexpected {type(error).__name__}: {error}", threads_left=True)
    finally:
        processes.end_children_for_good()


def _report(
    folder: RunFolder, ending: Ending, make_report: Callable[[Path], dict[str, Any]]
) -> tuple[dict[str, Any] | None, Ending]:
    """The report and the ending; a report that fails never costs what was measured."""
    try:
        return make_report(folder.path), ending
    except Exception as error:  # the measurement is over and its logs are whole: say so and go on
        traceback.print_exc()
        if ending.status != "finished":
            return None, ending
        text = (
            f"The run was measured, but its report could not be made: {error}. "
            f"python report.py {folder.path} makes it anew."
        )
        return None, dataclasses.replace(ending, exit_status=1, error=text)


def _verdict_status(prepared: Prepared, summary: dict[str, Any] | None) -> int:
    """3 for a full-size run that is INVALID or below the gate;
    a smoke run has measured, whatever it says.
    """
    if not prepared.full_size or summary is None:
        return 0
    performance = summary["run"]["performance"] or {}
    judged = summary["run"]["accuracy"] or {}
    return 3 if performance.get("valid") is False or judged.get("passed") is False else 0
