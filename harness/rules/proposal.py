"""Commands to propose after a run: each can be VALID, whatever made this run INVALID."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from harness import formatting
from harness.command_line import value_of, with_flag, without_flag, without_flags
from harness.config import Scenario
from harness.language import edited, joined, phrase
from harness.rounds import Round
from harness.rules.evidence import Evidence
from harness.rules.needs import performance_test
from harness.rules.rule import NextStep
from harness.rules.validity import PerformanceTest

# What a first look takes: enough to prove a percentile though some queries are late, and no more.
SMOKE_SAMPLES = {
    Scenario.OFFLINE: 20,
    Scenario.SERVER: 1000,
    Scenario.INTERACTIVE: 1000,
    Scenario.SINGLESTREAM: 100,
}
_SLOWER = 0.9  # a first step down in rate that usually clears a missed latency limit


def propose(
    evidence: Evidence, why: str, command: Sequence[str], *, says_the_rate: bool = False
) -> NextStep:
    """A command that can be VALID: of samples enough, and not at a rate that has failed."""
    words, changes = list(command), list[str]()
    if (asked := _samples(evidence, words)) < (fewest := _fewest(evidence, words)):
        words = _with_samples(evidence, words, fewest)
        asked = _samples(evidence, words)
        changes.append(
            phrase(
                "with {asked} samples, as fewer prove no percentile", asked=formatting.count(asked)
            )
        )
    if _is_as_slow(evidence, words) and (rate := _rate_that_may_hold(evidence)):
        words = with_flag(words, "--server-target-qps", rate)
        changes += [] if says_the_rate else [phrase("at a lower rate")]
    if changes:
        why = phrase(
            "{why} ({changes}):",
            why=edited(why, lambda text: text.removesuffix(":")),
            changes=joined(", ", changes),
        )
    return NextStep(why, shlex.join(words))


def _scenario(evidence: Evidence, words: Sequence[str]) -> Scenario:
    return Scenario(value_of(words, "--scenario") or evidence.scenario)


def _fewest(evidence: Evidence, words: Sequence[str]) -> int:
    """How many samples a command needs for a performance test that proves its percentile."""
    if value_of(words, "--mode") == "accuracy":
        return 1
    fewest = fewest_samples(evidence.official, _scenario(evidence, words))
    issued = evidence.performance.sample_count if evidence.performance else None
    if _same(evidence, words, "--total-sample-count", "--min-duration", "--scenario"):
        return 1 if (issued or 0) >= fewest else fewest  # passes over the data set may be many
    return fewest


def fewest_samples(official: Round, scenario: Scenario) -> int:
    """Of fewer queries early stopping makes nothing."""
    if scenario in (Scenario.SERVER, Scenario.INTERACTIVE):
        return official.early_stopping_min_queries_server
    if scenario is Scenario.SINGLESTREAM:
        return official.early_stopping_min_queries_single_stream
    return 1


def _samples(evidence: Evidence, words: Sequence[str]) -> int:
    """How many samples a command would run."""
    given = value_of(words, "--total-sample-count")
    if given is not None and given.isdigit():
        return int(given)
    if _same(evidence, words, "--dataset", "--dataset-path", "--category"):
        return min(_available(evidence), _whole(evidence))
    return evidence.category.dataset_samples


def _whole(evidence: Evidence) -> int:
    """The samples of this run's data set where no number is asked for."""
    if evidence.flags.total_sample_count is None:
        return evidence.sample_count
    return evidence.category.dataset_samples


def _available(evidence: Evidence) -> int:
    """How many samples a run could have of this run's data set."""
    data = evidence.config["dataset"]
    if evidence.flags.dataset_path and data["unofficial_because"]:
        # An earlier version of this program did not record it.
        return int(data.get("available", evidence.sample_count))
    return int(data.get("available", evidence.category.dataset_samples))


def _with_samples(evidence: Evidence, words: list[str], fewest: int) -> list[str]:
    """A command of samples enough; with the official articles where its own are too few."""
    words = without_flag(words, "--max-model-len")  # a longer prompt may be among them
    most = _available(evidence)
    if most < fewest:
        words = without_flags(words, "--dataset", "--dataset-path")
        most = evidence.category.dataset_samples
    samples = min(most, SMOKE_SAMPLES[_scenario(evidence, words)])
    return with_flag(words, "--total-sample-count", f"{samples}")


def _same(evidence: Evidence, words: Sequence[str], *flags: str) -> bool:
    return all(value_of(words, flag) == value_of(evidence.command, flag) for flag in flags)


def _is_as_slow(evidence: Evidence, words: Sequence[str]) -> bool:
    """Whether what failed at a rate fails at it again."""
    same = _same(evidence, words, "--model", "--scenario", "--category")
    return same and value_of(words, "--mode") != "accuracy"


def _rate_that_may_hold(evidence: Evidence) -> str | None:
    """A step down from the rate at which this run missed a latency limit; None: it missed none."""
    test = performance_test(evidence)
    if test is None or test.limits is None or not test.result.target_qps:
        return None
    latencies = (
        (test.result.ttft, test.limits.ttft_p99_ms),
        (test.result.tpot, test.limits.tpot_p99_ms),
    )
    missed = any(s is not None and (s.p99_ms or 0) >= limit_ms for s, limit_ms in latencies)
    if missed or (not too_few_queries(test) and _is_unproven(evidence, test)):
        return f"{_SLOWER * test.result.target_qps:.4g}"
    return None


def _is_unproven(evidence: Evidence, test: PerformanceTest) -> bool:
    """Whether too many of queries enough were late, by LoadGen's word or by our own times."""
    counts = evidence.limit_counts
    late = max(counts.ttft_over, counts.tpot_over) if counts else 0
    allowed = (counts.allowed or 0) if counts else 0
    return late > allowed or test.loadgen.results.get("early_stopping_met") is not True


def too_few_queries(test: PerformanceTest) -> bool:
    """Whether a test issued so few queries that no percentile could be proven."""
    return (test.result.sample_count or 0) < fewest_samples(test.official, test.scenario)
