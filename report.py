"""Makes summary.json, report.md, report.html and the plots of a run folder anew from its logs.

It needs neither a GPU nor vLLM nor LoadGen, measures nothing and changes no log.

    python report.py results/latest
    python report.py results/20261123-141500-datacenter-offline
    python report.py results/OFFLINE results/SERVER          (and one page for all of them)
    python report.py results/latest --rescore      (first scores the answers in its accuracy log)

Or it compares runs: what differs in them, and whether their figures differ by more than chance.

    python report.py compare results/RUN results/RUN         (more: python report.py compare --help)

Or it shows all runs of a results folder over time, and what was changed between them, in its
index.html, which each run also makes anew:

    python report.py history results

Exit status: 0 written; 1 a log is incomplete or damaged; 2 no such run folder, or --rescore finds
no accuracy log, data set or tokenizer of that run.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from harness import flags, language
from harness.config import load_env_file
from harness.errors import BenchmarkError, UsageError
from harness.language import phrase, text_of, translated
from harness.mmlu import report as mmlu_report
from harness.report import history, make, series_page
from harness.results.folder import RunFolder, finished_runs
from harness.rules.read import is_evaluation, read_config

COMPARE, HISTORY = "compare", "history"
SLOWER = 4  # the exit status of a comparison with --fail-if-slower
_COMPARE_HELP = """Compares runs with the first of them: what differs in settings, system and
versions, each figure side by side, and whether the difference is more than chance.
docs/comparing.md has the method.

    python report.py compare results/RUN results/RUN
    python report.py compare results/BEFORE results/AFTER --fail-if-slower 2%

It writes comparison.html, .md and .json into results/comparisons/<time>, or where --output says.

Exit status: 0 compared; 1 a log is incomplete or damaged; 2 the runs cannot be compared, or nothing
can be said of them for --fail-if-slower; 4 slower by more than --fail-if-slower says."""


def make_report(run_dir: Path) -> dict[str, Any]:
    """The report of a run by run.py or of an evaluation by mmlu.py; what summary.json holds.

    Raises UsageError, LogError, OSError.
    """
    evaluation = is_evaluation(read_config(RunFolder(run_dir.resolve())))
    return mmlu_report.make_report(run_dir) if evaluation else make.make_report(run_dir)


def score_again(run_dir: Path) -> None:
    """Scores the accuracy log of a run anew, into its folder. Raises BenchmarkError, OSError."""
    # Imported only now: the data set and numpy, which a report does without.
    from harness.measure.rescore import rescore

    print(translated(phrase("scoring the answers ...")), flush=True)
    rescore(run_dir)


def _choose_language(asked: str | None) -> None:
    """The one asked for, or the variable's, which `.env` may hold. Raises BenchmarkError."""
    load_env_file(Path(__file__).resolve().parent)  # it may hold a token for the hub as well
    language.choose(asked)


