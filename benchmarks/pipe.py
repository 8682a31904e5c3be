"""What LoadGen's process and its pipe cost: real LoadGen, and an engine that answers at once.

  python benchmarks/pipe.py                     (Server at 200 queries/s, then rising rates)
  python benchmarks/pipe.py --rates 200 --seconds 60

Whatever latency is measured here is not the engine's: the mean TTFT is the way of a query through
the pipe to the engine's client and of its first token back. The ceiling is the highest rate at
which the queries still go out on time and the mean TTFT stays under a tenth of a second; Offline
says how many answers of 128 tokens come back through the pipe in a second. JSON comes last.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import command
from benchmarks.temporary_run import temporary_run
from harness import flags
from harness.config import RunConfig, Scenario
from harness.inputs.dataset import Sample
from harness.loadgen.planning import Target
from harness.logs.detail import read_detail_log
from harness.machine import process_limits
from harness.measure import preparation, tests
from harness.results.folder import DETAIL_LOG

ANSWER_TOKENS = 128
SAMPLES = 13368
OFFLINE_SEQUENCES = 1024  # twice as many are in flight


class EchoEngine:
    """Answers at once: the prompt's first token, 128 times."""

    def __init__(self) -> None:
        self.tokens_generated = 0
        self.last_output_at = time.monotonic()

    def state(self) -> None:
        """A double has no scheduler."""

    def gpus_elsewhere(self) -> list[Any]:
        """Nor another machine."""
        return []

    def processes_of_ray(self) -> list[int]:
        return []

    async def answer(
        self, token_ids: list[int], on_first_token: Callable[[list[int]], None] | None = None
    ) -> list[int]:
        if on_first_token is not None:
            on_first_token(token_ids[:1])
        self.tokens_generated += ANSWER_TOKENS
        self.last_output_at = time.monotonic()
        return token_ids[:1] * ANSWER_TOKENS


@dataclass(frozen=True)
class Cost:
    """One test against the echo engine."""

    scenario: str
    asked_qps: float
    queries: int
    answered_per_s: float
    ttft_mean_ms: float | None
    ttft_p99_ms: float | None
    client_cpu_share: float  # of one core, in the process that drives the engine


async def measure(scenario: Scenario, qps: float, queries: int) -> Cost:
    """One LoadGen test of `queries` at `qps`, all samples one token long."""
    config = RunConfig(
        scenario=scenario,
        mode="performance",
        model="demo",
        dataset="synthetic",
        engine_args={"max_num_seqs": OFFLINE_SEQUENCES},
    )
    prepared = preparation.prepare(config, lambda _text: None)
    samples = tuple(Sample([1 + index % 1000], None) for index in range(SAMPLES))
    prepared = dataclasses.replace(
        prepared, dataset=dataclasses.replace(prepared.dataset, samples=samples)
    )
    with temporary_run(prepared, EchoEngine(), "pipe.py") as run:
        target = Target("this benchmark", queries, queries / qps, qps=qps)
        test = tests.probe(run, target, 1, f"{qps:g} queries/s")
        cpu_before_s = time.process_time()
        progress = await tests.loadgen_test(run, test)
        cpu_s = time.process_time() - cpu_before_s
        results = read_detail_log(test.log_dir / DETAIL_LOG).results

    def ms(key: str) -> float | None:
        value = results.get(key)
        return value / 1e6 if isinstance(value, int | float) else None

    rate = results.get("result_completed_samples_per_sec", results.get("result_samples_per_second"))
    assert isinstance(rate, int | float)
    return Cost(
        scenario=scenario.label,
        asked_qps=qps,
        queries=progress.samples_done,
        answered_per_s=rate,
        ttft_mean_ms=ms("result_first_token_mean_latency_ns"),
        ttft_p99_ms=ms("result_first_token_99.00_percentile_latency_ns"),
        client_cpu_share=cpu_s / progress.elapsed_s,
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a row for each rate, Offline last."""
    parser = flags.Parser(__doc__ or "")
    parser.add_argument(
        "--rates",
        type=command.above_zero,
        nargs="+",
        default=[200.0, 500.0, 1000.0, 2000.0, 3000.0, 4000.0],
        metavar="QPS",
        help="Server rates to try",
    )
    parser.add_argument(
        "--seconds", type=command.above_zero, default=20.0, help="length of each Server test"
    )
    values = parser.parse_args(arguments)
    print("scenario    asked/s    answered/s    mean TTFT ms    p99 TTFT ms    client CPU")
    costs = []
    tests = [(Scenario.SERVER, qps, max(1, round(qps * values.seconds))) for qps in values.rates]
    for scenario, qps, queries in [*tests, (Scenario.OFFLINE, 1.0, SAMPLES)]:
        cost = asyncio.run(measure(scenario, qps, queries))
        costs.append(cost)
        mean, p99 = (
            "-" if value is None else f"{value:.2f}"
            for value in (cost.ttft_mean_ms, cost.ttft_p99_ms)
        )
        asked = f"{qps:,.0f}" if scenario is Scenario.SERVER else "all"
        print(
            f"{cost.scenario:<9}{asked:>10}{cost.answered_per_s:>14,.0f}{mean:>16}{p99:>15}"
            f"{cost.client_cpu_share:>14.0%}",
            flush=True,
        )
    print(
        json.dumps(
            {"cores": process_limits.core_count(), "tests": [asdict(cost) for cost in costs]}
        )
    )
    return 0


if __name__ == "__main__":
    sys.exit(command.carry_out(main))
