"""The flags of `run.py check` and `run.py fetch`: of the run that they prepare, and few more."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from harness import flags, run_flags
from harness.command_line import without_flag
from harness.errors import UsageError

CHECK, FETCH = "check", "fetch"
BUNDLE = "bundle"
WHAT = ("model", "dataset", "tokenizer", "punkt", "small", BUNDLE)
ABOUT_CHECK = """Whether everything is there that a run with these flags needs. No engine is loaded.

  python run.py check --model demo --dataset sample
  python run.py check --category edge --scenario singlestream --precision fp8

Exit status: 0 the run can begin (what is doubtful is said); 2 something is missing."""
ABOUT_FETCH = """Downloads ahead what a run would download, and verifies it by checksum.
Repeated, it goes on where it was interrupted.

  python run.py fetch model                     the model of --model, to the hub's local cache
  python run.py fetch dataset --category edge   MLCommons' own articles; with --dataset-path FILE,
                                                whether that is MLCommons' file
  python run.py fetch tokenizer                 Llama 3's, for --weights dummy; Meta's licence
  python run.py fetch punkt                     nltk's sentence data, for scores
  python run.py fetch small                     the model of --model small
  python run.py fetch bundle DIR --model small --dataset sample
      all that this run needs, in one folder for a machine without a network"""


def parse_check(arguments: Sequence[str]) -> argparse.Namespace:
    """The flags of `run.py check`."""
    parser = _parser(CHECK, ABOUT_CHECK)
    parser.add_argument("--json", action="store_true", help="prints JSON instead of the table")
    run_flags.add_run_flags(parser, of_one_run=True)
    return parser.parse_args(arguments)


def parse_fetch(arguments: Sequence[str]) -> argparse.Namespace:
    """The flags of `run.py fetch`. Raises UsageError."""
    parser = _parser(FETCH, ABOUT_FETCH)
    parser.add_argument("what", choices=WHAT, help="what to fetch")
    parser.add_argument("folder", nargs="?", metavar="DIR", help="with bundle: the folder to fill")
    parser.add_argument(
        "--accept-license",
        action="store_true",
        help="agrees to Meta's licence of Llama 3's tokenizer, instead of a question",
    )
    run_flags.add_run_flags(parser, of_one_run=True)
    values = parser.parse_args(arguments)
    if list(arguments[: len(_named(values))]) != _named(values):
        raise UsageError(f"fetch: write {' '.join(['fetch', *_named(values)])} first, then flags.")
    if values.what == BUNDLE and values.folder is None:
        raise UsageError("fetch bundle: name the folder to fill, for example fetch bundle ./bundle")
    if values.what != BUNDLE and values.folder is not None:
        raise UsageError(
            f"fetch {values.what} {values.folder}: only fetch bundle takes a folder; leave it out."
        )
    return values


def flags_of_the_run(arguments: Sequence[str], values: argparse.Namespace) -> list[str]:
    """What of the arguments of `run.py fetch` are flags of a run."""
    return without_flag(arguments[len(_named(values)) :], "--accept-license")


def _named(values: argparse.Namespace) -> list[str]:
    """The words that say what is fetched, and where to."""
    return [values.what, *([] if values.folder is None else [str(values.folder)])]


def _parser(name: str, description: str) -> flags.Parser:
    parser = flags.Parser(description)
    parser.prog = f"{parser.prog} {name}"
    return parser
