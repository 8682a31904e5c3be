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
  python run.py --submission OUT --submitter NAME --system-json FILE RUN_DIR RUN_DIR
      the tree that MLCommons takes, of finished runs

Results go to ./results/<time>-<category>-<scenario>/ (report.md first), and ./results/latest
points there.

Exit status: 0 measured; 1 the run failed; 2 the command cannot run as given; 3 a full-size run
was measured but is INVALID or below the accuracy gate; 130 or 143 interrupted or terminated.
"""  # noqa: E501 - a command to copy stays on one line

from __future__ import annotations

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from harness import config as settings
from harness import flags, run_flags
from harness.config import RunConfig, Scenario
from harness.errors import BenchmarkError, UsageError

if TYPE_CHECKING:
    from harness.measure.preparation import Prepared
    from harness.results.folder import RunFolder
    from harness.submission.checks import FinishedRun
    from harness.submission.tree import Submission

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
    """Runs one benchmark and returns the exit status; the one place where errors are printed."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    try:
        values = parse_arguments(arguments)
        run_flags.check_submission_flags(values)
        if values.run_dirs:
            return submit(values)
        command = ["python", "run.py", *arguments]
        settings.load_env_file(PROJECT)
        if values.scenario == flags.ALL_SCENARIOS:
            return measure_all(values, command)
        config = _to_config(values)
        settings.validate(config)
        work = measure if config.tune_minutes is None else tune
        return work(config, command)
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
    from harness.measure import execution, preparation
    from harness.terminal import Terminal

    terminal = Terminal()
    prepared = preparation.prepare(config, terminal.say)
    programs = execution.Programs(score, report.make_report, report.terminal_summary)
    return execution.execute(prepared, command, terminal, programs)


def measure_all(values: argparse.Namespace, command: list[str]) -> int:
    """Every scenario of the category, and then the submission if one is asked for."""
    import report
    from harness.measure import execution, preparation, series
    from harness.submission import tree as submission
    from harness.terminal import Terminal

    if values.tune_minutes is not None:
        raise UsageError("--tune searches for one scenario; name it with --scenario.")
    values.scenario = Scenario.OFFLINE
    configs = series.configs(_to_config(values))
    for config in configs:
        settings.validate(config)
    terminal = Terminal()
    runs = [preparation.prepare(configs[0], terminal.say)]
    runs += [preparation.prepare(each, terminal.say, like=runs[0]) for each in configs[1:]]
    if values.submission is not None:
        record = preparation.config_record(runs[0], command)
        submission.check_beforehand(_to_submission(values), record)
    programs = execution.Programs(score, report.make_report, report.terminal_summary)
    status, values.run_dirs = series.execute(runs, command, terminal, programs)
    if values.submission is None or status not in (0, 3):
        return status
    return submit(values) or status


def tune(config: RunConfig, command: list[str]) -> int:
    """Searches for the fastest engine settings of this machine; returns the exit status."""
    from harness.measure import preparation
    from harness.terminal import Terminal
    from harness.tuning import session as tune_session

    terminal = Terminal()
    # Nothing is scored, so nothing of what scoring needs has to be there.
    timed = config.with_values(mode="performance", compliance=False)
    assert config.tune_minutes is not None
    return tune_session.execute(
        preparation.prepare(timed, terminal.say), config.tune_minutes, command, terminal
    )


def submit(values: argparse.Namespace) -> int:
    """Makes the submission tree of finished runs; returns the exit status."""
    asked = _to_submission(values)
    for doubt in make_submission(asked, values.run_dirs):
        print(f"note: {doubt}")
    print(f"The {asked.division} submission of {asked.submitter} is in {asked.out}.")
    print(f"The official checker: make third-party, then make check-submission TREE={asked.out}")
    return 0


def _to_submission(values: argparse.Namespace) -> Submission:
    from harness.submission.tree import Submission

    return Submission(values.submission, values.submitter, values.division, values.system_json)


def make_submission(asked: Submission, run_dirs: Sequence[Path]) -> tuple[str, ...]:
    """The tree of these run folders; returns doubts. Raises UsageError, LogError."""
    from harness.submission import tree as submission

    return submission.make_tree(asked, [read_run(path) for path in run_dirs], PROJECT)


def read_run(run_dir: Path) -> FinishedRun:
    """A run folder and the verdict on it. Raises UsageError, LogError."""
    import report
    from harness.results.folder import RunFolder
    from harness.rules import verdict
    from harness.submission.checks import FinishedRun

    folder = RunFolder(run_dir.resolve())
    evidence = report.read_evidence(folder)
    judged = verdict.judge(evidence)
    reasons = tuple(broken.sentence for broken in judged.failed)
    return FinishedRun(folder, evidence, judged.result, reasons)


def score(prepared: Prepared, folder: RunFolder) -> None:
    """Judges the answers that LoadGen logged, in the tests that ran. Raises LogError."""
    if prepared.config.runs_accuracy:
        score_accuracy(prepared, folder)
    if prepared.config.compliance:
        verify_compliance(prepared, folder)


def score_accuracy(prepared: Prepared, folder: RunFolder) -> None:
    """LoadGen's accuracy log to rouge.json, as the official evaluation does. Raises LogError."""
    import util_logs
    from harness.inputs.model import decode
    from harness.results.folder import ACCURACY_LOG, write_json
    from harness.scoring import accuracy

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


def verify_compliance(prepared: Prepared, folder: RunFolder) -> None:
    """LoadGen's TEST06 logs to verify_accuracy.txt and result.json. Raises LogError."""
    import util_logs
    from harness.results.folder import (
        ACCURACY_LOG,
        DETAIL_LOG,
        TEST06_RESULT,
        TEST06_VERIFIED,
        write_json,
        write_text,
    )
    from harness.scoring import test06 as compliance

    result = compliance.judge(
        util_logs.read_audit_log(folder.test06 / ACCURACY_LOG),
        util_logs.read_detail_log(folder.test06 / DETAIL_LOG),
        prepared.config.scenario,
        prepared.model.eos_token_ids,
    )
    write_text(folder.test06 / TEST06_VERIFIED, compliance.verify_accuracy_text(result))
    write_json(folder.test06 / TEST06_RESULT, compliance.to_json(result))


if __name__ == "__main__":
    sys.exit(main())
