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
from harness.language import joined, phrase
from harness.limits import allowed_over_limit, count_over_limits
from harness.logs.detail import number
from harness.metrics import LatencyStats, LoadGenRun, PerformanceResult, SampleTimes
from harness.rounds import LatencyLimits, Round
from harness.rules.rule import FAILED, Finding, failed, not_applicable, passed

BUILT_UNCOMMITTED = "Loadgen built with uncommitted changes"  # LoadGen's error, its spelling
NO_LIMITS = phrase("Only Server and Interactive have latency limits.")
_RAN_OUT = "Ending early: Ran out of generated queries"  # LoadGen's error, its words
BROKEN_OFF = phrase("LoadGen's log breaks off.")


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
        return passed(phrase("none"))
    if run.errors and not unexplained:
        return not_applicable(phrase("Another rule says what LoadGen's error is about."))
    first = phrase("; the first: {error}", error=unexplained[0].rstrip(" .")) if unexplained else ""
    counted = (
        phrase("1 error") if count == 1 else phrase("{count} errors", count=formatting.count(count))
    )
    text = phrase(
        "LoadGen counted {counted} in the performance test{first}. A result with errors does "
        "not count; run.log tells more. Run it again.",
        counted=counted,
        first=first,
    )
    return failed(counted, text)


def loadgen_valid(test: PerformanceTest) -> Finding:
    """LoadGen's word for a test that no other rule explains."""
    run = test.loadgen
    if not run.ended:
        text = phrase(
            "LoadGen's log breaks off: the test did not end. run.log says why; run it again."
        )
        return failed(phrase("the log breaks off"), text)
    if run.valid and run.results.get("result_perf_constraints_met", True) is not True:
        text = phrase(
            "LoadGen calls the test VALID and says that its limits were missed "
            "(result_perf_constraints_met), which contradict each other. Run it again."
        )
        return failed(phrase("VALID with its limits missed"), text)
    if run.valid:
        return passed("VALID")
    if any(check(test).outcome == FAILED for check in _REASONS_OF_LOADGEN):
        return not_applicable(phrase("LoadGen says INVALID, and another rule says why."))
    if run.valid is None:
        text = phrase("LoadGen's log does not say whether the test is valid. Run it again.")
        return failed(phrase("not said"), text)
    reason = str(run.results.get("result_invalid_reason") or phrase("It gives no reason.")).strip()
    return failed(
        "INVALID", phrase("LoadGen calls the test INVALID. {reason} Run it again.", reason=reason)
    )


def duration(test: PerformanceTest) -> Finding:
    """Whether the test lasted as long as LoadGen was configured for."""
    run = test.loadgen
    if not run.ended:
        return not_applicable(BROKEN_OFF)
    lasted = formatting.duration(lasted_s(run))
    if run.results.get("result_min_duration_met") is True:
        return passed(lasted)
    return failed(lasted, _too_short(run))


def queries(test: PerformanceTest) -> Finding:
    """Whether LoadGen issued as many queries as it was configured for."""
    run = test.loadgen
    if not run.ended:
        return not_applicable(BROKEN_OFF)
    issued = phrase("{samples} samples", samples=formatting.count(run.sample_count))
    if run.results.get("result_min_queries_met") is True:
        return passed(issued)
    text = phrase(
        "LoadGen stopped after {issued}, fewer than it was to issue; its errors in the "
        "detail log say why. Run it again.",
        issued=issued,
    )
    return failed(issued, text)


def ttft(test: PerformanceTest) -> Finding:
    """The 99th percentile of the time to the first token."""
    limit_ms = test.limits.ttft_p99_ms if test.limits else None
    return _latency(test, phrase("the first token"), test.result.ttft, limit_ms)


def tpot(test: PerformanceTest) -> Finding:
    """The 99th percentile of the time of each further token."""
    limit_ms = test.limits.tpot_p99_ms if test.limits else None
    return _latency(test, phrase("each further token"), test.result.tpot, limit_ms)


def _latency(
    test: PerformanceTest, what: str, stats: LatencyStats | None, limit_ms: float | None
) -> Finding:
    if limit_ms is None:
        return not_applicable(NO_LIMITS)
    if not test.loadgen.ended:
        return not_applicable(BROKEN_OFF)
    p99_ms = stats.p99_ms if stats else None
    value = f"p99 {formatting.milliseconds(p99_ms)}"
    if p99_ms is None:
        text = phrase(
            "LoadGen's log does not say how long the queries took for {what}. Run it again.",
            what=what,
        )
        return failed(value, text)
    if p99_ms < limit_ms:
        return passed(value)
    text = phrase(
        "The slowest 1 % of the queries took {p99} or more for {what}; {scenario} allows "
        "less than {limit}. Lower --server-target-qps (it was {rate}).",
        p99=formatting.milliseconds(p99_ms),
        what=what,
        scenario=test.scenario.label,
        limit=formatting.milliseconds(limit_ms),
        rate=formatting.rate(test.result.target_qps, "queries/s"),
    )
    return failed(value, text)


