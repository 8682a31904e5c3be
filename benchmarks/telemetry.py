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
import tempfile
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from harness import flags, processes
from harness.config import RunConfig
from harness.engine.vllm import Engine
from harness.errors import BenchmarkError
from harness.loadgen.answering import Progress
from harness.loadgen.burst import burst
from harness.loadgen.planning import Target
from harness.logs.detail import number, read_detail_log
from harness.machine import telemetry
from harness.machine.telemetry import watching
from harness.measure import preparation, tests
from harness.measure.active import ActiveRun
from harness.measure.preparation import Prepared
from harness.report.comparison_statistics import student_quantile
from harness.results.folder import DETAIL_LOG, RunFolder
from harness.terminal import Terminal

STALL_TIMEOUT_S = 300.0
LOOKS = 20  # that are timed alone


async def pairs_of(prepared: Prepared, count: int) -> tuple[list[tuple[float, float]], float]:
    """Tokens per second with telemetry and without in each pair, and the CPU seconds of a look."""
    engine = Engine(prepared.plan, prepared.sampling)
    await asyncio.to_thread(engine.load)
    with tempfile.TemporaryDirectory() as temporary:
        started = datetime.now()
        folder = RunFolder.create(Path(temporary), "datacenter", "offline", started)
        record = preparation.describe(prepared, ["telemetry.py"])
        record.begin(folder, started)
        run = ActiveRun(prepared, folder, record, Terminal(), engine)
        await burst(engine, run.prompts, stall_timeout_s=STALL_TIMEOUT_S, progress=Progress())
        found = []
        for pair in range(count):
            order = (True, False) if pair % 2 == 0 else (False, True)
            rates = {looked: await _one_test(run, looks=looked) for looked in order}
            found.append((rates[True], rates[False]))
            print(f"pair {pair + 1}: on {rates[True]:,.1f}, off {rates[False]:,.1f} tokens/s")
        look_s = await asyncio.to_thread(_cpu_of_a_look, run)
    engine.shutdown()
    processes.end_children_for_good()
    return found, look_s


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
    parser.add_argument("--samples", type=int, default=2000, help="synthetic prompts of a test")
    parser.add_argument("--pairs", type=int, default=6, help="tests with telemetry, and without")
    parser.add_argument("--every", type=float, default=1.0, help="seconds between two looks")
    group = parser.add_argument_group("model and engine")
    flags.add_model_flags(group)
    flags.add_engine_flags(group)
    values = vars(parser.parse_args(arguments))
    samples, count = values.pop("samples"), max(values.pop("pairs"), 2)
    every = values.pop("every")
    times = telemetry.LOOK_EVERY_S / every  # as often as a run looks
    telemetry.LOOK_EVERY_S *= 1 / times
    telemetry.FAMILY_EVERY_S *= 1 / times
    config = RunConfig(
        **values, dataset="synthetic", mode="performance", total_sample_count=samples
    )
    load_before = os.getloadavg()[0]
    try:
        prepared = preparation.prepare(config, lambda text: print(text, flush=True))
        pairs, look_s = asyncio.run(pairs_of(prepared, count))
    except BenchmarkError as error:
        print(f"telemetry.py: {error}", file=sys.stderr)
        return error.exit_status
    ratio, low, high = interval(pairs)
    share = look_s / (every * times) / (os.cpu_count() or 1)
    print(f"on / off: {ratio:.4f} (95 %: {low:.4f} to {high:.4f}) over {count} pairs")
    cost, least, most = ((1 - found) / times for found in (ratio, high, low))
    print(f"a look each second costs {100 * cost:.2f} % ({100 * least:.2f} to {100 * most:.2f} %)")
    print(
        f"a look each second: {1000 * look_s:.2f} ms of CPU time, {100 * share:.3f} % of all cores"
    )
    result = {
        "ratio": ratio,
        "low": low,
        "high": high,
        "pairs": pairs,
        "every_s": every,
        "cost": cost,
        "cost_low": least,
        "cost_high": most,
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
    sys.exit(main())
