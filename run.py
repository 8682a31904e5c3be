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
  python run.py check --scenario server
      whether everything that such a run needs is there
  python run.py fetch bundle DIR
      downloads all that a run needs into a folder, for a machine without a network;
      fetch --help names what can be fetched alone
  python run.py --submission OUT --submitter NAME --system-json FILE RUN_DIR RUN_DIR
      the tree that MLCommons takes, of finished runs

Results go to ./results/<time>-<category>-<scenario>/ (report.md first), and ./results/latest
points there.

Exit status: 0 measured; 1 the run failed; 2 the command cannot run as given; 3 a full-size run
was measured but is INVALID or below the accuracy gate; 129, 130 or 143 hung up, interrupted
or terminated.
"""  # noqa: E501 - a command to copy stays on one line

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness import ahead_flags, bundle, flags, language, run_flags
from harness import config as settings
from harness.config import RunConfig, Scenario
from harness.errors import BenchmarkError, UsageError
from harness.language import phrase, text_of, translated

if TYPE_CHECKING:
    from harness.measure.preparation import Prepared
    from harness.submission.tree import Submission
    from harness.terminal import Terminal

PROJECT = Path(__file__).resolve().parent


def parse_flags(arguments: Sequence[str]) -> RunConfig:
    """The command line as a RunConfig; argparse ends the program with status 2 on a misuse."""
    return _to_config(parse_arguments(arguments))


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line as it stands: the flags of a run and those of a submission."""
    parser = flags.Parser(__doc__ or "")
    run_flags.add_run_flags(parser)
    return parser.parse_args(arguments)


