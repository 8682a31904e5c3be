"""Whether a performance test counts, by LoadGen's account of it.

The validity rules of a run ask these checks with the official limits, and util_logs.py, which knows
nothing of the run, with the limits in LoadGen's own log.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from harness import formatting
from harness.config import RunConfig, Scenario
from harness.limits import allowed_over_limit, count_over_limits
from harness.logs.detail import number
from harness.metrics import LatencyStats, LoadGenRun, PerformanceResult, SampleTimes
from harness.rounds import LatencyLimits, Round
from harness.rules.rule import FAILED, Finding, failed, not_applicable, passed

BUILT_UNCOMMITTED = "Loadgen built with uncommitted changes"  # LoadGen's error, its spelling
NO_LIMITS = "Only Server and Interactive have latency limits."
_RAN_OUT = "Ending early: Ran out of generated queries"  # LoadGen's error, its words
_BROKEN_OFF = "LoadGen's log breaks off."


@dataclass(frozen=True)
class PerformanceTest:
    """A performance test and what it has to keep."""

    result: PerformanceResult
    scenario: Scenario
    official: Round
    limits: LatencyLimits | None  # None: the scenario has none
    samples: Sequence[SampleTimes] = ()  # our own times of its queries, where they are known

    @property
    def loadgen(self) -> LoadGenRun:
        """LoadGen's account of it."""
        return self.result.loadgen


def invalid_reasons(result: PerformanceResult) -> tuple[str, ...]:
    """Why a performance test does not count by its own log, a sentence each; empty if it does."""
    run = result.loadgen
    test = PerformanceTest(
        result, Scenario(run.scenario.lower()), RunConfig().round, _logged_limits(run)
    )
    findings = [check(test) for check in CHECKS]
    return tuple(f.sentence for f in findings if f.outcome == FAILED and f.sentence)


def _logged_limits(run: LoadGenRun) -> LatencyLimits | None:
    ttft_ns, tpot_ns = (number(run.requested, f"server_{n}_latency") for n in ("ttft", "tpot"))
    if run.scenario != "Server" or ttft_ns is None or tpot_ns is None:
        return None
    return LatencyLimits(ttft_p99_ms=ttft_ns / 1e6, tpot_p99_ms=tpot_ns / 1e6)


def errors(test: PerformanceTest) -> Finding:
    """LoadGen's errors that no other rule explains."""
    run = test.loadgen
    explained = [BUILT_UNCOMMITTED]
    if FAILED in (duration(test).outcome, queries(test).outcome):
        explained.append(_RAN_OUT)
    unexplained = [error for error in run.errors if not error.startswith(tuple(explained))]
    count = number(run.results, "num_errors") or len(run.errors)
    if not count:
        return passed("none")
    if run.errors and not unexplained:
        return not_applicable("Another rule says what LoadGen's error is about.")
    first = f"; the first: {unexplained[0].rstrip(' .')}" if unexplained else ""
    counted = "1 error" if count == 1 else f"{formatting.count(count)} errors"
    text = (
        f"LoadGen counted {counted} in the performance test{first}. A "
        "result with errors does not count; run.log tells more. Run it again."
    )
    return failed(counted, text)


def loadgen_valid(test: PerformanceTest) -> Finding:
    """LoadGen's word for a test that no other rule explains."""
    run = test.loadgen
    if not run.ended:
        text = "LoadGen's log breaks off: the test did not end. run.log says why; run it again."
        return failed("the log breaks off", text)
    if run.valid:
        return passed("VALID")
    if any(check(test).outcome == FAILED for check in _REASONS_OF_LOADGEN):
        return not_applicable("LoadGen says INVALID, and another rule says why.")
    if run.valid is None:
        text = "LoadGen's log does not say whether the test is valid. Run it again."
        return failed("not said", text)
    reason = str(run.results.get("result_invalid_reason") or "It gives no reason.").strip()
    return failed("INVALID", f"LoadGen calls the test INVALID. {reason} Run it again.")


def duration(test: PerformanceTest) -> Finding:
    """Whether the test lasted as long as LoadGen was configured for."""
    run = test.loadgen
    if not run.ended:
        return not_applicable(_BROKEN_OFF)
    lasted = formatting.duration(lasted_s(run))
    if run.results.get("result_min_duration_met") is True:
        return passed(lasted)
    return failed(lasted, _too_short(run))


def queries(test: PerformanceTest) -> Finding:
    """Whether LoadGen issued as many queries as it was configured for."""
    run = test.loadgen
    if not run.ended:
        return not_applicable(_BROKEN_OFF)
    issued = f"{formatting.count(run.sample_count)} samples"
    if run.results.get("result_min_queries_met") is True:
        return passed(issued)
    text = (
        f"LoadGen stopped after {issued}, fewer than it was to issue; its errors in the detail log "
        "say why. Run it again."
    )
    return failed(issued, text)


def ttft(test: PerformanceTest) -> Finding:
    """The 99th percentile of the time to the first token."""
    limit_ms = test.limits.ttft_p99_ms if test.limits else None
    return _latency(test, "the first token", test.result.ttft, limit_ms)


def tpot(test: PerformanceTest) -> Finding:
    """The 99th percentile of the time of each further token."""
    limit_ms = test.limits.tpot_p99_ms if test.limits else None
    return _latency(test, "each further token", test.result.tpot, limit_ms)


