"""Does --server-target-qps max find the knee? Real LoadGen against an engine whose knee is known.

  python benchmarks/server_knee.py                 (the search alone, some minutes)
  python benchmarks/server_knee.py --full          (and whole 600-second tests below and above it)

The engine double has SLOTS places and answers each query a fixed time after it got one, so it
holds exactly SLOTS / time queries per second and falls behind above that. Everything else is real:
LoadGen, the pipe, the system under test, the search and the official settings. JSON comes last.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import command
from benchmarks.temporary_run import temporary_run
from harness import flags
from harness.config import RunConfig, Scenario
from harness.logs.performance import performance_result
from harness.measure import highest_rate, performance, preparation
from harness.measure.active import ActiveRun
from harness.measure.targets import ServerRate
from harness.measure.warm_up import warm_up
from harness.rules.validity import invalid_reasons
from harness.terminal import Terminal

ANSWER_TOKENS = 128


class SlotEngine:
    """Answers `slots` queries at a time, each `answer_s` seconds after it found a free slot."""

    def __init__(self, slots: int, answer_s: float):
        self.tokens_generated = 0
        self.last_output_at = time.monotonic()
        self._slots = asyncio.Semaphore(slots)
        self._answer_s = answer_s

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
        async with self._slots:
            ends = time.monotonic() + self._answer_s
            if on_first_token is not None:
                on_first_token(token_ids[:1])
            # To a moment, not for a time: what the event loop loses must not lower the capacity.
            await asyncio.sleep(ends - time.monotonic())
        self.tokens_generated += ANSWER_TOKENS
        self.last_output_at = time.monotonic()
        return (token_ids * ANSWER_TOKENS)[:ANSWER_TOKENS]


async def measure(run: ActiveRun, capacity: float, full: bool) -> dict[str, Any]:
    """The rate found, and with `full` the verdicts of whole tests at it and above the knee."""
    await warm_up(run)
    await highest_rate.find_rate(run)
    assert run.server_rate is not None
    found = run.server_rate.qps
    print(f"found {found:.2f} queries/s; the engine holds {capacity:.2f}: {found / capacity:.4f}")
    result: dict[str, Any] = {
        "capacity_qps": capacity,
        "found_qps": found,
        "ratio": found / capacity,
    }
    if full:
        for name, qps in (("at the rate found", found), ("2 % above the knee", 1.02 * capacity)):
            run.server_rate = ServerRate(qps, "this benchmark")
            await performance.measure(run, performance.choose_target(run))
            verdict = performance_result(run.folder.path)
            assert verdict is not None
            print(f"{name}: {qps:.2f} queries/s, LoadGen says {verdict.loadgen.valid}")
            result[name] = {
                "qps": qps,
                "valid": not invalid_reasons(verdict),
                "duration_s": verdict.duration_s,
                "samples": verdict.sample_count,
                "ttft_mean_ms": verdict.ttft.mean_ms if verdict.ttft else None,
                "ttft_p99_ms": verdict.ttft.p99_ms if verdict.ttft else None,
                "tpot_p99_ms": verdict.tpot.p99_ms if verdict.tpot else None,
            }
    return result


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the rate found against the one known."""
    parser = flags.Parser(__doc__ or "")
    parser.add_argument(
        "--slots", type=command.count, default=200, help="queries answered at a time"
    )
    parser.add_argument(
        "--answer-s", type=command.above_zero, default=1.0, help="seconds for each answer"
    )
    parser.add_argument("--full", action="store_true", help="also two whole 600-second tests")
    values = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING)
    config = RunConfig(
        model="demo",
        dataset="synthetic",
        scenario=Scenario.SERVER,
        mode="performance",
        server_target_qps="max",
    )
    prepared = preparation.prepare(config, Terminal().say)
    engine = SlotEngine(values.slots, values.answer_s)
    with temporary_run(prepared, engine, "server_knee.py") as run:
        capacity = values.slots / values.answer_s
        result = asyncio.run(measure(run, capacity, values.full))
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(command.carry_out(main))
