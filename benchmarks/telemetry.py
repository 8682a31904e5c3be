"""What looking at the machine while a test runs costs: tests with telemetry and without, in turn.

  python benchmarks/telemetry.py --model demo --samples 2000
  python benchmarks/telemetry.py --model demo --samples 600 --every 0.05
  python benchmarks/telemetry.py --weights dummy --precision fp8 --samples 8000        (one GPU)

One engine, loaded once, answers Offline tests on / off, off / on, on / off ... (--pairs). Prints
tokens per second of each, the ratio on / off with its 95 % interval over the pairs, and the CPU
time that one look takes; a JSON line last. On a machine that has other work the cost of a look each
second is lost in the noise: --every 0.05 looks 20 times as often and divides what it finds by 20.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import math
import os
import resource
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import command
from benchmarks.temporary_run import temporary_run
from harness import flags
from harness.config import RunConfig, validate
from harness.engine import life as engine_life
from harness.engine.vllm import Engine
from harness.loadgen.answering import Progress
from harness.loadgen.burst import burst
from harness.loadgen.planning import Target
from harness.logs.detail import number, read_detail_log
from harness.machine import process_limits, telemetry
from harness.machine.telemetry import watching
from harness.measure import preparation, tests
from harness.measure.active import ActiveRun
from harness.measure.preparation import Prepared
from harness.report.comparison_statistics import student_quantile
from harness.results.folder import DETAIL_LOG

LOOKS = 20  # that are timed alone


async def pairs_of(prepared: Prepared, count: int) -> tuple[list[tuple[float, float]], float]:
    """Tokens per second with telemetry and without in each pair, and the CPU seconds of a look."""
    engine = Engine(prepared.plan, prepared.sampling)
    stall_timeout_s = prepared.config.stall_timeout_s
    try:
        await engine_life.load(engine, stall_timeout_s)
        with temporary_run(prepared, engine, "telemetry.py") as run:
            await burst(engine, run.prompts, stall_timeout_s=stall_timeout_s, progress=Progress())
            pairs = [await _one_pair(run, number) for number in range(1, count + 1)]
            look_s = await asyncio.to_thread(_cpu_of_a_look, run)
    finally:
        engine_life.shut_down(engine)
    return pairs, look_s


async def _one_pair(run: ActiveRun, number: int) -> tuple[float, float]:
    """Tokens per second with telemetry and without; every other pair begins without."""
    order = (True, False) if number % 2 else (False, True)
    rates = {looks: await _one_test(run, looks=looks) for looks in order}
    on, off = rates[True], rates[False]
    print(f"pair {number}: on {on:,.1f}, off {off:,.1f} tokens/s", flush=True)
    return on, off


async def _one_test(run: ActiveRun, *, looks: bool) -> float:
    """Tokens per second of one Offline test, by LoadGen."""
    samples = len(run.prompts)
    target = Target("a benchmark", samples, expected_duration_s=1, qps=1)
    test = tests.performance_test(run, target)
    await tests.loadgen_test(run, test if looks else dataclasses.replace(test, telemetry_csv=None))
    results = read_detail_log(run.folder.performance / DETAIL_LOG).results
    rate = number(results, "result_tokens_per_second")
    assert rate is not None  # an Offline test that ended has it
    return rate


def _cpu_of_a_look(run: ActiveRun) -> float:
    """CPU seconds of this process for each look, while the engine is loaded and has no work."""
    spent = []
    for looks in (False, True):
        before = _cpu_s()
        if looks:
            with watching(lambda: 0.0, run.engine.state, run.prepared.plan.system.gpu_count):
                time.sleep(LOOKS * telemetry.LOOK_EVERY_S)
        else:
            time.sleep(LOOKS * telemetry.LOOK_EVERY_S)
        spent.append(_cpu_s() - before)
    return (spent[1] - spent[0]) / LOOKS


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def interval(pairs: Sequence[tuple[float, float]]) -> tuple[float, float, float]:
    """The ratio on / off, and the ends of its 95 % interval over the pairs."""
    logs = [math.log(on / off) for on, off in pairs]
    middle = statistics.fmean(logs)
    half = student_quantile(len(logs) - 1) * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(middle), math.exp(middle - half), math.exp(middle + half)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures the pairs and prints the ratio."""
    parser = flags.Parser(__doc__ or "")
    parser.add_argument(
        "--samples", type=command.count, default=2000, help="synthetic prompts of a test"
    )
    parser.add_argument(
        "--pairs", type=command.count, default=6, help="tests with telemetry, and without"
    )
    parser.add_argument(
        "--every", type=command.above_zero, default=1.0, help="seconds between two looks"
    )
    group = parser.add_argument_group("model and engine")
    flags.add_model_flags(group)
    flags.add_engine_flags(group)
    values = vars(parser.parse_args(arguments))
    samples, count, every_s = (values.pop(name) for name in ("samples", "pairs", "every"))
    if count < 2:
        parser.error(f"--pairs {count}: an interval needs 2 pairs or more")
    usual_s, telemetry.LOOK_EVERY_S = telemetry.LOOK_EVERY_S, every_s
    times_as_often = usual_s / every_s
    telemetry.FAMILY_EVERY_S /= times_as_often
    config = RunConfig(
        **values, dataset="synthetic", mode="performance", total_sample_count=samples
    )
    validate(config)
    load_before = os.getloadavg()[0]
    prepared = preparation.prepare(config, lambda text: print(text, flush=True))
    pairs, look_s = asyncio.run(pairs_of(prepared, count))
    ratio, low, high = interval(pairs)
    cost, lowest_cost, highest_cost = ((1 - value) / times_as_often for value in (ratio, high, low))
    share = look_s / usual_s / (process_limits.core_count() or 1)
    print(f"on / off: {ratio:.4f} (95 %: {low:.4f} to {high:.4f}) over {count} pairs")
    print(
        f"a look each second costs {100 * cost:.2f} % "
        f"({100 * lowest_cost:.2f} to {100 * highest_cost:.2f} %)"
    )
    print(
        f"a look each second: {1000 * look_s:.2f} ms of CPU time, {100 * share:.3f} % of all cores"
    )
    result = {
        "ratio": ratio,
        "low": low,
        "high": high,
        "pairs": pairs,
        "every_s": every_s,
        "cost": cost,
        "cost_low": lowest_cost,
        "cost_high": highest_cost,
        "cpu_ms_a_look": 1000 * look_s,
        "share_of_all_cores": share,
        "load_before": load_before,
        "load_after": os.getloadavg()[0],
        "samples": samples,
        "gpu_name": prepared.plan.system.gpu_name,
    }
    print(json.dumps(result), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(command.carry_out(main))
