"""Whether the records of one test agree: LoadGen's two logs, and its counts with ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import formatting
from harness.errors import LogError
from harness.logs.detail import number
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
    verdict = {True: "VALID", False: "INVALID", None: "nothing"}[run.valid]
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
