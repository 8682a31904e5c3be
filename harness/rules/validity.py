"""Why a performance test is INVALID, from LoadGen's own results."""

from __future__ import annotations

import re

from harness import formatting
from harness.limits import allowed_over_limit
from harness.logs.detail import number
from harness.metrics import LoadGenRun, PerformanceResult


def invalid_reasons(result: PerformanceResult) -> tuple[str, ...]:
    """Why a performance test does not count, a sentence each with the way out; empty if it does."""
    run = result.loadgen
    if not run.ended:
        return ("LoadGen's log breaks off: the test did not end. run.log says why; run it again.",)
    results = run.results
    reasons = []
    if results.get("result_min_duration_met") is False:
        reasons.append(too_short(run))
    if results.get("result_min_queries_met") is False:
        reasons.append(
            f"LoadGen stopped after {formatting.count(run.sample_count)} samples, fewer than it "
            "was to issue; its errors in the detail log say why."
        )
    if results.get("result_perf_constraints_met") is False:
        reasons += _over_the_limit(result)
    elif results.get("early_stopping_met") is False:
        reasons.append(stopping_missed(run))
    if errors := number(results, "num_errors"):
        first = f"; the first: {run.errors[0].rstrip('.')}" if run.errors else ""
        reasons.append(f"LoadGen's count of errors is {formatting.count(errors)}{first}.")
    if not run.valid and not reasons:
        reasons.append(f"LoadGen says INVALID: {results.get('result_invalid_reason', '')}")
    return tuple(reasons)


def too_short(run: LoadGenRun) -> str:
    """Explains a test that ended before its minimum duration, and the way out."""
    minimum_ms = number(run.effective, "min_duration_ms") or 0.0
    text = (
        f"The test lasted {formatting.duration(lasted_s(run))}; it has to last at least "
        f"{formatting.duration(minimum_ms / 1e3)}. "
    )
    expected = number(run.effective, "target_qps")
    if run.scenario == "Offline":
        reached = number(run.results, "result_samples_per_second")
        return text + (
            f"LoadGen was told to expect {formatting.rate(expected, 'samples/s')} and the system "
            f"did {formatting.rate(reached, 'samples/s')}: run it again with that expectation."
        )
    if run.scenario == "SingleStream" and expected:
        mean_ns = number(run.results, "result_mean_latency_ns") or 0.0
        return text + (
            f"LoadGen was told to expect {formatting.milliseconds(1e3 / expected)} a query and "
            f"the system took {formatting.milliseconds(mean_ns / 1e6)}: run it again with that "
            "expectation."
        )
    return text + "LoadGen's errors in the detail log say why it stopped."


def lasted_s(run: LoadGenRun) -> float | None:
    """What LoadGen compares with the minimum: Offline the last answer, else the last query."""
    if run.scenario == "Offline":
        longest_ns = number(run.results, "result_max_latency_ns")
        return None if longest_ns is None else longest_ns / 1e9
    key = {"Server": "result_scheduled_samples_per_sec"}.get(
        run.scenario, "result_qps_with_loadgen_overhead"
    )
    rate = number(run.results, key)
    return (run.sample_count - 1) / rate if rate and run.sample_count else None


def _over_the_limit(result: PerformanceResult) -> list[str]:
    run, reasons = result.loadgen, []
    for name, stats, key in (
        ("time to first token", result.ttft, "server_ttft_latency"),
        ("time per output token", result.tpot, "server_tpot_latency"),
    ):
        p99_ms = stats.p99_ms if stats else None
        limit_ns = number(run.requested, key)
        if p99_ms is not None and limit_ns is not None and p99_ms > limit_ns / 1e6:
            reasons.append(
                f"The 99th percentile of the {name} is {formatting.milliseconds(p99_ms)}; "
                f"the limit is {formatting.milliseconds(limit_ns / 1e6)}. Lower "
                "--server-target-qps (this test: "
                f"{formatting.rate(number(run.effective, 'target_qps'), 'queries/s')})."
            )
    return reasons


def stopping_missed(run: LoadGenRun) -> str:
    """Explains that the queries do not prove the percentile, and the way out."""
    texts = [str(run.results.get(f"early_stopping_{n}_result", "")) for n in ("ttft", "tpot")]
    needed = max((int(n) for t in texts for n in re.findall(r"at least (\d+)", t)), default=None)
    issued = formatting.count(run.sample_count)
    if run.scenario == "SingleStream":
        return (
            f"Early stopping: {issued} queries are too few to prove a percentile; at least "
            f"{formatting.count(needed)} are needed. Raise --total-sample-count."
        )
    if needed is None or allowed_over_limit(run.sample_count or 0) >= 0:
        return (
            f"Early stopping: {issued} queries do not prove that 99 % stay under the limits. "
            "Lower --server-target-qps."
        )
    total = formatting.count((run.sample_count or 0) + needed)
    return (
        f"Early stopping: {issued} queries are too few to prove that 99 % stay under the limits; "
        f"{total}, all under them, would. Raise --total-sample-count."
    )
