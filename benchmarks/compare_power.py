"""How often `report.py compare` calls chance a difference, and how often it finds a known one.

  python benchmarks/compare_power.py                             a simulated engine, each scenario
  python benchmarks/compare_power.py RUN RUN                     two real runs of the same thing

From two real runs, pairs are made that differ by chance alone: both runs answered the same queries
in the same order, and for each stretch of them a coin says which run's times the first of the pair
gets, the other gets the other's. So each pair has the noise of the real engine, in its real order.
The simulated engine batches as vLLM does, with steps whose time is noisy and alike in a row; all
that differs within a pair is that noise. "Slower" is the second of a pair whose engine (of real
runs, whose times) takes that much longer. With --start-to-start every test's engine is besides
slower or faster as a whole by chance: what no single test shows.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np

from benchmarks import command
from benchmarks.simulated_engine import SEQUENCES, Engine, one_at_a_time, simulate
from harness import flags
from harness.config import Scenario
from harness.errors import UsageError
from harness.metrics import LatencyStats, LoadGenRun, PerformanceResult
from harness.report import comparison_measures as measures
from harness.report.comparison_runs import ComparedRun, TimedTest, read_runs
from harness.report.comparison_statistics import Array
from harness.results.folder import RunFolder
from harness.tables import text_lines

Case = tuple[str, "Pair", Scenario, int, float | None]  # title, pairs, and what a run is
Pair = Callable[[np.random.Generator, float], tuple[TimedTest, TimedTest]]
SEED = 5
WHAT_DECIDES = "what decides"  # whichever figure that is, pair by pair
STRETCHES = 60  # of a test, for each of which a coin says whose times a pair gets


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

    def alone(chance: np.random.Generator, slower: float) -> tuple[TimedTest, TimedTest]:
        _, prompts, answers = queries(chance)
        first, second = (
            one_at_a_time(prompts, answers, Engine(), chance, slower=s) for s in (1.0, slower)
        )
        return first, second

    return alone if scenario is Scenario.SINGLESTREAM else pair


def real_pair(first: ComparedRun, second: ComparedRun) -> Pair:
    """Pairs that swap stretches of two real runs, whose queries were the same."""
    if not first.test.asked_the_same(second.test):
        raise UsageError("The two runs did not issue the same queries in the same order.")
    gaps = [_gaps(run.test) for run in (first, second)]
    seconds = (gaps[0][0], gaps[1][0])

    def pair(chance: np.random.Generator, slower: float) -> tuple[TimedTest, TimedTest]:
        offline = first.scenario is Scenario.OFFLINE
        moments = first.test.completed_s if offline else first.test.issued_s
        long_s = float(moments.max()) / STRETCHES
        stretch = (moments // long_s).astype(int)
        coin = chance.random(int(stretch.max()) + 1) < 0.5
        of_queries = coin[stretch]
        of_gaps = coin[np.minimum((np.cumsum(seconds[0]) // long_s).astype(int), len(coin) - 1)]
        one, other = (np.where(of_gaps, *between) for between in (seconds, seconds[::-1]))
        # While queries come at a set rate, tokens come no later for a slower engine.
        other *= 1.0 if first.result.scenario == "Server" else slower
        return (
            _mixed(first.test, second.test, of_queries, gaps[0], one),
            _mixed(second.test, first.test, of_queries, gaps[0], other, slower),
        )

    return pair


def _gaps(test: TimedTest, count: int = 4000) -> tuple[Array, Array, Array]:
    """The seconds between cuts at equal shares of the tokens, and tokens and answers by then."""
    cuts = np.linspace(0, test.timeline_tokens[-1], count + 1)
    moments = np.interp(cuts, test.timeline_tokens, test.timeline_s)
    return np.diff(moments), cuts[1:], np.interp(moments[1:], test.timeline_s, test.timeline_done)


def _mixed(
    one: TimedTest,
    other: TimedTest,
    of_one: Any,
    gaps: tuple[Array, Array, Array],
    seconds: Array,
    slower: float = 1.0,
) -> TimedTest:
    def times(whole: str) -> Array:
        mixed: Array = np.where(of_one, one.times_ms[whole], other.times_ms[whole]) / 1000
        return slower * mixed

    return dataclasses.replace(
        one,
        first_token_s=one.issued_s + times("ttft"),
        completed_s=one.issued_s + times("latency"),
        timeline_s=np.cumsum(seconds),
        timeline_tokens=gaps[1],
        timeline_done=gaps[2],
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
    """How many pairs a figure called different, of those it had an interval for."""

    decided: int = 0  # pairs that this figure decided
    alike: int = 0  # pairs without a difference
    alarms: int = 0  # of those
    slower: int = 0  # pairs in which the second is slower
    found: int = 0  # of those
    beyond: int = 0  # of those, as slower by more than 2 %

    def row(self, name: str) -> tuple[str, ...]:
        """A row of the table."""
        shares = ((self.alarms, self.alike), (self.found, self.slower), (self.beyond, self.slower))
        texts = (f"{100 * part / whole:.1f} %" if whole else "-" for part, whole in shares)
        return (name, str(self.decided), str(self.alike), *texts)


def calls(
    pair: Pair,
    settings: tuple[Scenario, int, float | None],
    pairs: int,
    slower: float,
    start_to_start: float = 0.0,
) -> dict[str, Calls]:
    """Each figure that has an interval by its name; `start_to_start` is a standard deviation."""
    by_figure: dict[str, Calls] = {}
    for number in range(pairs):
        for factor in (1.0, slower):
            chance = np.random.default_rng([number, int(1000 * factor), SEED])
            started = float(np.exp(start_to_start * 2**0.5 * chance.normal()))
            runs = [as_run(test, *settings) for test in pair(chance, factor * started)]
            figures = measures.figures(runs)
            decided = measures.deciding(figures, runs, 1).figure
            for name, figure in [(f.name, f) for f in figures] + [(WHAT_DECIDES, decided)]:
                if figure is None or (by := figure.slower_by(1)) is None:
                    continue
                counted = by_figure.setdefault(name, Calls())
                if factor == 1.0:
                    counted.alike += 1
                    counted.decided += figure is decided
                    counted.alarms += not by[1] <= 0 <= by[2]
                else:
                    counted.slower += 1
                    counted.found += by[1] > 0
                    counted.beyond += by[1] > 0.02
    return by_figure


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a table; the exit status."""
    parser = flags.Parser(__doc__ or "")
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="*", help="two real runs")
    parser.add_argument(
        "--pairs", type=command.count, default=200, help="of each case, alike and slower"
    )
    parser.add_argument(
        "--slower",
        type=command.above_zero,
        default=3.0,
        metavar="PERCENT",
        help="the second of a pair, where it is",
    )
    parser.add_argument(
        "--start-to-start",
        type=float,
        default=0.0,
        metavar="PERCENT",
        help="standard deviation of a test's engine as a whole",
    )
    parser.add_argument("--only", metavar="TEXT", help="cases with this in their title")
    values = parser.parse_args(arguments)
    if values.runs and len(values.runs) != 2:
        parser.error(f"{len(values.runs)} run folders: name the two runs that pairs are made of")
    everything = _real(values.runs) if values.runs else _simulated()
    cases = [case for case in everything if (values.only or "") in case[0]]
    if not cases:
        titles = "; ".join(case[0] for case in everything)
        parser.error(f"--only {values.only}: no case has this in its title; there are {titles}")
    pairs, slower = values.pairs, 1 + values.slower / 100
    found = f"{values.slower:g} % found"
    head = ("figure", "decided", "pairs", "alarms", found, "as more than 2 %")
    for title, pair, scenario, fill, qps in cases:
        settings = (scenario, fill, qps)
        by_figure = calls(pair, settings, pairs, slower, values.start_to_start / 100)
        rows = [head, *(counted.row(name) for name, counted in by_figure.items())]
        print(
            f"{title}, {pairs} pairs", *text_lines(rows, {1, 2, 3, 4, 5}), "", sep="\n", flush=True
        )
    return 0


