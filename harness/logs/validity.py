"""What LoadGen's results say between the lines: why a test is INVALID, how many tokens it saw."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import formatting
from harness.errors import LogError
from harness.limits import allowed_over_limit
from harness.metrics import LoadGenRun, SampleTimes

# Tokens and queries over the same seconds: their ratio tells how many tokens LoadGen counted.
_RATE_PAIRS = {
    "Server": ("result_completed_tokens_per_second", "result_completed_samples_per_sec"),
    "SingleStream": (
        "result_token_throughput_with_loadgen_overhead",
        "result_qps_with_loadgen_overhead",
    ),
}
_RATE_PRECISION = 2e-5  # LoadGen prints six digits, and two rates are multiplied or divided


def number(values: Mapping[str, object], key: str) -> float | None:
    """A number of LoadGen's, None where it is missing or no number."""
    value = values.get(key)
    return value if isinstance(value, int | float) and not isinstance(value, bool) else None


def counted_tokens(run: LoadGenRun) -> float | None:
    """The tokens LoadGen counted, to five digits, worked out from its rates: it prints no total."""
    if run.scenario == "Offline":
        rate = number(run.results, "result_tokens_per_second")
        longest_ns = number(run.results, "result_max_latency_ns")
        return None if rate is None or longest_ns is None else rate * longest_ns / 1e9
    token_rate, query_rate = (number(run.results, key) for key in _RATE_PAIRS[run.scenario])
    if token_rate is None or not query_rate or run.sample_count is None:
        return None
    # LoadGen's query rate leaves one query out, so a test of a single query tells nothing.
    return token_rate / query_rate * (run.sample_count - 1)


def cross_check(
    run: LoadGenRun, summary: Mapping[str, object], samples: Sequence[SampleTimes], folder: Path
) -> None:
    """Raises LogError when the records of one finished test, all in `folder`, disagree.

    Compared are the validity in LoadGen's two logs, and the samples and tokens that LoadGen and
    the harness (`samples`, may be empty) counted.
    """
    verdict = "VALID" if run.valid else "INVALID"
    if summary.get("Result is") != verdict:
        raise LogError(
            f"LoadGen's two logs in {folder} disagree: the detail log says {verdict}, "
            f"the summary log {summary.get('Result is', 'nothing')}."
        )
    if not samples:
        return
    if len(samples) != run.sample_count:
        raise LogError(
            f"The sample times in {folder} are of {len(samples):,} samples, LoadGen issued "
            f"{formatting.count(run.sample_count)}: they are not of the same test."
        )
    # LoadGen calls an answer of one token an error and counts it as none.
    counted = sum(sample.tokens for sample in samples if sample.tokens > 1)
    logged = counted_tokens(run)
    if logged is not None and abs(counted - logged) > 1 + _RATE_PRECISION * logged:
        raise LogError(
            f"The sample times in {folder} add up to {counted:,} tokens, LoadGen's rates to about "
            f"{logged:,.0f}: they are not of the same test, or a count given to LoadGen is wrong."
        )


def invalid_reasons(run: LoadGenRun, summary: Mapping[str, object]) -> tuple[str, ...]:
    """Why a performance test does not count, a sentence each with the way out; empty when it does.

    `summary` is the summary log, which alone holds the limits of a Server test.
    """
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
        reasons += _over_the_limit(run, summary)
    elif results.get("early_stopping_met") is False:
        reasons.append(stopping_missed(run))
    if errors := number(results, "num_errors"):
        first = f"; the first: {run.errors[0].rstrip('.')}" if run.errors else ""
        reasons.append(f"LoadGen's count of errors is {formatting.count(errors)}{first}.")
    if not run.valid and not reasons:
        reasons.append(f"LoadGen says INVALID: {results.get('result_invalid_reason', '')}")
    return tuple(reasons)


def too_short(run: LoadGenRun) -> str:
    """That the test ended before its least duration, why, and the way out."""
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
    """What LoadGen holds against the minimum: Offline the last answer, else the last query."""
    if run.scenario == "Offline":
        longest_ns = number(run.results, "result_max_latency_ns")
        return None if longest_ns is None else longest_ns / 1e9
    key = {"Server": "result_scheduled_samples_per_sec"}.get(
        run.scenario, "result_qps_with_loadgen_overhead"
    )
    rate = number(run.results, key)
    return (run.sample_count - 1) / rate if rate and run.sample_count else None


def _over_the_limit(run: LoadGenRun, summary: Mapping[str, object]) -> list[str]:
    reasons = []
    for name, key, limit_key in (
        ("time to first token", "result_first_token_99.00_percentile_latency_ns", "ttft"),
        ("time per output token", "result_time_per_output_token_99.00_percentile_ns", "tpot"),
    ):
        found_ns = number(run.results, key)
        limit_ns = number(summary, f"{limit_key}_latency (ns)")
        if found_ns is not None and limit_ns is not None and found_ns > limit_ns:
            reasons.append(
                f"The 99th percentile of the {name} is {formatting.milliseconds(found_ns / 1e6)}; "
                f"the limit is {formatting.milliseconds(limit_ns / 1e6)}. Lower "
                "--server-target-qps (this test: "
                f"{formatting.rate(number(run.effective, 'target_qps'), 'queries/s')})."
            )
    return reasons


def stopping_missed(run: LoadGenRun) -> str:
    """That the queries do not prove the percentile, and the way out."""
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
