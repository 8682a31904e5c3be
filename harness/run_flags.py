"""The flags of run.py alone: what a run measures, and what makes a submission of finished runs."""

from __future__ import annotations

import argparse

from harness import flags
from harness.config import CATEGORIES, DATASETS, MODES, RunConfig
from harness.errors import UsageError
from harness.rounds import ROUNDS


def add_run_flags(parser: argparse.ArgumentParser, *, of_one_run: bool = False) -> None:
    """Every flag of run.py, in the order of its help; `of_one_run`: those of measuring alone."""
    what = parser.add_argument_group("what to measure")
    _add_test_flags(what)
    _add_target_flags(what)
    model = parser.add_argument_group("model and data")
    flags.add_model_flags(model)
    _add_dataset_flags(model)
    flags.add_engine_flags(parser.add_argument_group("engine"))
    if of_one_run:
        parser.set_defaults(tune_minutes=None)
        flags.add_results_flags(parser.add_argument_group("results"))
        return
    parser.add_argument_group("tuning, instead of a run").add_argument(
        "--tune",
        type=float,
        default=RunConfig.tune_minutes,
        metavar="MINUTES",
        dest="tune_minutes",
        help="searches for the fastest engine settings of this machine; later runs use them",
    )
    flags.add_results_flags(parser.add_argument_group("results"))
    _add_submission_flags(parser.add_argument_group("a submission, instead of a run"))


def _add_test_flags(group: argparse._ArgumentGroup) -> None:
    """Which tests, of how many samples."""
    group.add_argument(
        "--version", choices=tuple(ROUNDS), default=RunConfig.version, help="MLPerf round"
    )
    group.add_argument(
        "--category",
        choices=CATEGORIES,
        default=RunConfig.category,
        help="datacenter: offline, server, interactive; edge: offline, singlestream",
    )
    group.add_argument(
        "--scenario",
        type=flags.scenario,
        default=RunConfig.scenario,
        metavar="SCENARIO",
        help="offline, server, singlestream, interactive (Server under tighter limits), "
        "or all: every scenario of the category, a run folder each",
    )
    group.add_argument(
        "--mode",
        choices=MODES,
        default=RunConfig.mode,
        help="both: accuracy first, on one engine",
    )
    group.add_argument(
        "--total-sample-count",
        type=flags.integer_or_auto,
        default=flags.auto_for_none(RunConfig.total_sample_count),
        metavar="N|auto",
        help="auto: the whole data set (13368 datacenter, 5000 edge); "
        "a small number makes a smoke run",
    )


def _add_target_flags(group: argparse._ArgumentGroup) -> None:
    """How long answers and tests are, how fast queries come, how answers are judged."""
    group.add_argument(
        "--max-new-tokens",
        type=int,
        default=RunConfig.max_new_tokens,
        metavar="N",
        help="longest answer, in tokens",
    )
    group.add_argument(
        "--min-duration",
        type=flags.number_or_auto,
        default=flags.auto_for_none(RunConfig.min_duration_s),
        metavar="SECONDS|auto",
        dest="min_duration_s",
        help="auto: 600 when the full sample count runs, else 0",
    )
    group.add_argument(
        "--server-target-qps",
        type=_target_qps,
        default=RunConfig.server_target_qps,
        metavar="QPS|auto|max",
        help="queries per second in Server and Interactive; "
        "auto: 0.8 x what Offline reached; max: search",
    )
    group.add_argument(
        "--repeat",
        type=int,
        default=RunConfig.repeat,
        metavar="N",
        help="performance tests on the loaded engine, one after the other: the median one is the "
        "result, and the report says the spread",
    )
    for flag, default, text in (
        (
            "--high-accuracy",
            RunConfig.high_accuracy,
            "judge at 99.9 %% of the reference (not an official variant)",
        ),
        (
            "--compliance",
            RunConfig.compliance,
            "runs TEST06 after the performance test (datacenter submissions)",
        ),
        (
            "--extra-metrics",
            RunConfig.extra_metrics,
            "adds the energy the GPUs used, and what they can do, measured (not official)",
        ),
    ):
        flags.add_switch(group, flag, default, text)
    group.add_argument(
        "--price-per-hour",
        type=float,
        default=RunConfig.price_per_hour,
        metavar="PRICE",
        help="what the GPUs of the run cost an hour: adds the price of a million tokens",
    )


def _target_qps(text: str) -> float | str:
    if text in ("auto", "max"):
        return text
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor auto nor max") from None


def _add_dataset_flags(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--dataset",
        choices=DATASETS,
        default=RunConfig.dataset,
        help="cnndm: CNN/DailyMail; sample: the shipped articles; "
        "synthetic: random token ids of the same lengths",
    )
    group.add_argument(
        "--dataset-path",
        default=RunConfig.dataset_path,
        metavar="FILE",
        help="an official cnn_eval.json or sample_cnn_eval_5000.json, "
        "or a folder of the hub's parquet files",
    )


def _add_submission_flags(group: argparse._ArgumentGroup) -> None:
    """What makes a submission's tree of finished runs, instead of a run."""
    group.add_argument(
        "run_dirs",
        nargs="*",
        type=flags.path,
        metavar="RUN_DIR",
        help="with --submission: the run folders, one of each scenario",
    )
    group.add_argument(
        "--submission",
        type=flags.path,
        default=None,
        metavar="OUT",
        help="writes the tree that MLCommons takes to the new folder OUT; measures nothing",
    )
    group.add_argument(
        "--submitter", default=None, metavar="NAME", help="who submits; names a folder of the tree"
    )
    group.add_argument(
        "--system-json",
        type=flags.path,
        default=None,
        metavar="FILE",
        help="what no program can know of the machine, such as its cooling",
    )
    group.add_argument(
        "--division",
        choices=("closed", "open"),
        default="closed",
        help="open takes runs that are not by all the rules",
    )


def check_submission_flags(values: argparse.Namespace) -> None:
    """Refuses submission flags that miss their other half. Raises UsageError."""
    if values.submission is None:
        for flag, value in (
            (f"{values.run_dirs[0]}" if values.run_dirs else "", values.run_dirs),
            ("--submitter", values.submitter),
            ("--system-json", values.system_json),
        ):
            if value:
                raise UsageError(
                    f"{flag}: this goes with --submission OUT, which makes a submission of "
                    "finished runs; add that, or leave this out."
                )
    elif values.run_dirs and values.scenario == flags.ALL_SCENARIOS:
        raise UsageError(
            f"--scenario all: this measures, and --submission with {values.run_dirs[0]} takes runs "
            "that are finished; leave out one of the two."
        )
    elif not values.run_dirs and values.scenario != flags.ALL_SCENARIOS:
        raise UsageError(
            "--submission: name the run folders after the flags, one of each scenario, for "
            "example results/latest; or add --scenario all, to measure them first."
        )
    elif values.submitter is None:
        raise UsageError("--submission: --submitter NAME is missing, which says who submits.")