def main(argv: Sequence[str] | None = None) -> int:
    """Remakes a report and prints where it is, or one sentence on stderr; the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    if argv[:1] == [COMPARE]:
        return compare(argv[1:])
    if argv[:1] == [HISTORY]:
        return show_history(argv[1:])
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "run_dirs", metavar="RUN_DIR", type=flags.path, nargs="+", help="a run folder"
    )
    parser.add_argument(
        "--rescore",
        action="store_true",
        help="score the accuracy log again, by the data set and the tokenizer of the run",
    )
    flags.add_language_flag(parser)
    arguments = parser.parse_args(argv)
    try:
        _choose_language(arguments.lang)
        for run_dir in arguments.run_dirs:
            if arguments.rescore:
                score_again(run_dir)
            say(run_dir, make_report(run_dir))
        if len(arguments.run_dirs) > 1 and (page := series_page.write(arguments.run_dirs)):
            print(page)
    except (BenchmarkError, OSError) as error:
        return refused(error)
    return 0


def refused(error: BenchmarkError | OSError) -> int:
    """Says on stderr in one sentence what went wrong; the exit status for it."""
    if isinstance(error, OSError):
        file = error.filename or "stdout"
        error = BenchmarkError(
            phrase("{file} cannot be written: {why}.", file=file, why=error.strerror)
        )
    print(f"report.py: {translated(text_of(error))}", file=sys.stderr)
    return error.exit_status


def say(run_dir: Path, record: dict[str, Any]) -> None:
    """Where the report of a run is, and its headline."""
    folder = RunFolder(run_dir)
    print(folder.report_md)
    if folder.report_html.exists():  # an evaluation has none
        print(folder.report_html)
    print(translated(record["headline"]["text"]))


def show_history(argv: Sequence[str]) -> int:
    """Writes index.html of a results folder and prints where it is; the exit status."""
    parser = argparse.ArgumentParser(
        prog=f"report.py {HISTORY}",
        description="All runs of a results folder that finished, to sort and to filter, with their "
        "tokens per second over time and what was changed between them: index.html.",
    )
    parser.add_argument(
        "results_dir", metavar="RESULTS_DIR", type=flags.path, nargs="?", default=Path("results"),
        help="a results folder (default: results)",
    )  # fmt: skip
    flags.add_language_flag(parser)
    arguments = parser.parse_args(argv)
    results_dir = arguments.results_dir
    try:
        _choose_language(arguments.lang)
        if not results_dir.is_dir():
            raise UsageError(
                phrase(
                    "{folder}: no such folder; give the one that runs lie in.", folder=results_dir
                )
            )
        if not finished_runs(results_dir):
            raise UsageError(
                phrase(
                    "{folder}: no finished run lies in it; give the folder that runs were told to "
                    "write to (--results-dir).",
                    folder=results_dir,
                )
            )
        print(history.write(results_dir))
    except (BenchmarkError, OSError) as error:
        return refused(error)
    return 0


def compare(argv: Sequence[str]) -> int:
    """Compares runs and prints what was found; the exit status."""
    parser = argparse.ArgumentParser(
        prog=f"report.py {COMPARE}",
        description=_COMPARE_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run_dirs", metavar="RUN", type=flags.path, nargs="+", help="a run folder")
    parser.add_argument("--output", type=flags.path, metavar="DIR", help="where the files go")
    parser.add_argument(
        "--anyway", action="store_true", help="compare even what did not do the same work"
    )
    parser.add_argument(
        "--fail-if-slower", type=percent, metavar="PERCENT", help="exit 4 beyond that, as 2%%"
    )
    flags.add_language_flag(parser)
    arguments = parser.parse_args(argv)
    try:
        _choose_language(arguments.lang)
        from harness.report import comparison  # numpy, which --help does without

        found = comparison.compare(arguments.run_dirs, anyway=arguments.anyway)
        folder = comparison.write(found, arguments.output, datetime.now())
        print(found.terminal(), f"\n  {folder.comparison_html}", sep="\n")
        limit = arguments.fail_if_slower
        slower = [] if limit is None else comparison.slower_than(found, limit)
    except OSError as error:
        if error.filename is None:  # what is printed, and not a file
            return refused(error)
        why = phrase(
            "{file} cannot be written: {why}; choose another folder with --output DIR.",
            file=error.filename, why=error.strerror,
        )  # fmt: skip
        # A folder that can be none was given; a full disk comes of itself.
        is_wrong = isinstance(error, FileExistsError | NotADirectoryError)
        return refused(UsageError(why) if is_wrong else BenchmarkError(why))
    except BenchmarkError as error:
        return refused(error)
    for sentence in slower:
        print(f"report.py: {translated(sentence)}", file=sys.stderr)
    return SLOWER if slower else 0


def percent(text: str) -> float:
    """'2%' or '2' as 0.02."""
    try:
        value = float(text.strip().removesuffix("%"))
    except ValueError:
        value = -1.0
    if not 0 <= value < 100:
        raise argparse.ArgumentTypeError(f"{text!r} is no share in percent, such as 2%")
    return value / 100


if __name__ == "__main__":
    sys.exit(main())
