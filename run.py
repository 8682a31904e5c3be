"""One MLPerf Inference run of Llama-3.1-8B-Instruct on vLLM and LoadGen:
engine up, test, logs, report.

  python run.py --model demo --dataset sample
      the whole path on any machine, in a minute or two
  python run.py --weights dummy --dataset synthetic --mode performance
      the speed of a GPU, with neither the gated model nor a network
  python run.py --model meta-llama/Llama-3.1-8B-Instruct --total-sample-count 20
      a smoke run of the real model
  python run.py --model meta-llama/Llama-3.1-8B-Instruct --category datacenter --scenario offline --mode both
      the full measurement

Results go to ./results/<time>-<category>-<scenario>/ (report.md first), and ./results/latest
points there.

Exit status: 0 measured; 1 the run failed; 2 the command cannot run as given; 3 a full-size run
was measured but is INVALID or below the accuracy gate; 130 or 143 interrupted or terminated.
"""  # noqa: E501 - a command to copy stays on one line

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness import config as settings
from harness import flags, rounds
from harness.config import RunConfig, Scenario
from harness.errors import BenchmarkError

if TYPE_CHECKING:
    from harness.preparation import Prepared
    from harness.run_folder import RunFolder

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
        "--scenario",
        type=Scenario,
        choices=tuple(Scenario),
        default=Scenario.OFFLINE,
        metavar="SCENARIO",
        help="offline, server, singlestream or interactive (Server under tighter limits)",
    )
    what.add_argument(
        "--mode", choices=settings.MODES, default="both", help="both: accuracy first, on one engine"
    )
    what.add_argument(
        "--total-sample-count",
        type=flags.integer_or_auto,
        default="auto",
        metavar="N|auto",
        help="auto: the whole data set (13368 datacenter, 5000 edge); "
        "a small number makes a smoke run",
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
        help="queries per second in Server and Interactive; "
        "auto: 0.8 x what Offline reached; max: search",
    )
    flags.add_switch(
        what, "--high-accuracy", 0, "judge at 99.9 %% of the reference (not an official variant)"
    )
    flags.add_switch(what, "--extra-metrics", 0, "adds the energy the GPUs used (not official)")

    model = parser.add_argument_group("model and data")
    flags.add_model_flags(model)
    model.add_argument(
        "--dataset",
        choices=settings.DATASETS,
        default="cnndm",
        help="cnndm: CNN/DailyMail; sample: the shipped articles; "
        "synthetic: random token ids of the same lengths",
    )
    model.add_argument(
        "--dataset-path",
        default=None,
        metavar="FILE",
        help="an official cnn_eval.json or sample_cnn_eval_5000.json, "
        "or a folder of the hub's parquet files",
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
    output.add_argument(
        "--results-dir", default="./results", metavar="FOLDER", help="where run folders go"
    )
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
    config = parse_flags(arguments)
    try:
        settings.load_env_file(PROJECT)
        settings.validate(config)
        return measure(config, ["python", "run.py", *arguments])
    except BenchmarkError as error:
        print(f"run.py: {error}", file=sys.stderr)
        return error.exit_status
    except OSError as error:
        print(f"run.py: a file cannot be read or written: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("run.py: interrupted before anything was measured.", file=sys.stderr)
        return 130


def measure(config: RunConfig, command: list[str]) -> int:
    """Resolves and checks every input, measures, scores, reports; returns the exit status."""
    # Imported only now, so that --help and a wrong flag answer at once.
    import report
    from harness import execution, preparation
    from harness.terminal import Terminal

    terminal = Terminal()
    prepared = preparation.prepare(config, terminal.say)
    return execution.execute(
        prepared,
        command,
        terminal,
        score=score,
        make_report=report.make_report,
        terminal_summary=report.terminal_summary,
    )


def score(prepared: Prepared, folder: RunFolder) -> None:
    """LoadGen's accuracy log to rouge.json, as the official evaluation does. Raises LogError."""
    import util_logs
    from harness import accuracy
    from harness.model import decode
    from harness.run_folder import ACCURACY_LOG, write_json

    answers = util_logs.read_accuracy_log(folder.accuracy / ACCURACY_LOG)
    samples = prepared.dataset.samples
    util_logs.check_complete(answers, len(samples))
    config = prepared.config
    if prepared.not_judged_because:
        result = accuracy.not_judged(len(answers), prepared.not_judged_because)
    else:
        predictions = decode(prepared.tokenizer, [answer.token_ids for answer in answers])
        references = [samples[answer.sample_index].reference or "" for answer in answers]
        result = accuracy.judge(
            accuracy.score(predictions, references),
            config.round,
            config.category,
            high_accuracy=config.high_accuracy,
            not_judged_because=None,
        )
    write_json(
        folder.rouge_json,
        accuracy.to_rouge_json(
            result, config.round, config.category, high_accuracy=config.high_accuracy
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
