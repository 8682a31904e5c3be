"""Files damaged at random, and what the programs make of them: an answer or a sentence, always.

  python -m tests.mutations --count 10000 --seed 1
      run folders of each kind, data sets, MMLU's files, the index and the tuning results
  python -m tests.mutations --count 1 --first 4711 --seed 1
      one of them again

A mutation passes when its program gives a normal answer or one sentence. Anything else fails: an
exception of another kind, more than 10 seconds of work, or a result that counts as much as before
with other figures. The numbers of the failures and what was done are printed.

Exit status: 0 all passed; 1 some did not.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from harness.errors import BenchmarkError
from harness.logs import answers
from harness.metrics import Generation
from tests.mutation_targets import Facts, Target, targets
from tests.mutators import damage

LIMIT_CPU_S = 10  # of this process: a busy machine is no hang
LIMIT_S = 120  # in all, for what waits and works at nothing
DELETED, A_FOLDER = "deleted", "a folder in its place"
ANSWER, SENTENCE = "answer", "sentence"  # how a mutation may pass
# Figures that one file alone holds, so that nothing can contradict another one there.
SAID_ONCE = {
    r"/run/accuracy/(rouge|gates/\d/value|run_gen_len)": "only scoring again could tell",
    r"/run/accuracy/not_judged_because": "a reason, and no figure",
    r"/not_official": "the same in a few words; those that its flags tell cannot be lost",
    r"/run/performance/efficiency": "by the cards and the price that the record alone holds",
    r"/departures": "words of the run itself; the rules are judged by its logs and flags",
    r"(/run/performance)?/total_new_tokens": "to five digits, as LoadGen's rates tell it",
    r"(/run/performance)?/duration_s": "our own clock, which may be 5 s beside LoadGen's",
    r"/run/performance/(over_limit|goodput)": "by our own clock, and LoadGen's figures decide",
}
DRAWERS = ("report.plots", "report.latency_plots", "report.search_plot", "mmlu.plots")


@dataclass(frozen=True)
class Mutation:
    """One damaged file and what came of it; `outcome` is answer or sentence, or what is wrong."""

    number: int
    target: str
    file: str
    what: str
    outcome: str
    detail: str = ""  # a traceback, or the sentence

    @property
    def passed(self) -> bool:
        """Whether that is how it should be."""
        return self.outcome in (ANSWER, SENTENCE)


class Hang(BaseException):
    """A program took longer than it may."""


class Mutations:
    """A series that one seed decides; each mutation is its number's, whatever ran before it."""

    def __init__(self, root: Path, seed: int, figures_every: int):
        self._targets = targets(root)
        self._seed = seed
        self._figures_every = figures_every  # of so many, one draws its figures
        with light_reading():
            self._before = {target.name: self._used(target) for target in self._targets}

    def _used(self, target: Target) -> Facts:
        with no_figures():
            return target.use()

    def run(self, numbers: Sequence[int]) -> Iterator[Mutation]:
        """These mutations, one after the other."""
        with light_reading():
            for number in numbers:
                yield self._one(number)

    def _one(self, number: int) -> Mutation:
        rng = random.Random(f"{self._seed} {number}")
        weights = [target.share for target in self._targets]
        (target,) = rng.choices(self._targets, weights)
        path = rng.choice(target.files)
        content = path.read_bytes()
        if (way := rng.random()) < 0.04:
            what = DELETED if way < 0.02 else A_FOLDER
            path.unlink()
            if what == A_FOLDER:
                path.mkdir()
        else:
            what, changed = damage(rng, path, content)
            if changed == content:
                return Mutation(number, target.name, path.name, "nothing", ANSWER)
            path.write_bytes(changed)
        draws = self._figures_every > 0 and rng.randrange(self._figures_every) == 0
        try:
            with contextlib.nullcontext() if draws else no_figures():
                outcome, detail = self._outcome(target)
        finally:
            if path.is_dir():
                shutil.rmtree(path)
            path.write_bytes(content)
        return Mutation(number, target.name, path.name, what, outcome, detail)

    def _outcome(self, target: Target) -> tuple[str, str]:
        try:
            with at_most(LIMIT_CPU_S, LIMIT_S):
                after = target.use()
        except BenchmarkError as error:
            return SENTENCE, str(error)
        except Hang:
            return "hang", traceback.format_exc()
        except Exception as error:  # the very thing that is looked for
            return type(error).__name__, traceback.format_exc()
        before = self._before[target.name]
        if after.worth >= max(before.worth, 1):
            found = differences(before.figures, after.figures, official=before.worth > 1)
            others = [line for line in found if not any(re.match(p, line) for p in SAID_ONCE)]
            if others:
                return "contradiction", "\n".join(others)
        return ANSWER, ""


