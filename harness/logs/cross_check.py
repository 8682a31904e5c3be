"""Whether the records of one test agree: LoadGen's two logs, and its counts with ours."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from harness import formatting
from harness.errors import LogError
from harness.language import phrase
from harness.logs.detail import number
from harness.metrics import LoadGenRun, SampleTimes
from harness.shapes import shown

# Tokens and queries over the same seconds: their ratio tells how many tokens LoadGen counted.
_RATE_PAIRS = {
    "Server": ("result_completed_tokens_per_second", "result_completed_samples_per_sec"),
    "SingleStream": (
        "result_token_throughput_with_loadgen_overhead",
        "result_qps_with_loadgen_overhead",
    ),
}
# The figure a result is published by, and the rate of samples, in the detail log and in the
# summary log.
_FIGURES = {
    "Offline": (
        ("result_tokens_per_second", "Tokens per second"),
        ("result_samples_per_second", "Samples per second"),
    ),
    "Server": (
        ("result_completed_tokens_per_second", "Completed tokens per second"),
        ("result_completed_samples_per_sec", "Completed samples per second"),
    ),
    "SingleStream": (
        ("result_90.00_percentile_latency_ns", "90.00 percentile latency (ns)"),
        ("result_qps_with_loadgen_overhead", "QPS w/ loadgen overhead"),
    ),
}
# Settings that both have; the first stands near the end of a summary log that was not cut off.
_SETTINGS = ("performance_sample_count", "target_qps")
# The latencies in the summary log, and what the detail log calls them.
_STATISTIC = r"(Min|Max|Mean)"
_PERCENTILE = r"([\d.]+) percentile"
_LATENCIES = (
    (rf"{_STATISTIC} latency \(ns\)", "result_{}_latency_ns"),
    (rf"{_PERCENTILE} latency \(ns\)", "result_{}_percentile_latency_ns"),
    (rf"{_STATISTIC} First Token latency \(ns\)", "result_first_token_{}_latency_ns"),
    (
        rf"{_PERCENTILE} first token latency \(ns\)",
        "result_first_token_{}_percentile_latency_ns",
    ),
    (rf"{_STATISTIC} Time per Output Token \(ns\)", "result_time_to_output_token_{}"),
    (
        rf"{_PERCENTILE} time to output token \(ns\)",
        "result_time_per_output_token_{}_percentile_ns",
    ),
)
# Times are taken a moment apart, on a busy machine up to seconds.
_TIME_TOLERANCE_S = 5.0
_RATE_PRECISION = 2e-5  # LoadGen prints six digits, and two rates are multiplied or divided
_PRINTED_TO = 0.0051  # half of the last digit of some rates in the summary log, and a little


def counted_tokens(run: LoadGenRun) -> float | None:
    """The tokens LoadGen counted, to five digits, worked out from its rates: it prints no total."""
    if run.scenario == "Offline":
        rate = number(run.results, "result_tokens_per_second")
        longest_ns = number(run.results, "result_max_latency_ns")
        return None if rate is None or longest_ns is None else rate * longest_ns / 1e9
    token_rate, query_rate = (
        number(run.results, key) for key in _RATE_PAIRS.get(run.scenario, ("", ""))
    )
    if token_rate is None or not query_rate or run.sample_count is None:
        return None
    # LoadGen's query rate leaves one query out, so a test of a single query tells nothing.
    return token_rate / query_rate * (run.sample_count - 1)


def cross_check(
    run: LoadGenRun, summary: Mapping[str, object], samples: Sequence[SampleTimes], folder: Path
) -> None:
    """Raises LogError when the records of one finished test, all in `folder`, disagree.

    Compared are the validity and the figure of the result in LoadGen's two logs, and the samples,
    tokens and times that LoadGen and the harness (`samples`, may be empty) counted.
    """
    verdict = {True: "VALID", False: "INVALID", None: "nothing"}[run.valid]
    if summary.get("Result is") != verdict:
        raise LogError(
            f"LoadGen's two logs in {folder} disagree: the detail log says {verdict}, "
            f"the summary log {summary.get('Result is', 'nothing')}."
        )
    for name in _SETTINGS:
        if summary.get(name) != run.effective.get(name):
            raise LogError(
                f"LoadGen's two logs in {folder} disagree: the detail log gives "
                f"{shown(run.effective.get(name))} for {name}, the summary log "
                f"{summary.get(name, 'nothing')}."
            )
    _compare_figures(run, summary, folder)
    _compare_counts(run, folder)
    _compare_latencies(run, summary, folder)
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
    _compare_times(run, samples, folder)


def _compare_counts(run: LoadGenRun, folder: Path) -> None:
    """Raises LogError where LoadGen's samples are not those of its own queries and rate."""
    queries = number(run.results, "result_query_count")
    if run.scenario != "Offline":
        expected = queries  # of one sample each
    else:  # one query of all samples
        rate, longest_s = number(run.results, "result_samples_per_second"), _seconds(run, "max")
        expected = None if rate is None or longest_s is None else rate * longest_s
    if expected is None or run.sample_count is None:
        return
    if abs(run.sample_count - expected) > 1 + _RATE_PRECISION * expected:
        raise LogError(
            f"LoadGen's detail log in {folder} contradicts itself: it issued "
            f"{formatting.count(run.sample_count)} samples, and by its other figures about "
            f"{expected:,.0f}."
        )


