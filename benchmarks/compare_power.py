"""How often `report.py compare` calls chance a difference, and how often it finds a known one.

  python benchmarks/compare_power.py                             a simulated engine, each scenario
  python benchmarks/compare_power.py RUN RUN                     two real runs of the same thing

From two real runs, pairs are made that differ by chance alone: both runs answered the same queries
in the same order, and for each stretch of them a coin says which run's times the first of the pair
gets, the other gets the other's. So each pair has the noise of the real engine, in its real order.
The simulated engine batches as vLLM does, with steps whose time is noisy and alike in a row; all
that differs within a pair is that noise. "Slower" is the second of a pair whose engine (of real
runs, whose times) takes that much longer.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from harness.config import Scenario
from harness.errors import BenchmarkError, UsageError
from harness.metrics import LatencyStats, LoadGenRun, PerformanceResult
from harness.report import comparison_measures as measures
from harness.report.comparison_runs import ComparedRun, TimedTest, read_runs
from harness.report.comparison_statistics import Array
from harness.results.folder import RunFolder
from harness.tables import text_lines

Pair = Callable[[np.random.Generator, float], tuple[TimedTest, TimedTest]]
SEED = 5
WHAT_DECIDES = "what decides"  # whichever figure that is, pair by pair
STRETCH_S = 10.0  # which times a pair gets is drawn anew after this
TOKENS_A_STEP, SEQUENCES = 5120, 1008  # the fp8 profile of an H100
MAX_STEPS = 200_000  # of one test
TIMELINE_EVERY_S = 0.25


@dataclasses.dataclass(frozen=True)
class Engine:
    """A step takes so long: the same for each, for each answer in it, for each prompt token."""

    step_s: float = 0.006
    answer_s: float = 35e-6
    prompt_token_s: float = 12e-6
    noise: float = 0.02  # standard deviation of a step's time, as a share
    alike: float = 0.9  # correlation of a step's noise with that of the next
    stalls: float = 0.002  # share of the steps that wait for something else
    stall_s: float = 0.1


def noisy_steps(engine: Engine, chance: np.random.Generator) -> tuple[Array, Array]:
    """A factor and a stall for each step."""
    shocks = chance.normal(size=MAX_STEPS) * engine.noise * (1 - engine.alike**2) ** 0.5
    levels = itertools.accumulate(shocks.tolist(), lambda last, shock: engine.alike * last + shock)
    factors: Array = np.exp(np.fromiter(levels, np.float64, MAX_STEPS))
    return factors, engine.stall_s * (chance.random(MAX_STEPS) < engine.stalls)


def simulate(
    issued_s: Array,
    prompts: Array,
    answers: Array,
    engine: Engine,
    chance: np.random.Generator,
    *,
    slower: float = 1.0,
    sequences: int = SEQUENCES,
) -> TimedTest:
    """The times of the queries when an engine batches them continuously, step by step."""
    factors, stalls = noisy_steps(engine, chance)
    count = len(issued_s)
    first_s, done_s, left = np.zeros(count), np.zeros(count), prompts.astype(int).tolist()
    arrivals, lengths = issued_s.tolist(), answers.astype(int).tolist()
    ending: dict[int, list[int]] = {}
    timeline: list[tuple[float, int, int]] = []
    now, step, head, decoding, done, tokens = 0.0, 0, 0, 0, 0, 0
    while done < count:
        if not decoding and head < count:
            now = max(now, arrivals[head])
        room, started = TOKENS_A_STEP - decoding, list[int]()
        while head < count and arrivals[head] <= now and decoding + len(started) < sequences:
            taken = min(left[head], room)
            left[head] -= taken
            room -= taken
            if left[head]:
                break
            started.append(head)
            head += 1
        prefilled = TOKENS_A_STEP - decoding - room
        seconds = engine.step_s + engine.answer_s * decoding + engine.prompt_token_s * prefilled
        now += slower * (seconds * factors[step] + stalls[step])
        tokens += decoding + len(started)
        finished = ending.pop(step, [])
        done_s[finished] = now
        first_s[started] = now
        for query in started:
            ending.setdefault(step + max(lengths[query] - 1, 1), []).append(query)
        decoding += len(started) - len(finished)
        done += len(finished)
        step += 1
        if not timeline or now >= timeline[-1][0] + TIMELINE_EVERY_S or done == count:
            timeline.append((now, tokens, done))
    points = np.array(timeline, dtype=np.float64).T
    return TimedTest(np.arange(count), issued_s, first_s, done_s, answers, *points)


def simulated_pair(scenario: Scenario, load: float, *, same_queries: bool = True) -> Pair:
    """Pairs of full-size tests; `load` is the rate asked for in queries/s (Offline: 0)."""

    def pair(chance: np.random.Generator, slower: float) -> tuple[TimedTest, TimedTest]:
        asked = [queries(chance)] * 2 if same_queries else [queries(chance), queries(chance)]
        first = simulate(*asked[0], Engine(), chance)
        second = simulate(*asked[1], Engine(), chance, slower=slower)
        if not same_queries:
            second = dataclasses.replace(second, sample_index=second.sample_index + 1)
        return first, second

    def queries(chance: np.random.Generator) -> tuple[Array, Array, Array]:
        count = {Scenario.OFFLINE: 3 * 13_368, Scenario.SERVER: int(600 * load)}.get(scenario, 1100)
        prompts = np.clip(chance.lognormal(6.67, 0.45, count), 60, 2540)
        answers = np.minimum(128, chance.integers(60, 260, count)).astype(np.float64)
        if scenario is Scenario.SERVER:
            return np.cumsum(chance.exponential(1 / load, count)), prompts, answers
        return np.zeros(count), prompts, answers

    def one_at_a_time(chance: np.random.Generator, slower: float) -> tuple[TimedTest, TimedTest]:
        _, prompts, answers = queries(chance)
        return _alone(prompts, answers, chance, 1.0), _alone(prompts, answers, chance, slower)

    return one_at_a_time if scenario is Scenario.SINGLESTREAM else pair


def _alone(prompts: Array, answers: Array, chance: np.random.Generator, slower: float) -> TimedTest:
    """SingleStream: a query comes when the one before is answered."""
    engine = Engine()
    factors, stalls = noisy_steps(engine, chance)
    steps = answers.astype(int)
    ends = np.cumsum(steps)
    seconds = slower * (engine.step_s * factors[: ends[-1]] + stalls[: ends[-1]])
    seconds[ends - steps] += slower * engine.prompt_token_s * prompts
    passed = np.cumsum(seconds)
    done_s, first_s = passed[ends - 1], passed[ends - steps]
    issued_s = np.concatenate(([0.0], done_s[:-1]))
    order = np.arange(len(prompts))
    return TimedTest(
        order, issued_s, first_s, done_s, answers, done_s, np.cumsum(answers), order + 1.0
    )


def real_pair(first: ComparedRun, second: ComparedRun) -> Pair:
    """Pairs that swap stretches of two real runs, whose queries were the same."""
    if not first.test.asked_the_same(second.test):
        raise UsageError("The two runs did not issue the same queries in the same order.")
    gaps = [_gaps(run.test) for run in (first, second)]

    def pair(chance: np.random.Generator, slower: float) -> tuple[TimedTest, TimedTest]:
        stretch = (first.test.issued_s // STRETCH_S).astype(int)
        if first.scenario is Scenario.OFFLINE:
            stretch = (first.test.completed_s // STRETCH_S).astype(int)
        coin = chance.random(int(stretch.max()) + 1) < 0.5
        of_queries = coin[stretch]
        of_gaps = coin[np.minimum((np.cumsum(gaps[0][0]) // STRETCH_S).astype(int), len(coin) - 1)]
        return (
            _mixed(
                first.test, second.test, of_queries, np.where(of_gaps, *_seconds(gaps)), gaps, 1
            ),
            _mixed(
                second.test,
                first.test,
                of_queries,
                np.where(of_gaps, *_seconds(gaps)[::-1]),
                gaps,
                slower,
            ),
        )

    return pair


def _gaps(test: TimedTest, count: int = 4000) -> tuple[Array, Array, Array]:
    """The seconds between cuts at equal shares of the tokens, and tokens and answers by then."""
    cuts = np.linspace(0, test.timeline_tokens[-1], count + 1)
    moments = np.interp(cuts, test.timeline_tokens, test.timeline_s)
    return np.diff(moments), cuts[1:], np.interp(moments[1:], test.timeline_s, test.timeline_done)


def _seconds(gaps: Sequence[tuple[Array, Array, Array]]) -> tuple[Array, Array]:
    return gaps[0][0], gaps[1][0]


def _mixed(
    one: TimedTest,
    other: TimedTest,
    of_one: Any,
    seconds: Array,
    gaps: Sequence[Any],
    slower: float,
) -> TimedTest:
    def times(whole: str) -> Array:
        mixed: Array = np.where(of_one, one.times_ms[whole], other.times_ms[whole]) / 1000
        return slower * mixed

    _, tokens, done = gaps[0]
    return dataclasses.replace(
        one,
        first_token_s=one.issued_s + times("ttft"),
        completed_s=one.issued_s + times("latency"),
        timeline_s=slower * np.cumsum(seconds),
        timeline_tokens=tokens,
        timeline_done=done,
    )


def as_run(test: TimedTest, scenario: Scenario, fill: int, qps: float | None) -> ComparedRun:
    """What the comparison asks of a run."""
    config = {
        "flags": {"scenario": scenario.value},
        "resolved": {"engine": {"max_num_seqs": fill}},
    }
    log: Any = LoadGenRun.__new__(LoadGenRun)
    nothing = (None,) * 5
    result = PerformanceResult(
        scenario.loadgen_name, *nothing, qps, None, LatencyStats(), None, None, log
    )
    return ComparedRun("A", RunFolder(Path()), config, result, test)


@dataclasses.dataclass
class Calls:
    """How many pairs a figure called different."""

    decided: int = 0  # pairs that this figure decided
    alarms: int = 0  # of those that are alike
    found: int = 0  # of those in which the second is slower
    beyond: int = 0  # of these, slower by more than 2 %


def calls(
    pair: Pair, scenario: Scenario, fill: int, qps: float | None, pairs: int, slower: float
) -> dict[str, Calls]:
    """Each figure that has an interval by its name."""
    by_figure: dict[str, Calls] = {}
    for number in range(pairs):
        for factor in (1.0, slower):
            chance = np.random.default_rng([number, int(1000 * factor), SEED])
            runs = [as_run(test, scenario, fill, qps) for test in pair(chance, factor)]
            figures = measures.figures(runs)
            decided = measures.deciding(figures, runs, 1).figure
            for name, figure in [(f.name, f) for f in figures] + [(WHAT_DECIDES, decided)]:
                if figure is None or (by := figure.slower_by(1)) is None:
                    continue
                counted = by_figure.setdefault(name, Calls())
                counted.decided += factor == 1.0 and figure is decided
                if factor == 1.0:
                    counted.alarms += not by[1] <= 0 <= by[2]
                else:
                    counted.found += by[1] > 0
                    counted.beyond += by[1] > 0.02
    return by_figure


def main(argv: Sequence[str] | None = None) -> int:
    """Prints a table; the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="*", help="two real runs")
    parser.add_argument("--pairs", type=int, default=200, help="(default: 200)")
    parser.add_argument("--slower", type=float, default=3.0, metavar="PERCENT", help="(default: 3)")
    arguments = parser.parse_args(argv)
    try:
        cases = _real(arguments.runs) if arguments.runs else _simulated()
    except BenchmarkError as error:
        print(f"compare_power.py: {error}", file=sys.stderr)
        return error.exit_status
    pairs, slower = arguments.pairs, 1 + arguments.slower / 100
    head = ("figure", "decided", "alarms", f"{arguments.slower:g} % found", "as more than 2 %")
    for title, pair, scenario, fill, qps in cases:
        by_figure = calls(pair, scenario, fill, qps, pairs, slower)
        rows = [head] + [
            (
                name,
                str(c.decided),
                *(f"{100 * n / pairs:.1f} %" for n in dataclasses.astuple(c)[1:]),
            )
            for name, c in by_figure.items()
        ]
        print(f"{title}, {pairs} pairs", *text_lines(rows, {1, 2, 3, 4}), "", sep="\n", flush=True)
    return 0


