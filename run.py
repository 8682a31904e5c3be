"""One MLPerf Inference run of Llama-3.1-8B-Instruct on vLLM and LoadGen: engine up, test, logs, report.

  python run.py --model demo --dataset sample
      the whole path on any machine, in a minute or two
  python run.py --weights dummy --dataset synthetic --mode performance
      the speed of a GPU, with neither the gated model nor a network
  python run.py --model meta-llama/Llama-3.1-8B-Instruct --total-sample-count 20
      a smoke run of the real model
  python run.py --model meta-llama/Llama-3.1-8B-Instruct --category datacenter --scenario offline --mode both
      the full measurement

Results go to ./results/<time>-<category>-<scenario>/ (report.md first), and ./results/latest points there.

Exit status: 0 measured; 1 the run failed; 2 the command cannot run as given; 3 a full-size run was measured but
is INVALID or below the accuracy gate; 130 or 143 interrupted or terminated.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import logging
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import report
import util_logs
from harness import accuracy, flags, preparation, processes, rounds
from harness import config as settings
from harness.config import RunConfig, Scenario
from harness.errors import BenchmarkError
from harness.model import decode
from harness.preparation import Prepared
from harness.run_folder import ACCURACY_LOG, RunFolder, finish, write_json
from harness.session import Session
from harness.terminal import Terminal, output_to

PROJECT = Path(__file__).resolve().parent


def parse_flags(arguments: Sequence[str]) -> RunConfig:
    """The command line as a RunConfig; argparse ends the program with status 2 on a misuse."""
    parser = flags.Parser(__doc__ or "")
    what = parser.add_argument_group("what to measure")
    what.add_argument("--version", choices=tuple(rounds.ROUNDS), default="5.1", help="MLPerf round")
    what.add_argument(
        "--category",
        choices=settings.CATEGORIES,
        default="datacenter",
        help="datacenter: offline, server, interactive; edge: offline, singlestream",
    )
    what.add_argument(
        "--scenario", type=Scenario, choices=tuple(Scenario), default=Scenario.OFFLINE, metavar="SCENARIO",
        help="offline, server, singlestream or interactive (Server under tighter limits)",
    )  # fmt: skip
    what.add_argument(
        "--mode", choices=settings.MODES, default="both", help="both: accuracy first, on one engine"
    )
    what.add_argument(
        "--total-sample-count",
        type=flags.integer_or_auto,
        default="auto",
        metavar="N|auto",
        help="auto: the whole data set (13368 datacenter, 5000 edge); a small number makes a smoke run",
    )
    what.add_argument(
        "--max-new-tokens", type=int, default=128, metavar="N", help="longest answer, in tokens"
    )
    what.add_argument(
        "--min-duration",
        type=flags.number_or_auto,
        default="auto",
        metavar="SECONDS|auto",
        dest="min_duration_s",
        help="auto: 600 when the full sample count runs, else 0",
    )
    what.add_argument(
        "--server-target-qps",
        type=_target_qps,
        default="auto",
        metavar="QPS|auto|max",
        help="queries per second in Server and Interactive; auto: 0.8 x what Offline reached; max: search",
    )
    flags.add_switch(what, "--high-accuracy", 0, "judge at 99.9 %% of the reference (not an official variant)")
    flags.add_switch(what, "--extra-metrics", 0, "non-official extras")

    model = parser.add_argument_group("model and data")
    flags.add_model_flags(model)
    model.add_argument(
        "--dataset",
        choices=settings.DATASETS,
        default="cnndm",
        help="cnndm: CNN/DailyMail; sample: the shipped articles; synthetic: random token ids of the same lengths",
    )
    model.add_argument(
        "--dataset-path",
        default=None,
        metavar="FILE",
        help="an official cnn_eval.json or sample_cnn_eval_5000.json, or a folder of the hub's parquet files",
    )

    engine = parser.add_argument_group("engine")
    flags.add_engine_flags(engine)
    engine.add_argument(
        "--stall-timeout",
        type=float,
        default=settings.DEFAULT_STALL_TIMEOUT_S,
        metavar="SECONDS",
        dest="stall_timeout_s",
        help="give up when the engine produces nothing for so long while queries wait",
    )
    output = parser.add_argument_group("results")
    output.add_argument("--results-dir", default="./results", metavar="FOLDER", help="where run folders go")
    flags.add_switch(output, "--keep-all", 1, "0 deletes earlier runs once this one has finished")
    return _to_config(parser.parse_args(arguments))


def _target_qps(text: str) -> float | str:
    if text in ("auto", "max"):
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor auto nor max") from None


def _to_config(values: argparse.Namespace) -> RunConfig:
    fields = dict(vars(values))
    fields["engine_args"] = tuple(fields["engine_args"])
    return RunConfig(**fields)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one benchmark and returns the exit status; the one place where errors are printed."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        settings.load_env_file(PROJECT)
        config = parse_flags(arguments)
        settings.validate(config)
        terminal = Terminal()
        prepared = preparation.prepare(config, terminal.say)
        return measure(prepared, ["python", "run.py", *arguments], terminal)
    except BenchmarkError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("run.py: interrupted before anything was measured.", file=sys.stderr)
        return 128 + signal.SIGINT


def measure(prepared: Prepared, command: list[str], terminal: Terminal) -> int:
    """Everything from the run folder to the report. Returns the exit status."""
    config = prepared.config
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
        ending = _run_to_the_end(prepared, folder, record, terminal)
        # All is measured by now; what is left takes a second and should not be cut in half.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        record["run"] |= {
            "status": ending.status,
            "error": ending.error,
            "finished": datetime.now().astimezone().isoformat(timespec="seconds"),
        }
        write_json(folder.config_json, record)
        summary = _report(folder, ending)
        notes = finish(folder, keep_all=config.keep_all) if ending.status == "finished" else ()
        folder.release()
    terminal.say()
    if summary is not None:
        terminal.say(report.terminal_summary(summary))
    for note in notes:
        terminal.say(note)
    if ending.error:
        print(f"run.py: {ending.error} (log: {folder.run_log})", file=sys.stderr)
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
    prepared: Prepared, folder: RunFolder, record: dict[str, Any], terminal: Terminal
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

        # Not loop.add_signal_handler: its wake-up socket would be shared with the engine processes that
        # vLLM forks, and a signal to one of them would look like one to us.
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


def score(prepared: Prepared, folder: RunFolder) -> None:
    """LoadGen's accuracy log to rouge.json, as the official evaluation does. Raises LogError."""
    generations = util_logs.read_accuracy_log(folder.accuracy / ACCURACY_LOG)
    samples = prepared.dataset.samples
    util_logs.check_complete(generations, len(samples))
    scores = None
    if prepared.not_judged_because is None:
        predictions = decode(prepared.tokenizer, [answer.token_ids for answer in generations])
        references = [samples[answer.sample_index].reference or "" for answer in generations]
        scores = accuracy.score(predictions, references)
    result = accuracy.judge(
        scores,
        prepared.config.round,
        prepared.config.category,
        high_accuracy=prepared.config.high_accuracy,
        not_judged_because=prepared.not_judged_because,
    )
    write_json(folder.rouge_json, accuracy.to_rouge_json(result))


def _report(folder: RunFolder, ending: Ending) -> dict[str, Any] | None:
    """The report; a failed run keeps its own error even where no report can be made of it."""
    try:
        return report.make_report(folder.path)
    except BenchmarkError as error:
        if ending.status == "finished":
            raise
        logging.getLogger("harness").warning("no report: %s", error)
        return None


def _verdict_status(prepared: Prepared, summary: dict[str, Any] | None) -> int:
    """3 for a full-size run that is INVALID or below the gate; a smoke run has measured, whatever it says."""
    if not prepared.full_size or summary is None:
        return 0
    performance = summary["run"]["performance"] or {}
    judged = summary["run"]["accuracy"] or {}
    return 3 if performance.get("valid") is False or judged.get("passed") is False else 0


if __name__ == "__main__":
    sys.exit(main())
