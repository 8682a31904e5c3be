"""Rules on the latencies of the performance test: the limits, and how surely they were kept."""

from __future__ import annotations

from harness import formatting
from harness.language import phrase
from harness.logs.detail import number
from harness.metrics import LatencyStats
from harness.rules import validity
from harness.rules.advice import full_run, lower_rate, more_proof
from harness.rules.evidence import Evidence
from harness.rules.needs import LIMITS, PERCENTILE, TARGET_LATENCY
from harness.rules.rule import OFFICIAL, VALIDITY, Finding, NextStep, failed, passed, rule
from harness.rules.validity import PerformanceTest


def _required(name: str, limit_ms: float | None) -> str:
    if limit_ms is None:
        return phrase("{name} p99 below the limit, where there is one", name=name)
    return phrase("{name} p99 below {limit}", name=name, limit=formatting.milliseconds(limit_ms))


@rule(
    "ttft",
    VALIDITY,
    source="loadgen/mlperf.conf:140,145",
    required=lambda e: _required("TTFT", e.limits.ttft_p99_ms if e.limits else None),
    needs=LIMITS,
)
def _ttft(evidence: Evidence, test: PerformanceTest) -> Finding:
    return validity.ttft(test).with_remedy(_faster(evidence, test, test.result.ttft))


@rule(
    "tpot",
    VALIDITY,
    source="loadgen/mlperf.conf:141,146",
    required=lambda e: _required("TPOT", e.limits.tpot_p99_ms if e.limits else None),
    needs=LIMITS,
)
def _tpot(evidence: Evidence, test: PerformanceTest) -> Finding:
    return validity.tpot(test).with_remedy(_faster(evidence, test, test.result.tpot))


def _faster(evidence: Evidence, test: PerformanceTest, stats: LatencyStats | None) -> NextStep:
    """What to do after a missed limit, or a latency that is not in the log."""
    if stats is None or stats.p99_ms is None:
        return full_run(evidence)
    return lower_rate(evidence, test.result.target_qps)


@rule(
    "target-latency",
    OFFICIAL,
    source="CHK/checks/performance_check.py:111-540",
    required=lambda e: phrase(
        "a target latency of at most {seconds:g} s",
        seconds=e.official.most_target_latency_ms / 1000,
    ),
    needs=TARGET_LATENCY,
)
def _target_latency(evidence: Evidence, test: PerformanceTest) -> Finding:
    configured_ns = number(test.loadgen.effective, "target_latency_ns")
    most_ms = evidence.official.most_target_latency_ms
    latency = formatting.milliseconds(None if configured_ns is None else configured_ns / 1e6)
    if configured_ns is not None and configured_ns <= 1e6 * most_ms:
        return passed(latency if configured_ns else phrase("none"))
    text = phrase(
        "LoadGen was configured with a target latency of {latency} for a whole answer; at "
        "most {most} are allowed. Run it again with the user.conf of this program.",
        latency=latency,
        most=formatting.milliseconds(most_ms),
    )
    return failed(latency, text, full_run(evidence))


@rule(
    "early-stopping",
    VALIDITY,
    source="rules:1140-1160",
    required=phrase("enough queries kept the limit to prove the percentile"),
    needs=PERCENTILE,
)
def _early_stopping(evidence: Evidence, test: PerformanceTest) -> Finding:
    return validity.early_stopping(test).with_remedy(more_proof(evidence, test))


LATENCY = (_ttft, _tpot, _target_latency, _early_stopping)