def _real(paths: Sequence[Path]) -> list[tuple[str, Pair, Scenario, int, float | None]]:
    first, second = read_runs(paths[:2])
    name = f"{first.scenario.label}: {len(first.test.tokens):,} real queries"
    pair = real_pair(first, second)
    return [(name, pair, first.scenario, first.fill, first.result.target_qps)]


def _simulated() -> list[tuple[str, Pair, Scenario, int, float | None]]:
    offline, server, single = Scenario.OFFLINE, Scenario.SERVER, Scenario.SINGLESTREAM
    pairs: list[tuple[str, Pair, Scenario, int, float | None]] = [
        ("SingleStream, 1,100 queries", simulated_pair(single, 0), single, 1, None)
    ]
    for load in (30.0, 50.0, 60.0, 63.0, 66.0):
        pair = simulated_pair(server, load)
        pairs.append((f"Server at {load:g} queries/s, 600 s", pair, server, SEQUENCES, load))
    pair = simulated_pair(server, 50.0, same_queries=False)
    pairs.append(("Server at 50 queries/s, other queries", pair, server, SEQUENCES, 50.0))
    pairs.append(("Offline, 40,104 samples", simulated_pair(offline, 0), offline, SEQUENCES, None))
    pair = simulated_pair(offline, 0, same_queries=False)
    pairs.append(("Offline, other samples", pair, offline, SEQUENCES, None))
    return pairs


if __name__ == "__main__":
    sys.exit(main())
