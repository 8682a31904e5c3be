"""What the official checkers ask of a run in every division, the open one too.

Most rules of the verdict are of the closed division alone, and open takes what departs from them.
These are not: a tree that breaks one of them is rejected. Where the two checkers differ, either
one's word is enough, as far as it knows the round.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness import formatting
from harness.config import Scenario
from harness.language import phrase
from harness.logs.detail import number
from harness.metrics import LoadGenRun
from harness.rules.evidence import Evidence
from harness.rules.headline import headline_figure
from harness.rules.loadgen_release import SEEDS
from harness.rules.needs import performance_test

BOTH = phrase("both official checkers")
OF_V5_1 = phrase(
    "the checker of v5.1.1"
)  # tools/submission/submission_checker.py: knows v5.1 alone
NEWEST = phrase(
    "the newest checker"
)  # tools/submission/submission_checker/: CHK, knows every round

_DRAWN_FROM = "performance_sample_count"  # LoadGen's word


@dataclass(frozen=True)
class Rejected:
    """A rule of the verdict that holds in every division, as a run breaks it."""

    rule: str  # its id in the verdict
    found: str
    checkers: str

    def in_words(self) -> str:
        """The rule, what was found, and who rejects it."""
        return phrase(
            "{rule}: {found} (rejected by {checkers}).",
            rule=self.rule, found=self.found, checkers=self.checkers,
        )  # fmt: skip


def rejections(evidence: Evidence) -> list[Rejected]:
    """Every reason for which a checker of the round rejects this run in the open division."""
    assert evidence.performance is not None and evidence.accuracy_log is not None
    log = evidence.performance.loadgen
    found = [rejected for check in _CHECKS if (rejected := check(evidence, log))]
    found += _accuracy(evidence, evidence.accuracy_log)
    if evidence.official.name == "5.1":
        return found
    return [
        Rejected(rejected.rule, rejected.found, phrase("the official checker"))
        for rejected in found
        if rejected.checkers != OF_V5_1
    ]


def _seeds(evidence: Evidence, log: LoadGenRun) -> Rejected | None:
    wrong = [s for s in SEEDS if getattr(log, s) != getattr(evidence.official.seeds, s)]
    if not wrong:
        return None
    found = phrase(
        "not v{version}'s in the performance log: {seeds}",
        version=evidence.official.name, seeds=", ".join(wrong),
    )  # fmt: skip
    return Rejected("seeds", found, BOTH)


def _drawn_from(evidence: Evidence, log: LoadGenRun) -> Rejected | None:
    whole, count = evidence.category.dataset_samples, number(log.effective, _DRAWN_FROM)
    if count is not None and count >= whole:
        return None
    found = phrase("the performance test drew from {count}", count=_of(count, whole))
    return Rejected("performance-samples", found, BOTH)


def _samples_of_the_query(evidence: Evidence, log: LoadGenRun) -> Rejected | None:
    whole, count = evidence.category.dataset_samples, number(log.effective, "samples_per_query")
    if evidence.scenario is not Scenario.OFFLINE or (count is not None and count >= whole):
        return None
    found = phrase("Offline's query was of {count}", count=_of(count, whole))
    return Rejected("performance-samples", found, OF_V5_1)


def _duration(evidence: Evidence, log: LoadGenRun) -> Rejected | None:
    configured_ms = number(log.effective, "min_duration_ms")
    minimum_s = evidence.official.min_duration_s
    if configured_ms is not None and configured_ms >= 1000 * minimum_s:
        return None
    lasted = formatting.duration(None if configured_ms is None else configured_ms / 1000)
    found = phrase(
        "the performance test could end after {lasted}, not {minimum}",
        lasted=lasted, minimum=formatting.duration(minimum_s),
    )  # fmt: skip
    return Rejected("minimum-duration", found, BOTH)


def _queries(evidence: Evidence, log: LoadGenRun) -> Rejected | None:
    minimum = number(log.effective, "min_query_count")
    if evidence.scenario is not Scenario.OFFLINE or (minimum is not None and minimum >= 1):
        return None
    found = phrase("min_query_count is {count}", count=formatting.count(minimum))
    return Rejected("minimum-queries", found, BOTH)


def _scenario(evidence: Evidence, log: LoadGenRun) -> Rejected | None:
    if log.scenario == evidence.scenario.loadgen_name:
        return None
    found = phrase("the performance log is of {scenario}", scenario=log.scenario)
    return Rejected("loadgen-scenario", found, BOTH)


def _tokens(_evidence: Evidence, log: LoadGenRun) -> Rejected | None:
    if log.requested.get("use_token_latencies") is True:
        return None
    return Rejected("token-latencies", phrase("use_token_latencies is off"), BOTH)


def _ttft(evidence: Evidence, log: LoadGenRun) -> Rejected | None:
    key = "result_first_token_99.00_percentile_latency_ns"
    return _latency("ttft", number(log.results, key), evidence)


def _tpot(evidence: Evidence, log: LoadGenRun) -> Rejected | None:
    key = "result_time_per_output_token_99.00_percentile_ns"
    return _latency("tpot", number(log.results, key), evidence)


def _latency(name: str, logged_ns: float | None, evidence: Evidence) -> Rejected | None:
    """The newest checker holds Interactive to Server's limits, since LoadGen calls it Server."""
    if evidence.limits is None:
        return None
    own_ms: float = getattr(evidence.limits, f"{name}_p99_ms")
    servers_ms: float = getattr(evidence.official.server_limits, f"{name}_p99_ms")
    p99_ms = None if logged_ns is None else logged_ns / 1e6
    if p99_ms is not None and p99_ms < own_ms:
        return None
    checkers = OF_V5_1 if p99_ms is not None and p99_ms < servers_ms else BOTH
    found = phrase(
        "p99 is {p99}, not below {limit}",
        p99=formatting.milliseconds(p99_ms), limit=formatting.milliseconds(own_ms),
    )  # fmt: skip
    return Rejected(name, found, checkers)


