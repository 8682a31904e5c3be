"""The parts of a run folder that rules look at, and what is said where one is missing."""

from __future__ import annotations

from harness.config import Scenario
from harness.language import phrase
from harness.metrics import AccuracyResult, LoadGenRun
from harness.rules.evidence import Evidence
from harness.rules.rule import Need
from harness.rules.validity import NO_LIMITS, PerformanceTest

Log = tuple[str, LoadGenRun]  # "accuracy" or "performance", and LoadGen's account of that test


def loadgen_logs(evidence: Evidence) -> list[Log]:
    """LoadGen's accounts of the tests of this run; empty where there are none."""
    logs = []
    if evidence.accuracy_log:
        logs.append((phrase("accuracy"), evidence.accuracy_log))
    if evidence.performance:
        logs.append((phrase("performance"), evidence.performance.loadgen))
    return logs


def performance_test(evidence: Evidence) -> PerformanceTest | None:
    """The performance test of this run and what it has to keep by the official rules."""
    if evidence.performance is None:
        return None
    return PerformanceTest(
        result=evidence.performance,
        scenario=evidence.scenario,
        official=evidence.official,
        limits=evidence.limits,
        samples=evidence.samples,
    )


def _full_performance_test(evidence: Evidence) -> PerformanceTest | None:
    return performance_test(evidence) if evidence.full_size else None


def _test_with_limits(evidence: Evidence) -> PerformanceTest | None:
    return performance_test(evidence) if evidence.limits else None


def _test_with_percentile(evidence: Evidence) -> PerformanceTest | None:
    return None if evidence.scenario is Scenario.OFFLINE else performance_test(evidence)


def _known_to_loadgen(evidence: Evidence) -> PerformanceTest | None:
    return None if unknown_model(evidence) else performance_test(evidence)


def unknown_model(evidence: Evidence) -> bool:
    """Whether LoadGen took the settings that it has for no model in particular."""
    performance = evidence.performance
    return (
        performance is not None
        and performance.loadgen.requested.get("use_token_latencies") is False
        and performance.loadgen.effective.get("sample_concatenate_permutation") is False
    )


def _full_accuracy_log(evidence: Evidence) -> LoadGenRun | None:
    return evidence.accuracy_log if evidence.full_size else None


def _both_logs(evidence: Evidence) -> list[Log] | None:
    logs = loadgen_logs(evidence)
    return logs if len(logs) == 2 else None


def _scores(evidence: Evidence) -> AccuracyResult | None:
    """The scores where the gate can be held against them: those of the whole data set."""
    result = evidence.accuracy
    if result is None or result.passed is None or result.gen_len is None or not evidence.full_size:
        return None
    return result if result.gen_num == evidence.category.dataset_samples else None


def _scored_log(evidence: Evidence) -> str | None:
    """The hash of the answers, where there are scores that should be theirs."""
    return evidence.accuracy_log_sha256 if evidence.accuracy else None


NO_SCORES = phrase("The gate is one for the whole data set, and there are no scores of that.")

PERFORMANCE = Need(performance_test, phrase("There is no performance test."))
FULL_PERFORMANCE = Need(
    _full_performance_test, phrase("There is no performance test of the whole data set.")
)
LIMITS = Need(_test_with_limits, NO_LIMITS)
TARGET_LATENCY = Need(_test_with_limits, phrase("Only Server and Interactive have it."))
PERCENTILE = Need(
    _test_with_percentile,
    phrase("Offline has no latency to prove, or there is no performance test."),
)
KNOWN_MODEL = Need(
    _known_to_loadgen, phrase("There is no performance test, or LoadGen did not know the model.")
)
LOGS = Need(
    lambda evidence: loadgen_logs(evidence) or None, phrase("There are no logs of LoadGen.")
)
BOTH_LOGS = Need(_both_logs, phrase("There are no two tests to compare."))
ACCURACY_LOG = Need(lambda evidence: evidence.accuracy_log, phrase("There is no accuracy test."))
FULL_ACCURACY_LOG = Need(
    _full_accuracy_log, phrase("There is no accuracy test of the whole data set.")
)
SCORES = Need(_scores, NO_SCORES)
SCORED_LOG = Need(_scored_log, phrase("There are no scores, or no answers they could be of."))