def differences(before: Any, after: Any, *, official: bool, path: str = "") -> Iterator[str]:
    """Where two values differ, a line each.

    What is missing is no other figure; an official result has to have all of them.
    """
    if isinstance(before, dict) and isinstance(after, dict):
        for key in dict.fromkeys((*before, *after)):
            inner = before.get(key), after.get(key)
            yield from differences(*inner, official=official, path=f"{path}/{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, inner in enumerate(zip(before, after, strict=True)):
            yield from differences(*inner, official=official, path=f"{path}/{number}")
    elif before != after and (official or not _is_nothing(after)):
        yield f"{path}: {before!r} became {after!r}"


def _is_nothing(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(_is_nothing, value.values()))
    return value in (None, [])


@contextlib.contextmanager
def at_most(cpu_s: int, seconds: int) -> Iterator[None]:
    """Raises Hang in what works or takes longer."""

    def late(_number: int, _frame: object) -> None:
        raise Hang

    timers = ((signal.ITIMER_PROF, signal.SIGPROF, cpu_s),
              (signal.ITIMER_REAL, signal.SIGALRM, seconds))  # fmt: skip
    before = {number: signal.signal(number, late) for _, number, _ in timers}
    for timer, _, limit_s in timers:
        signal.setitimer(timer, limit_s)
    try:
        yield
    finally:
        for timer, number, _ in timers:
            signal.setitimer(timer, 0)
            signal.signal(number, before[number])


class Blank:
    """Stands for a figure and everything in it: takes any call and shows nothing."""

    def __init__(self, parts: int = 2) -> None:
        self._parts = parts

    def __getattr__(self, _name: str) -> Blank:
        return self

    def __call__(self, *arguments: object, **_options: object) -> Blank:
        """Of a list as many parts as it has, as bars have; else two, as a pair of axes."""
        return Blank(len(arguments[0])) if arguments and isinstance(arguments[0], list) else Blank()

    def plot(self, *_arguments: object, **_options: object) -> Blank:
        """A line."""
        return Blank(1)

    def __iter__(self) -> Iterator[Blank]:
        return iter([Blank()] * self._parts)


@contextlib.contextmanager
def no_figures() -> Iterator[None]:
    """What a figure is made of is worked out; nothing is drawn, which would take a second."""

    @contextlib.contextmanager
    def figure_at(path: Path, *_arguments: object, **_options: object) -> Iterator[Blank]:
        yield Blank()
        path.touch()

    with contextlib.ExitStack() as stack:
        for module in DRAWERS:
            stack.enter_context(mock.patch(f"harness.{module}.figure_at", figure_at))
        yield


@contextlib.contextmanager
def light_reading() -> Iterator[None]:
    """The large accuracy logs of official runs are read once as long as they are whole."""
    read: dict[bytes, list[Generation]] = {}
    original = answers.read_answers

    def once(path: Path) -> list[Generation]:
        content = path.read_bytes() if path.is_file() else b""
        if len(content) < 100_000:
            return original(path)
        if content not in read:
            read.clear()
            read[content] = original(path)
        return read[content]

    with mock.patch("harness.rules.read.read_answers", once):
        yield


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the series and prints what failed; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=10_000, help="how many mutations")
    parser.add_argument("--seed", type=int, default=1, help="of the series")
    parser.add_argument("--first", type=int, default=0, help="the number of the first mutation")
    parser.add_argument("--figures-every", type=int, default=10, help="of N, one draws figures")
    asked = parser.parse_args(argv)
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as root:
        series = Mutations(Path(root), asked.seed, asked.figures_every)
        done = []
        for mutation in series.run(range(asked.first, asked.first + asked.count)):
            done.append(mutation)
            if not mutation.passed:
                print(f"no. {mutation.number}, {mutation.target}, {mutation.file}: {mutation.what}")
                print(f"  {mutation.outcome}\n{mutation.detail}", flush=True)
    for target, outcomes in tally(done):
        print(f"{target:32} {outcomes}")
    failed = sum(not mutation.passed for mutation in done)
    print(f"{len(done):,} mutations, {failed} failed, {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


def tally(done: Sequence[Mutation]) -> Iterator[tuple[str, str]]:
    """For each target how its mutations ended."""
    for target in sorted({mutation.target for mutation in done}):
        counts = Counter(m.outcome for m in done if m.target == target)
        yield target, ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))


if __name__ == "__main__":
    sys.exit(main())
