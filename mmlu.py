"""MMLU on the engine and model that run.py measures:
questions in, accuracy by subject and domain out.

  python mmlu.py --model demo --dataset sample --details 1
      the whole path on any machine, in a minute (the questions are not MMLU's)
  python mmlu.py --total-limit 100 --max-model-len 4096 --precision bf16 --details 1
      a first look at the real model: the same 100 questions every time, of all subjects
  python mmlu.py
      all 14,042 questions, scored as lm-evaluation-harness does
  python mmlu.py --protocol llama
      Meta's chat protocol, the one of the 69.4 they report

Results go to ./results/<time>-mmlu/ (report.md first, report.html to forward), and ./results/latest
points there.

Exit status: 0 evaluated; 1 the evaluation failed; 2 the command cannot run as given; 129,
130 or 143 hung up, interrupted or terminated.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness import bundle, flags, language
from harness import config as settings
from harness.config import RunConfig
from harness.errors import BenchmarkError
from harness.language import phrase, text_of, translated

if TYPE_CHECKING:
    from harness.mmlu.config import MmluConfig

PROJECT = Path(__file__).resolve().parent


def parse_flags(arguments: Sequence[str]) -> MmluConfig:
    """The command line as an MmluConfig; argparse ends the program with status 2 on a misuse."""
    return _to_config(parse_arguments(arguments))


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line as it stands."""
    from harness.mmlu.config import DATASETS, MOST_SHOTS, PLAIN, PROTOCOLS

    parser = flags.Parser(__doc__ or "")
    what = parser.add_argument_group("what to ask")
    what.add_argument(
        "--protocol",
        choices=PROTOCOLS,
        default=PLAIN,
        help="plain: the likeliest of the letters A to D (lm-evaluation-harness's mmlu); "
        "llama: Meta's chat protocol (mmlu_llama)",
    )
    what.add_argument(
        "--num-fewshot",
        type=int,
        default=MOST_SHOTS,
        metavar="N",
        help="solved examples before each question, 0 to 5; reported scores are of 5",
    )
    what.add_argument(
        "--subjects",
        type=_names,
        default=[],
        metavar="NAME,NAME",
        help="only these, for example anatomy,high_school_physics (default: all 57)",
    )
    what.add_argument(
        "--total-limit",
        type=int,
        default=None,
        metavar="N",
        help="ask only N questions, each subject its share; the same ones every time",
    )
    what.add_argument(
        "--dataset",
        choices=DATASETS,
        default=DATASETS[0],
        help="mmlu: cais/mmlu from the hub; sample: 40 questions written for this program",
    )
    what.add_argument(
        "--dataset-path",
        default=None,
        metavar="PATH",
        help="a folder with cais/mmlu's parquet files, or a JSONL file with subject, question, "
        "choices, answer and split",
    )
    flags.add_model_flags(parser.add_argument_group("model"))
    flags.add_engine_flags(parser.add_argument_group("engine"))
    results = parser.add_argument_group("results")
    flags.add_switch(results, "--details", 0, "writes samples.csv, a row for each question")
    flags.add_results_flags(results)
    return parser.parse_args(arguments)


def _to_config(values: argparse.Namespace) -> MmluConfig:
    from harness.mmlu.config import SHARED_FLAGS, MmluConfig

    given = vars(values)
    del given["lang"]
    shared = {name: given.pop(name) for name in (*SHARED_FLAGS, "engine_args")}
    given["subjects"] = tuple(given["subjects"])
    return MmluConfig(run=RunConfig(**shared), **given)


def _names(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(filter(None, (name.strip() for name in text.split(",")))))
    if not names:
        raise argparse.ArgumentTypeError(f"{text!r} names no subject")
    return names


def main(arguments: Sequence[str] | None = None) -> int:
    """Evaluates once and returns the exit status; the one place where errors are printed."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        flags.check_text(arguments)
        values = parse_arguments(arguments)
        settings.load_env_file(PROJECT)
        language.choose(values.lang)
        config = _to_config(values)
        bundle.use()
        config.validate()
        return evaluate(config, ["python", "mmlu.py", *arguments])
    except BenchmarkError as error:
        print(f"mmlu.py: {translated(text_of(error))}", file=sys.stderr)
        return error.exit_status
    except OSError as error:
        why = phrase("a file cannot be read or written: {error}", error=error)
        print(f"mmlu.py: {translated(why)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        text = phrase("interrupted before anything was asked.")
        print(f"mmlu.py: {translated(text)}", file=sys.stderr)
        return 130


def evaluate(config: MmluConfig, command: list[str]) -> int:
    """Resolves and checks every input, asks, scores, reports; returns the exit status."""
    # Imported only now, so that --help and a wrong flag answer at once.
    from harness.measure import lifecycle
    from harness.mmlu import preparation as mmlu_preparation
    from harness.mmlu import report as mmlu_report
    from harness.mmlu import session as mmlu_session
    from harness.mmlu import text as mmlu_text
    from harness.results import folder as run_folder
    from harness.terminal import Terminal

    terminal = Terminal()
    prepared = mmlu_preparation.prepare(config, terminal.say)
    record = mmlu_preparation.describe(prepared, command)
    evaluation = lifecycle.Job(
        program="mmlu.py",
        category=run_folder.MMLU,
        scenario=None,
        results_dir=Path(config.run.results_dir),
        keep_all=config.run.keep_all,
        record=record,
        work=lambda folder: mmlu_session.evaluate(prepared, folder, record, terminal),
        make_report=mmlu_report.make_report,
        terminal_summary=mmlu_text.terminal_summary,
        exit_status=lambda _summary: 0,  # no score is a failure
    )
    return lifecycle.execute(evaluation, command, terminal)


if __name__ == "__main__":
    sys.exit(main())