def _target_latency(evidence: Evidence, log: LoadGenRun) -> Rejected | None:
    most_ms = evidence.official.most_target_latency_ms
    logged_ns = number(log.effective, "target_latency_ns")
    if evidence.limits is None or (logged_ns is not None and logged_ns <= 1e6 * most_ms):
        return None
    latency = formatting.milliseconds(None if logged_ns is None else logged_ns / 1e6)
    most = formatting.milliseconds(most_ms)
    found = phrase("the target latency is {latency}, above {most}", latency=latency, most=most)
    return Rejected("target-latency", found, BOTH)


def _early_stopping(evidence: Evidence, log: LoadGenRun) -> Rejected | None:
    if evidence.scenario is Scenario.OFFLINE or log.results.get("early_stopping_met") is True:
        return None
    return Rejected("early-stopping", phrase("LoadGen says that it was not met"), NEWEST)


def _headline(evidence: Evidence, _log: LoadGenRun) -> Rejected | None:
    test = performance_test(evidence)
    assert test is not None
    key, _words, figure = headline_figure(test)
    if figure is not None and figure > 0:
        return None
    return Rejected("headline-figure", phrase("the log has no usable {key}", key=key), BOTH)


def _valid(_evidence: Evidence, log: LoadGenRun) -> Rejected | None:
    if log.valid:
        return None
    said = phrase("LoadGen says INVALID")
    if log.valid is None:
        said = phrase("LoadGen does not say that the test is valid")
    return Rejected("loadgen-valid", said, OF_V5_1)


def _errors(_evidence: Evidence, log: LoadGenRun) -> Rejected | None:
    if not log.errors and log.results.get("num_errors") == 0:
        return None
    first = f": {log.errors[0].rstrip(' .')}" if log.errors else ""
    found = phrase("the performance log has errors{first}", first=first)
    return Rejected("performance-errors", found, OF_V5_1)


def _accuracy(evidence: Evidence, log: LoadGenRun) -> list[Rejected]:
    """Of the accuracy test open asks for the log alone, whatever the answers are worth."""
    found = []
    if log.errors:
        text = phrase("the accuracy log has errors: {first}", first=log.errors[0].rstrip(" ."))
        found.append(Rejected("accuracy-errors", text, NEWEST))
    whole = evidence.category.dataset_samples
    count = number(log.effective, "accuracy_sample_count") or log.dataset_samples
    if count != whole:
        text = phrase("the accuracy test is of {count}", count=_of(count, whole))
        found.append(Rejected("accuracy-samples", text, NEWEST))
    return found


def _of(count: float | None, whole: int) -> str:
    return phrase(
        "{count} samples, not {whole}",
        count=formatting.count(count), whole=formatting.count(whole),
    )  # fmt: skip


_Check = Callable[[Evidence, LoadGenRun], Rejected | None]
# CHK/checks/performance_check.py:111-540 and v5.1.1:tools/submission/submission_checker.py
_CHECKS: tuple[_Check, ...] = (
    _seeds,
    _drawn_from,
    _samples_of_the_query,
    _duration,
    _queries,
    _scenario,
    _tokens,
    _ttft,
    _tpot,
    _target_latency,
    _early_stopping,
    _headline,
    _valid,
    _errors,
)