def early_stopping(test: PerformanceTest) -> Finding:
    """LoadGen's early stopping, and our own count of the queries over the limits."""
    if test.scenario is Scenario.OFFLINE:
        return not_applicable(phrase("Offline has no latency to prove."))
    if not test.loadgen.ended:
        return not_applicable(BROKEN_OFF)
    if FAILED in (ttft(test).outcome, tpot(test).outcome):
        return not_applicable(phrase("The limit itself was missed."))
    if test.scenario is Scenario.SINGLESTREAM:
        return _single_stream(test)
    issued = formatting.count(test.result.sample_count)
    counts = count_over_limits(test.samples, test.limits)
    over = max(counts.ttft_over, counts.tpot_over) if counts else 0
    allowed = (counts.allowed or 0) if counts else 0
    if over > allowed:
        text = phrase(
            "{over} of {issued} queries were over a latency limit; early stopping allows "
            "{allowed}. Lower --server-target-qps.",
            over=formatting.count(over),
            issued=issued,
            allowed=formatting.count(allowed),
        )
        return failed(phrase("{over} over", over=formatting.count(over)), text)
    minimum = test.official.early_stopping_min_queries_server
    too_few = (test.result.sample_count or 0) < minimum
    if test.loadgen.results.get("early_stopping_met") is not True or too_few:
        return failed(
            phrase("not proven by {issued} queries", issued=issued), _not_proven(test.loadgen)
        )
    return passed(phrase("{issued} queries prove it", issued=issued))


def _single_stream(test: PerformanceTest) -> Finding:
    minimum = test.official.early_stopping_min_queries_single_stream
    issued = formatting.count(test.result.sample_count)
    too_few = (test.result.sample_count or 0) < minimum
    if test.loadgen.results.get("early_stopping_met") is True and not too_few:
        return passed(phrase("{issued} queries", issued=issued))
    text = phrase(
        "By LoadGen's early stopping, {issued} queries prove no percentile.", issued=issued
    )
    way_out = phrase("Run it again.")
    if too_few:
        way_out = phrase(
            "At least {minimum} are needed. Raise --total-sample-count.", minimum=minimum
        )
    return failed(phrase("{issued} queries", issued=issued), joined(" ", [text, way_out]))


def _too_short(run: LoadGenRun) -> str:
    """Explains a test that ended before its minimum duration, and the way out."""
    minimum_ms = number(run.effective, "min_duration_ms") or 0.0
    text = phrase(
        "The test lasted {lasted}; it has to last at least {minimum}.",
        lasted=formatting.duration(lasted_s(run)),
        minimum=formatting.duration(minimum_ms / 1000.0),
    )
    return joined(" ", [text, _why_too_short(run)])


def _why_too_short(run: LoadGenRun) -> str:
    expected = number(run.effective, "target_qps")
    if run.scenario == "Offline":
        reached = number(run.results, "result_samples_per_second")
        return phrase(
            "LoadGen was configured to expect {expected} and the system did {reached}: run it "
            "again with that expectation.",
            expected=formatting.rate(expected, "samples/s"),
            reached=formatting.rate(reached, "samples/s"),
        )
    if run.scenario == "SingleStream" and expected:
        mean_ns = number(run.results, "result_mean_latency_ns") or 0.0
        return phrase(
            "LoadGen was configured to expect {expected} a query and the system took {mean}: run "
            "it again with that expectation.",
            expected=formatting.milliseconds(1e3 / expected),
            mean=formatting.milliseconds(mean_ns / 1e6),
        )
    return phrase("LoadGen's errors in the detail log say why it stopped.")


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
        return phrase(
            "Early stopping: {issued} queries do not prove that 99 % stay under the limits. "
            "Lower --server-target-qps.",
            issued=issued,
        )
    total = formatting.count((run.sample_count or 0) + needed)
    return phrase(
        "Early stopping: {issued} queries are too few to prove that 99 % stay under the "
        "limits; {total}, all under them, would. Raise --total-sample-count.",
        issued=issued,
        total=total,
    )


_REASONS_OF_LOADGEN = (duration, queries, ttft, tpot, early_stopping)
CHECKS: tuple[Callable[[PerformanceTest], Finding], ...] = (
    errors,
    loadgen_valid,
    *_REASONS_OF_LOADGEN,
)