def _compare_figures(run: LoadGenRun, summary: Mapping[str, object], folder: Path) -> None:
    """Raises LogError where LoadGen's two logs give two figures for the same thing."""
    headline, *others = _FIGURES[run.scenario]
    for key, name in (headline, *others):
        detailed, summed = number(run.results, key), number(summary, name)
        # A rule tells where the result itself is missing.
        if summed is None or (detailed is None and (key, name) == headline):
            continue
        allowed = _PRINTED_TO + _RATE_PRECISION * abs(summed)
        if detailed is None or abs(detailed - summed) > allowed:
            found = "nothing" if detailed is None else f"{detailed:g}"
            raise LogError(
                f"LoadGen's two logs in {folder} disagree: the detail log gives {found} for "
                f"{key}, the summary log {summed:g}."
            )


def _compare_latencies(run: LoadGenRun, summary: Mapping[str, object], folder: Path) -> None:
    """Raises LogError where the detail log lacks a latency of the summary log, or has another."""
    for name, nanoseconds in summary.items():
        key = _latency_key(name)
        if key is None or not isinstance(nanoseconds, int):
            continue
        # LoadGen's release decides between two spellings of a percentile of TPOT.
        spelt = key.replace("time_per_output_token", "time_to_output_token").removesuffix("_ns")
        logged = [run.results[k] for k in dict.fromkeys((key, spelt)) if k in run.results]
        if logged != [nanoseconds]:
            figures = ", ".join(map(shown, logged)) or "nothing"
            raise LogError(
                f"LoadGen's two logs in {folder} disagree: the detail log gives {figures} for "
                f"{key}, the summary log {nanoseconds}."
            )


def _latency_key(name: str) -> str | None:
    """What the detail log calls a line of the summary log; None: no latency."""
    for pattern, key in _LATENCIES:
        if match := re.fullmatch(pattern, name):
            return key.format(match[1].lower())
    return None


def _compare_times(run: LoadGenRun, samples: Sequence[SampleTimes], folder: Path) -> None:
    """Raises LogError where the sample times cannot be those of LoadGen's test."""
    for sample in samples:
        first_s = sample.issued_s if sample.first_token_s is None else sample.first_token_s
        if not -_TIME_TOLERANCE_S <= sample.issued_s <= first_s <= sample.completed_s < math.inf:
            raise LogError(
                f"The sample times in {folder} have an impossible order: sample "
                f"{sample.sample_index} was issued at {sample.issued_s:g} s and answered at "
                f"{sample.completed_s:g} s."
            )
    latest_s = max(sample.completed_s for sample in samples)
    # Each is what the harness measured, and by LoadGen the lowest and highest that it can be.
    for what, seconds, low, high in (
        (phrase("the last answer"), latest_s, *_last_answer_s(run)),
        (phrase("the slowest answer"), max(map(_latency_s, samples)), None, _seconds(run, "max")),
        (phrase("the mean answer"), sum(map(_latency_s, samples)) / len(samples), None,
         _seconds(run, "mean")),
    ):  # fmt: skip
        too_early = low is not None and seconds < low - _TIME_TOLERANCE_S - low / 100
        too_late = high is not None and seconds > high + _TIME_TOLERANCE_S + high / 100
        if too_early or too_late:
            loadgen_s = low if too_early else high
            raise LogError(
                f"The sample times in {folder} have {what} at {seconds:,.3f} s, LoadGen at "
                f"{loadgen_s:,.3f} s: they are not of the same test."
            )


def _latency_s(sample: SampleTimes) -> float:
    return sample.completed_s - sample.issued_s


def _seconds(run: LoadGenRun, name: str) -> float | None:
    nanoseconds = number(run.results, f"result_{name}_latency_ns")
    return None if nanoseconds is None else nanoseconds / 1e9


def _last_answer_s(run: LoadGenRun) -> tuple[float | None, float | None]:
    """The earliest and the latest moment of the last answer by LoadGen, from the first query on.

    Only in Offline does it log that moment. Its rates over the queries but one end, in
    SingleStream, with the issue of the last query, and in Server with the answer to the query that
    was due last, when those due before it may still be waiting (loadgen/results.cc).
    """
    slowest_s, quickest_s = _seconds(run, "max"), _seconds(run, "min")
    if run.scenario == "Offline":
        return slowest_s, slowest_s
    _, query_rate = _RATE_PAIRS[run.scenario]
    rate, issued = number(run.results, query_rate), run.sample_count or 0
    if not rate or issued <= 1:  # a test of a single query has no rate
        return None, None
    known_s = (issued - 1) / rate
    if slowest_s is None:
        return known_s, None
    # In Server the query that was due last took no less than the quickest.
    due_s = known_s - (quickest_s or 0.0) if run.scenario == "Server" else known_s
    return known_s, due_s + slowest_s
