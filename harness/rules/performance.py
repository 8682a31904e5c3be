"""Rules on the performance test: its errors, its samples, its length."""

from __future__ import annotations

from harness import formatting
from harness.config import Scenario
from harness.logs.detail import number
from harness.rules import validity
from harness.rules.advice import full_run, longer, repeat
from harness.rules.evidence import Evidence
from harness.rules.latency import LATENCY
from harness.rules.loadgen import BUILT_UNCOMMITTED
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

_NO_TEST = "There is no performance test."
_RAN_OUT = "Ending early: Ran out of generated queries"  # LoadGen's error, its words


def _errors(evidence: Evidence) -> Finding:
    if evidence.performance is None:
        return not_applicable(_NO_TEST)
    run = evidence.performance.loadgen
    told_elsewhere = [BUILT_UNCOMMITTED]
    if _duration_reached(evidence).outcome == FAILED or _queries(evidence).outcome == FAILED:
        told_elsewhere.append(_RAN_OUT)
    unexplained = [e for e in run.errors if not e.startswith(tuple(told_elsewhere))]
    count = number(run.results, "num_errors") or len(run.errors)
    if not count:
        return passed("none")
    if run.errors and not unexplained:
        return not_applicable("Another rule says what LoadGen's error is about.")
    first = f"; the first: {unexplained[0].rstrip(' .')}" if unexplained else ""
    found = "1 error" if count == 1 else f"{formatting.count(count)} errors"
    text = (
        f"LoadGen counted {found} in the performance test{first}. A "
        "result with errors does not count; run.log tells more. Run it again."
    )
    return failed(found, text, repeat(evidence.config, "The same again:"))


def _loadgen_valid(evidence: Evidence) -> Finding:
    if evidence.performance is None:
        return not_applicable(_NO_TEST)
    run = evidence.performance.loadgen
    again = repeat(evidence.config, "The same again:")
    if not run.ended:
        text = "LoadGen's log breaks off: the test did not end. run.log says why; run it again."
        return failed("the log breaks off", text, again)
    if run.valid:
        return passed("VALID")
    latencies = (spec.check for spec in LATENCY if spec.kind == VALIDITY)
    reasons = (_duration_reached, _queries, *latencies)
    if any(check(evidence).outcome == FAILED for check in reasons):
        return not_applicable("LoadGen says INVALID, and another rule says why.")
    reason = str(run.results.get("result_invalid_reason") or "It gives no reason.").strip()
    return failed("INVALID", f"LoadGen calls the test INVALID. {reason} Run it again.", again)


def _samples(evidence: Evidence) -> Finding:
    if evidence.performance is None or evidence.smoke:
        return not_applicable("There is no performance test of the whole data set.")
    full, run = evidence.category.dataset_samples, evidence.performance.loadgen
    counts = {
        "LoadGen drew from": run.effective.get("performance_sample_count"),
        "LoadGen issued": evidence.performance.sample_count,
    }
    if evidence.scenario is Scenario.OFFLINE:
        counts["LoadGen's query was of"] = run.effective.get("samples_per_query")
    for what, count in counts.items():
        if isinstance(count, int) and count >= full:
            continue
        found = formatting.count(count if isinstance(count, int) else None)
        text = (
            f"{what} {found} samples in the performance test; at least {formatting.count(full)} "
            "are needed. Leave out --total-sample-count and run it again."
        )
        return failed(f"{what} {found}", text, full_run(evidence.config))
    return passed(formatting.count(evidence.performance.sample_count))


def _duration(evidence: Evidence) -> Finding:
    """A smoke run has no least duration because of its size: one cause, told once."""
    if evidence.performance is None:
        return not_applicable(_NO_TEST)
    flags, least_s = evidence.config["flags"], evidence.official.min_duration_s
    if evidence.smoke and flags["min_duration_s"] is None:
        return not_applicable("A smoke run has no least duration.")
    told_ms = number(evidence.performance.loadgen.effective, "min_duration_ms")
    if told_ms is not None and told_ms >= 1000 * least_s:
        return passed(formatting.duration(told_ms / 1000))
    found = formatting.duration(None if told_ms is None else told_ms / 1000)
    text = (
        f"The performance test was allowed to end after {found}; the rules ask for at least "
        f"{formatting.duration(least_s)}. Leave out --min-duration."
    )
    return failed(found, text, full_run(evidence.config))


def _duration_reached(evidence: Evidence) -> Finding:
    if evidence.performance is None:
        return not_applicable(_NO_TEST)
    run = evidence.performance.loadgen
    if not run.ended:
        return not_applicable("LoadGen's log breaks off.")
    if run.results.get("result_min_duration_met") is True:
        return passed(formatting.duration(validity.lasted_s(run)))
    found = formatting.duration(validity.lasted_s(run))
    return failed(found, validity.too_short(run), longer(evidence.config))


def _queries(evidence: Evidence) -> Finding:
    if evidence.performance is None:
        return not_applicable(_NO_TEST)
    run = evidence.performance.loadgen
    if not run.ended:
        return not_applicable("LoadGen's log breaks off.")
    found = f"{formatting.count(run.sample_count)} samples"
    if run.results.get("result_min_queries_met") is True:
        return passed(found)
    text = (
        f"LoadGen stopped after {found}, fewer than it was to issue; its errors in the detail log "
        "say why. Run it again."
    )
    return failed(found, text, repeat(evidence.config, "The same again:"))


PERFORMANCE = (
    Spec(
        "performance-errors",
        VALIDITY,
        "CHK/checks/performance_check.py:111-540",
        always("LoadGen has no errors in the performance test"),
        _errors,
    ),
    Spec(
        "loadgen-valid",
        VALIDITY,
        "loadgen/results.cc:489-531",
        always("LoadGen says VALID"),
        _loadgen_valid,
    ),
    Spec(
        "performance-samples",
        OFFICIAL,
        "CHK/checks/performance_check.py:111-540",
        lambda e: f"the performance test has at least {e.category.dataset_samples:,} samples",
        _samples,
    ),
    Spec(
        "least-duration",
        OFFICIAL,
        "CHK/checks/performance_check.py:111-540",
        lambda e: f"the performance test has to last {e.official.min_duration_s} s",
        _duration,
        departure="min_duration",
    ),
    Spec(
        "duration-reached",
        VALIDITY,
        "loadgen/results.cc:293-294",
        always("the performance test lasted as long as it had to"),
        _duration_reached,
    ),
    Spec(
        "queries-reached",
        VALIDITY,
        "loadgen/results.cc:489-531",
        always("LoadGen issued all the queries it was to"),
        _queries,
    ),
)
