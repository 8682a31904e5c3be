"""The flags that run.py and mmlu.py share, each defined once."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any, NoReturn

from harness import engine_args
from harness.config import (
    DEFAULT_STALL_TIMEOUT_S,
    MODEL_ALIASES,
    PRECISIONS,
    WEIGHTS,
    Scenario,
)
from harness.errors import UsageError
from harness.rounds import OFFICIAL_MODEL

ALL_SCENARIOS = "all"  # of --scenario: every scenario of the category, one after the other


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Keeps the commands of the description as written and shows each default that is one."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, [], {}):
            return action.help
        return super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Refuses abbreviated flags and points to the help instead of repeating all of it."""

    def __init__(self, description: str):
        super().__init__(description=description, formatter_class=HelpFormatter, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        """One line and exit status 2."""
        self.exit(2, f"{self.prog}: {message} (all flags: python {self.prog} --help)\n")


def switch(text: str) -> bool:
    """1 or 0."""
    if text in ("1", "0"):
        return text == "1"
    raise argparse.ArgumentTypeError(f"{text!r} is neither 1 nor 0")


def scenario(text: str) -> Scenario | str:
    """A scenario, or "all"."""
    if text == ALL_SCENARIOS:
        return text
    try:
        return Scenario(text)
    except ValueError:
        names = ", ".join(Scenario)
        raise argparse.ArgumentTypeError(f"{text!r} is none of {names}, all") from None


def integer_or_auto(text: str) -> int | None:
    """A whole number, or None for auto."""
    if text.lower() == "auto":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a whole number nor auto") from None


def number_or_auto(text: str) -> float | None:
    """A number, or None for auto."""
    if text.lower() == "auto":
        return None
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is neither a number nor auto") from None


class EngineArgument(argparse.Action):
    """Adds a NAME=VALUE to the mapping of engine arguments; the only place that parses one."""

    def __call__(
        self,
        _parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        text: Any,
        _option: str | None = None,
    ) -> None:
        """Raises UsageError for a name that may hold a secret."""
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise argparse.ArgumentError(self, f"{text!r} is not NAME=VALUE")
        added = engine_args.parse([(name, value)])
        setattr(namespace, self.dest, {**getattr(namespace, self.dest), **added})


def add_switch(group: argparse._ArgumentGroup, flag: str, default: int, text: str) -> None:
    """A flag that takes 1 or 0 and, given bare, means 1."""
    group.add_argument(
        flag, type=switch, nargs="?", const=True, default=str(default), metavar="1|0", help=text
    )


def add_model_flags(group: argparse._ArgumentGroup) -> None:
    """Which model, in which precision."""
    aliases = ", ".join(MODEL_ALIASES)
    group.add_argument(
        "--model",
        default=OFFICIAL_MODEL,
        help=f"a Hugging Face repository, a folder, an alias ({aliases}), "
        "or demo: a tiny Llama built on this machine",
    )
    group.add_argument("--backend", choices=("vllm",), default="vllm", help="the inference engine")
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default="bf16",
        help="number format of the weights; "
        "fp8 quantises them while loading and uses an fp8 KV cache (GPU only)",
    )
    group.add_argument(
        "--weights",
        choices=WEIGHTS,
        default="real",
        help="dummy: random weights of the model's shape, to time a GPU without the gated model",
    )


def add_engine_flags(group: argparse._ArgumentGroup) -> None:
    """How the engine uses the machine."""
    group.add_argument(
        "--tensor-parallel-size",
        type=integer_or_auto,
        default="auto",
        metavar="N|auto",
        help="GPUs that share one copy of the model; auto: all of them",
    )
    group.add_argument(
        "--data-parallel-size",
        type=int,
        default=1,
        metavar="N",
        help="independent copies of the model, each on GPUs of its own",
    )
    group.add_argument(
        "--pipeline-parallel-size",
        type=int,
        default=1,
        metavar="N",
        help="groups of layers on different GPUs",
    )
    group.add_argument(
        "--distributed-executor-backend",
        choices=("mp", "ray"),
        default=None,
        help="mp: processes of this machine; ray: several machines (default: vLLM decides)",
    )
    group.add_argument(
        "--max-model-len",
        type=integer_or_auto,
        default="auto",
        metavar="N|auto",
        help="tokens of a prompt and its answer together; auto: the longest prompt plus the answer",
    )
    group.add_argument(
        "--gpu-memory-utilization",
        type=float,
        default=None,
        metavar="SHARE",
        help="share of the GPU's memory the engine may take, 0 to 1 (default: 0.92)",
    )
    group.add_argument(
        "--engine-arg",
        action=EngineArgument,
        default={},
        dest="engine_args",
        metavar="NAME=VALUE",
        help="any engine argument of vLLM, for example max_num_seqs=512; can be repeated",
    )
    group.add_argument(
        "--stall-timeout",
        type=float,
        default=DEFAULT_STALL_TIMEOUT_S,
        metavar="SECONDS",
        dest="stall_timeout_s",
        help="give up when the engine produces nothing for so long while queries wait",
    )


def add_results_flags(group: argparse._ArgumentGroup) -> None:
    """Where the run folder goes, and what becomes of the others."""
    group.add_argument(
        "--results-dir", default="./results", metavar="FOLDER", help="where run folders go"
    )
    add_switch(group, "--keep-all", 1, "0 deletes earlier runs once this one has finished")


def add_submission_flags(group: argparse._ArgumentGroup) -> None:
    """What makes a submission's tree of finished runs, instead of a run."""
    group.add_argument(
        "run_dirs",
        nargs="*",
        type=Path,
        metavar="RUN_DIR",
        help="with --submission: the run folders, one of each scenario",
    )
    group.add_argument(
        "--submission",
        type=Path,
        default=None,
        metavar="OUT",
        help="writes the tree that MLCommons takes to the new folder OUT; measures nothing",
    )
    group.add_argument(
        "--submitter", default=None, metavar="NAME", help="who submits; names a folder of the tree"
    )
    group.add_argument(
        "--system-json",
        type=Path,
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
    elif values.run_dirs and values.scenario == ALL_SCENARIOS:
        raise UsageError(
            f"--scenario all: this measures, and --submission with {values.run_dirs[0]} takes runs "
            "that are finished; leave out one of the two."
        )
    elif not values.run_dirs and values.scenario != ALL_SCENARIOS:
        raise UsageError(
            "--submission: name the run folders after the flags, one of each scenario, for "
            "example results/latest; or add --scenario all, to measure them first."
        )
    elif values.submitter is None:
        raise UsageError("--submission: --submitter NAME is missing, which says who submits.")