def _to_config(values: argparse.Namespace) -> RunConfig:
    given = vars(values)
    fields = {field.name: given[field.name] for field in dataclasses.fields(RunConfig)}
    return RunConfig(**fields)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns the exit status; the one place where errors are printed."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        flags.check_text(arguments)
        if arguments[:1] == [ahead_flags.CHECK]:
            return check(arguments[1:])
        if arguments[:1] == [ahead_flags.FETCH]:
            return fetch(arguments[1:])
        values = parse_arguments(arguments)
        settings.load_env_file(PROJECT)
        language.choose(values.lang)
        run_flags.check_submission_flags(values)
        if values.run_dirs:
            return submit(_to_submission(values), values.run_dirs)
        command = ["python", "run.py", *arguments]
        bundle.use()
        if values.scenario == flags.ALL_SCENARIOS:
            asked = None if values.submission is None else _to_submission(values)
            values.scenario = Scenario.OFFLINE  # the first of the series
            return measure_all(_to_config(values), asked, command)
        config = _to_config(values)
        settings.validate(config)
        work = measure if config.tune_minutes is None else tune
        return work(config, command)
    except BenchmarkError as error:
        print(f"run.py: {translated(text_of(error))}", file=sys.stderr)
        return error.exit_status
    except OSError as error:
        why = phrase("a file cannot be read or written: {error}", error=error)
        print(f"run.py: {translated(why)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        fetching = arguments[:1] == [ahead_flags.FETCH]
        text = phrase("interrupted before anything was measured.")
        if fetching:
            text = phrase("interrupted; type it again, and it goes on.")
        print(f"run.py: {translated(text)}", file=sys.stderr)
        return 130


def measure(config: RunConfig, command: list[str]) -> int:
    """Resolves and checks every input, measures, scores, reports; returns the exit status."""
    # Imported only now, so that --help and a wrong flag answer at once.
    from harness.measure.runs import Series
    from harness.terminal import Terminal

    terminal = Terminal()
    return Series([_prepare(config, terminal)], command, terminal).execute()[0]


def measure_all(config: RunConfig, asked: Submission | None, command: list[str]) -> int:
    """Every scenario of the category, and then the submission if one is asked for."""
    from harness.measure import preparation, runs
    from harness.results import room
    from harness.submission import tree
    from harness.terminal import Terminal

    if config.tune_minutes is not None:
        raise UsageError("--tune searches for one scenario; name it with --scenario.")
    configs = runs.configs(config)
    for each in configs:
        settings.validate(each)
    terminal = Terminal()
    first = _prepare(configs[0], terminal)
    prepared = [first, *(_prepare(each, terminal, like=first) for each in configs[1:])]
    needed_bytes = sum(each.needed_bytes for each in prepared)
    room.check_free(
        Path(config.results_dir),
        needed_bytes,
        phrase("the {count} runs together", count=len(prepared)),
    )
    if asked is not None:
        tree.check_beforehand(asked, preparation.describe(first, command).to_json())
    status, run_dirs = runs.Series(prepared, command, terminal).execute()
    if asked is None or status not in (0, 3):
        return status
    return submit(asked, run_dirs) or status


def check(arguments: Sequence[str]) -> int:
    """Says whether everything is there that a run needs; returns the exit status."""
    values = ahead_flags.parse_check(arguments)
    settings.load_env_file(PROJECT)
    language.choose(values.lang)
    bundle.use()
    config = _first_of_series(values)
    # Imported only now, so that --help and a wrong flag answer at once.
    from harness.measure import check as checking
    from harness.terminal import Terminal

    return checking.carry_out(config, Terminal(), as_json=values.json)


def fetch(arguments: Sequence[str]) -> int:
    """Downloads what a run needs; returns the exit status."""
    values = ahead_flags.parse_fetch(arguments)
    settings.load_env_file(PROJECT)
    language.choose(values.lang)
    bundle.refuse()
    config = _first_of_series(values)
    from harness.inputs import fetch as fetching
    from harness.inputs import fetch_bundle
    from harness.terminal import Terminal

    terminal, accepted = Terminal(), values.accept_license
    if values.what == ahead_flags.BUNDLE:
        of_the_run = ahead_flags.flags_of_the_run(arguments, values)
        folder = Path(values.folder)
        terminal.say(fetch_bundle.fill(folder, config, of_the_run, accepted=accepted))
    else:
        terminal.say(fetching.one(values.what, config, accepted=accepted))
    return 0


def _first_of_series(values: argparse.Namespace) -> RunConfig:
    """The run of these flags, or the first of --scenario all. Raises UsageError."""
    if values.scenario == flags.ALL_SCENARIOS:
        values.scenario = Scenario.OFFLINE
    config = _to_config(values)
    settings.validate(config)
    return config


def tune(config: RunConfig, command: list[str]) -> int:
    """Searches for the fastest engine settings of this machine; returns the exit status."""
    from harness.measure import preparation
    from harness.terminal import Terminal
    from harness.tuning import session

    terminal = Terminal()
    # Nothing is scored, so nothing of what scoring needs has to be there.
    timed = config.with_values(mode="performance", compliance=False)
    assert config.tune_minutes is not None
    # The search begins from the profile, whatever an earlier one has found.
    prepared = preparation.prepare(timed, terminal.say)
    return session.execute(prepared, config.tune_minutes, command, terminal)


def _prepare(config: RunConfig, terminal: Terminal, like: Prepared | None = None) -> Prepared:
    """A run with its inputs checked, and the engine settings that a search has found for it."""
    from harness.measure import preparation
    from harness.tuning import file

    results_dir = Path(config.results_dir)
    if like is None and (note := file.note_on_ignored(results_dir)):
        terminal.say(note)
    return preparation.prepare(
        config, terminal.say, like, lambda final, system: file.find(results_dir, final, system)
    )


def _to_submission(values: argparse.Namespace) -> Submission:
    from harness.submission.tree import Submission

    return Submission(values.submission, values.submitter, values.division, values.system_json)


def submit(asked: Submission, run_dirs: Sequence[Path]) -> int:
    """Makes the submission tree of finished runs; returns the exit status."""
    from harness.submission import tree

    for doubt in tree.make_submission(asked, run_dirs, PROJECT):
        print(translated(phrase("note: {note}", note=doubt)))
    for told in (
        phrase(
            "The {division} submission of {submitter} is in {folder}.",
            division=asked.division, submitter=asked.submitter, folder=asked.out,
        ),
        phrase(
            "The official checker: make third-party, then make check-submission TREE={folder}",
            folder=asked.out,
        ),
    ):  # fmt: skip
        print(translated(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