def _real(paths: Sequence[Path]) -> list[Case]:
    first, second = read_runs(paths)
    name = f"{first.scenario.label}: {len(first.test.tokens):,} real queries"
    pair = real_pair(first, second)
    return [(name, pair, first.scenario, first.fill, first.result.target_qps)]


def _simulated() -> list[Case]:
    offline, server, single = Scenario.OFFLINE, Scenario.SERVER, Scenario.SINGLESTREAM
    pairs: list[Case] = [
        ("SingleStream, 1,100 queries", simulated_pair(single, 0), single, 1, None)
    ]
    for load in (50.0, 60.0, 63.0, 66.0):
        pair = simulated_pair(server, load)
        pairs.append((f"Server at {load:g} queries/s, 600 s", pair, server, SEQUENCES, load))
    pair = simulated_pair(server, 50.0, same_queries=False)
    pairs.append(("Server at 50 queries/s, other queries", pair, server, SEQUENCES, 50.0))
    pairs.append(("Offline, 40,104 samples", simulated_pair(offline, 0), offline, SEQUENCES, None))
    pair = simulated_pair(offline, 0, same_queries=False)
    pairs.append(("Offline, other samples", pair, offline, SEQUENCES, None))
    return pairs


if __name__ == "__main__":
    sys.exit(command.carry_out(main))