def _latency(
    test: PerformanceTest, what: str, stats: LatencyStats | None, limit_ms: float | None
) -> Finding:
    if limit_ms is None:
        return not_applicable(NO_LIMITS)
    if not test.loadgen.ended:
        return not_applicable(_BROKEN_OFF)
    p99_ms = stats.p99_ms if stats else None
    value = f"p99 {formatting.milliseconds(p99_ms)}"
    if p99_ms is None:
        text = f"LoadGen's log does not say how long the queries took for {what}. Run it again."
        return failed(value, text)
    if p99_ms < limit_ms:
        return passed(value)
    text = (
        f"The slowest 1 % of the queries took {formatting.milliseconds(p99_ms)} or more for {what}"
        f"; {test.scenario.label} allows less than {formatting.milliseconds(limit_ms)}. Lower "
        f"--server-target-qps (it was {formatting.rate(test.result.target_qps, 'queries/s')})."
    )
    return failed(value, text)


def early_stopping(test: PerformanceTest) -> Finding:
    """LoadGen's early stopping, and our own count of the queries over the limits."""
    if test.scenario is Scenario.OFFLINE:
        return not_applicable("Offline has no latency to prove.")
    if not test.loadgen.ended:
        return not_applicable(_BROKEN_OFF)
    if FAILED in (ttft(test).outcome, tpot(test).outcome):
        return not_applicable("The limit itself was missed.")
    if test.scenario is Scenario.SINGLESTREAM:
        return _single_stream(test)
    issued = formatting.count(test.result.sample_count)
    counts = count_over_limits(test.samples, test.limits)
    over = max(counts.ttft_over, counts.tpot_over) if counts else 0
    allowed = (counts.allowed or 0) if counts else 0
    if over > allowed:
        text = (
            f"{formatting.count(over)} of {issued} queries were over a latency limit; early "
            f"stopping allows {formatting.count(allowed)}. Lower --server-target-qps."
        )
        return failed(f"{formatting.count(over)} over", text)
    minimum = test.official.early_stopping_min_queries_server
    too_few = (test.result.sample_count or 0) < minimum
    if test.loadgen.results.get("early_stopping_met") is not True or too_few:
        return failed(f"not proven by {issued} queries", _not_proven(test.loadgen))
    return passed(f"{issued} queries prove it")


def _single_stream(test: PerformanceTest) -> Finding:
    minimum = test.official.early_stopping_min_queries_single_stream
    issued = formatting.count(test.result.sample_count)
    too_few = (test.result.sample_count or 0) < minimum
    if test.loadgen.results.get("early_stopping_met") is True and not too_few:
        return passed(f"{issued} queries")
    text = f"By LoadGen's early stopping, {issued} queries prove no percentile."
    if too_few:
        text += f" At least {minimum} are needed. Raise --total-sample-count."
    else:
        text += " Run it again."
    return failed(f"{issued} queries", text)


def _too_short(run: LoadGenRun) -> str:
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
            f"LoadGen was configured to expect {formatting.rate(expected, 'samples/s')} and the "
            f"system did {formatting.rate(reached, 'samples/s')}: run it again with that "
            "expectation."
        )
    if run.scenario == "SingleStream" and expected:
        mean_ns = number(run.results, "result_mean_latency_ns") or 0.0
        return text + (
            f"LoadGen was configured to expect {formatting.milliseconds(1e3 / expected)} a query "
            f"and the system took {formatting.milliseconds(mean_ns / 1e6)}: run it again with that "
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


def _not_proven(run: LoadGenRun) -> str:
    """Explains that the queries of a Server test do not prove the percentile, and the way out."""
    texts = [str(run.results.get(f"early_stopping_{n}_result", "")) for n in ("ttft", "tpot")]
    needed = max((int(n) for t in texts for n in re.findall(r"at least (\d+)", t)), default=None)
    issued = formatting.count(run.sample_count)
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


# The one figure a result is published by (CHK/constants.py:1561-1566), and what it says.
_HEADLINES = {
    Scenario.OFFLINE: ("result_tokens_per_second", "tokens per second"),
    Scenario.SERVER: ("result_completed_tokens_per_second", "completed tokens per second"),
    Scenario.INTERACTIVE: ("result_completed_tokens_per_second", "completed tokens per second"),
    Scenario.SINGLESTREAM: ("result_90.00_percentile_latency_ns", "90th percentile of latency"),
}


def headline_figure(test: PerformanceTest) -> tuple[str, str, float | None]:
    """LoadGen's key of the published figure, what it is in words, and the figure (None: absent)."""
    key, words = _HEADLINES[test.scenario]
    return key, words, number(test.loadgen.results, key)


def headline(test: PerformanceTest) -> Finding:
    """Whether LoadGen's log has the figure that the result is published by."""
    if not test.loadgen.ended:
        return not_applicable(_BROKEN_OFF)
    key, words, figure = headline_figure(test)
    if figure is not None and figure > 0:
        return passed(f"{key} {figure:g}")
    logged = "nothing" if figure is None else f"{figure:g}"
    text = (
        f"LoadGen's log has no usable {words} ({key} is {logged}), which is the figure of "
        f"{test.scenario.label}: without it there is no result. Run it again."
    )
    return failed(f"{key} is {logged}", text)


_REASONS_OF_LOADGEN = (duration, queries, ttft, tpot, early_stopping)
CHECKS: tuple[Callable[[PerformanceTest], Finding], ...] = (
    errors,
    loadgen_valid,
    *_REASONS_OF_LOADGEN,
)
