"""Rules on the latencies of the performance test: the limits, and how surely they were kept."""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter

from harness import formatting
from harness.config import Scenario
from harness.limits import count_over_limits
from harness.logs.detail import number
from harness.metrics import LatencyStats, PerformanceResult
from harness.rounds import LatencyLimits
from harness.rules import validity
from harness.rules.advice import full_run, lower_rate
from harness.rules.evidence import Evidence
from harness.rules.rule import (
    FAILED,
    OFFICIAL,
    VALIDITY,
    Finding,
    Spec,
    always,
    failed,
    not_applicable,
    passed,
)

_TTFT = attrgetter("ttft_p99_ms")
_TPOT = attrgetter("tpot_p99_ms")


def _ttft(evidence: Evidence) -> Finding:
    stats = evidence.performance and evidence.performance.ttft
    return _limit(evidence, "the first token", stats or None, _TTFT)


def _tpot(evidence: Evidence) -> Finding:
    stats = evidence.performance and evidence.performance.tpot
    return _limit(evidence, "each further token", stats or None, _TPOT)


def _limit(
    evidence: Evidence,
    what: str,
    stats: LatencyStats | None,
    limit: Callable[[LatencyLimits], float],
) -> Finding:
    if evidence.performance is None or evidence.limits is None:
        return not_applicable("Only Server and Interactive have latency limits.")
    limit_ms = limit(evidence.limits)
    p99_ms = stats.p99_ms if stats else None
    found = f"p99 {formatting.milliseconds(p99_ms)}"
    if p99_ms is not None and p99_ms < limit_ms:
        return passed(found)
    target_qps = evidence.performance.target_qps
    if p99_ms is None:
        text = f"LoadGen's log does not say how long the queries took for {what}. Run it again."
        return failed(found, text, full_run(evidence.config))
    text = (
        f"The slowest 1 % of the queries took {formatting.milliseconds(p99_ms)} or more for {what}"
        f"; {evidence.scenario.label} allows less than {formatting.milliseconds(limit_ms)}. Lower "
        f"--server-target-qps (it was {formatting.rate(target_qps, 'queries/s')})."
    )
    return failed(found, text, lower_rate(evidence.config, target_qps))


def _below(name: str, limit: Callable[[LatencyLimits], float]) -> Callable[[Evidence], str]:
    def required(evidence: Evidence) -> str:
        if evidence.limits is None:
            return f"{name} p99 below the limit, where there is one"
        return f"{name} p99 below {formatting.milliseconds(limit(evidence.limits))}"

    return required


def _target_latency(evidence: Evidence) -> Finding:
    if evidence.performance is None or evidence.limits is None:
        return not_applicable("Only Server and Interactive have it.")
    told_ns = number(evidence.performance.loadgen.effective, "target_latency_ns")
    most_ms = evidence.official.most_target_latency_ms
    found = formatting.milliseconds(None if told_ns is None else told_ns / 1e6)
    if told_ns is not None and told_ns <= 1e6 * most_ms:
        return passed(found)
    text = (
        f"LoadGen was told a target latency of {found} for a whole answer; at most "
        f"{formatting.milliseconds(most_ms)} are allowed. Run it again with the user.conf of this "
        "program."
    )
    return failed(found, text, full_run(evidence.config))


def _early_stopping(evidence: Evidence) -> Finding:
    """LoadGen's word, and our own count against the scenario's real limits."""
    result = evidence.performance
    if result is None or evidence.scenario is Scenario.OFFLINE:
        return not_applicable("Offline has no latency to prove, or there is no performance test.")
    if not result.loadgen.ended:
        return not_applicable("LoadGen's log breaks off.")
    if _ttft(evidence).outcome == FAILED or _tpot(evidence).outcome == FAILED:
        return not_applicable("The limit itself was missed.")
    if evidence.limits is None:
        return _single_stream(evidence, result)
    queries = formatting.count(result.sample_count)
    step = full_run if evidence.smoke else lambda c: lower_rate(c, result.target_qps)
    counts = count_over_limits(evidence.samples, evidence.limits)
    over = max(counts.ttft_over, counts.tpot_over) if counts else 0
    allowed = counts.allowed if counts else None
    if counts and over > (allowed or 0):
        text = (
            f"{formatting.count(over)} of {queries} queries were over a latency limit; early "
            f"stopping allows {formatting.count(allowed or 0)}. Lower --server-target-qps."
        )
        return failed(f"{formatting.count(over)} over", text, step(evidence.config))
    least = evidence.official.early_stopping_min_queries_server
    too_few = (result.sample_count or 0) < least
    if result.loadgen.results.get("early_stopping_met") is not True or too_few:
        text = validity.stopping_missed(result.loadgen)
        return failed(f"not proven by {queries} queries", text, step(evidence.config))
    return passed(f"{queries} queries prove it")


def _single_stream(evidence: Evidence, result: PerformanceResult) -> Finding:
    least = evidence.official.early_stopping_min_queries_single_stream
    queries = formatting.count(result.sample_count)
    met = result.loadgen.results.get("early_stopping_met") is True
    if met and (result.sample_count or 0) >= least:
        return passed(f"{queries} queries")
    text = f"By LoadGen's early stopping, {queries} queries prove no percentile."
    if (result.sample_count or 0) < least:
        text += f" At least {least} are needed."
    text += " Leave out --total-sample-count."
    return failed(f"{queries} queries", text, full_run(evidence.config))


LATENCY = (
    Spec("ttft", VALIDITY, "loadgen/mlperf.conf:140,145", _below("TTFT", _TTFT), _ttft),
    Spec("tpot", VALIDITY, "loadgen/mlperf.conf:141,146", _below("TPOT", _TPOT), _tpot),
    Spec(
        "target-latency",
        OFFICIAL,
        "CHK/checks/performance_check.py:111-540",
        lambda e: f"a target latency of at most {e.official.most_target_latency_ms / 1000:g} s",
        _target_latency,
    ),
    Spec(
        "early-stopping",
        VALIDITY,
        "rules:1140-1160",
        always("enough queries kept the limit to prove the percentile"),
        _early_stopping,
    ),
)
