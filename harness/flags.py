"""The flags that run.py and mmlu.py share, each defined once; run.py's own are in run_flags.py."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from harness import engine_args, paths
from harness.config import (
    DEFAULT_GPU_MEMORY_UTILIZATION,
    MODEL_ALIASES,
    PRECISIONS,
    WEIGHTS,
    RunConfig,
    Scenario,
)
from harness.errors import UsageError
from harness.language import ENGLISH, LANGUAGES, VARIABLE

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
        typed = self.prog.replace(Path(sys.argv[0]).name, sys.argv[0], 1)  # with its folder
        self.exit(2, f"{self.prog}: {message} (all flags: python {typed} --help)\n")


def check_text(arguments: Sequence[str]) -> None:
    """Raises UsageError for words of a command that are no text, as a record could not hold them.

    Python stands in half a character for each byte that is not UTF-8.
    """
    for word in arguments:
        try:
            word.encode()
        except UnicodeEncodeError:
            shown = word.encode(errors="replace").decode()
            raise UsageError(
                f"{shown}: this holds bytes that are not UTF-8 text; correct the command, or give "
                "the file another name."
            ) from None


def path(text: str) -> Path:
    """A file or folder, there or not."""
    try:
        paths.check("", text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error).lstrip()) from error
    return Path(text)


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


def auto_for_none(value: float | None) -> float | str:
    """A default as the command line and the help have it."""
    return "auto" if value is None else value


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
        flag,
        type=switch,
        nargs="?",
        const=True,
        default=str(int(default)),
        metavar="1|0",
        help=text,
    )


def add_model_flags(group: argparse._ArgumentGroup) -> None:
    """Which model, in which precision."""
    aliases = ", ".join(MODEL_ALIASES)
    group.add_argument(
        "--model",
        default=RunConfig.model,
        help=f"a Hugging Face repository, a folder, an alias ({aliases}), "
        "demo: a tiny Llama built on this machine, "
        "or small: SmolLM2-135M-Instruct, downloaded once (93 MB)",
    )
    group.add_argument(
        "--backend", choices=("vllm",), default=RunConfig.backend, help="the inference engine"
    )
    group.add_argument(
        "--precision",
        choices=PRECISIONS,
        default=RunConfig.precision,
        help="number format of the weights; "
        "fp8 quantises them while loading and uses an fp8 KV cache (GPU only)",
    )
    group.add_argument(
        "--weights",
        choices=WEIGHTS,
        default=RunConfig.weights,
        help="dummy: random weights of the model's shape, to time a GPU without the gated model",
    )


def add_engine_flags(group: argparse._ArgumentGroup) -> None:
    """How the engine uses the machine."""
    group.add_argument(
        "--tensor-parallel-size",
        type=integer_or_auto,
        default=auto_for_none(RunConfig.tensor_parallel_size),
        metavar="N|auto",
        help="GPUs that share one copy of the model; auto: all of them",
    )
    group.add_argument(
        "--data-parallel-size",
        type=int,
        default=RunConfig.data_parallel_size,
        metavar="N",
        help="independent copies of the model, each on GPUs of its own",
    )
    group.add_argument(
        "--pipeline-parallel-size",
        type=int,
        default=RunConfig.pipeline_parallel_size,
        metavar="N",
        help="groups of layers on different GPUs",
    )
    group.add_argument(
        "--distributed-executor-backend",
        choices=("uni", "mp", "ray"),
        default=RunConfig.distributed_executor_backend,
        help="uni: an engine in one process; mp: one to schedule and one for each GPU; "
        "ray: several machines (default: mp; on one GPU uni for SingleStream, but for the kernels "
        "for 4 bits)",
    )
    group.add_argument(
        "--max-model-len",
        type=integer_or_auto,
        default=auto_for_none(RunConfig.max_model_len),
        metavar="N|auto",
        help="tokens of a prompt and its answer together; auto: the longest prompt plus the answer",
    )
    group.add_argument(
        "--gpu-memory-utilization",
        type=float,
        default=RunConfig.gpu_memory_utilization,
        metavar="SHARE",
        help="share of the GPU's memory the engine may take, 0 to 1 "
        f"(default: {DEFAULT_GPU_MEMORY_UTILIZATION})",
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
        default=RunConfig.stall_timeout_s,
        metavar="SECONDS",
        dest="stall_timeout_s",
        help="give up when the engine produces nothing for so long while queries wait",
    )


def add_language_flag(parser: argparse.ArgumentParser | argparse._ArgumentGroup) -> None:
    """In which language people read what came out."""
    parser.add_argument(
        "--lang",
        choices=LANGUAGES,
        default=None,
        help="language of reports, of errors and of what stands on the terminal "
        f"(default: the variable {VARIABLE}, else {ENGLISH})",
    )


def add_results_flags(group: argparse._ArgumentGroup) -> None:
    """Where the run folder goes, what becomes of the others, and the report's language."""
    group.add_argument(
        "--results-dir",
        default=RunConfig.results_dir,
        metavar="FOLDER",
        help="where run folders go",
    )
    add_switch(
        group,
        "--keep-all",
        RunConfig.keep_all,
        "0 deletes earlier runs once this one has finished",
    )
    add_language_flag(group)
