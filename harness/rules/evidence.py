"""All that a run folder holds, once it has been read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from harness.config import RunConfig, Scenario, is_full_size
from harness.limits import LimitCounts, count_over_limits
from harness.loadgen.rate_search import Probe
from harness.metrics import (
    AccuracyResult,
    ComplianceResult,
    LoadGenRun,
    PerformanceResult,
    ReadableAnswer,
    SampleTimes,
    TelemetryPoint,
    TimelinePoint,
)
from harness.rounds import HIGH_ACCURACY_MULTIPLIER, Category, LatencyLimits, Round
from harness.rules.departures import Departure
from harness.scoring.accuracy import printed_percent

ROUGE_NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


@dataclass(frozen=True)
class Repeat:
    """A performance test beside the one in Performance/."""

    number: int  # in the order of measuring, from 1
    performance: PerformanceResult
    samples: Sequence[SampleTimes] = ()


@dataclass(frozen=True)
class Evidence:
    """All that a run folder holds; what the run did not come to is None or empty."""

    config: dict[str, Any]  # config.json
    performance: PerformanceResult | None = None
    accuracy: AccuracyResult | None = None
    accuracy_log: LoadGenRun | None = None
    accuracy_log_sha256: str | None = None  # of the answers; None: there is no such log
    compliance: ComplianceResult | None = None  # judged anew from its logs
    compliance_log: LoadGenRun | None = None
    answer_lengths: Sequence[int] = ()  # tokens
    answers: Sequence[ReadableAnswer] = ()  # of the accuracy test, where they could be decoded
    answered: Sequence[int] = ()  # the sample of each answer in the accuracy log, repeats included
    user_conf: str | None = None  # the text of user.conf
    samples: Sequence[SampleTimes] = ()
    timeline: Sequence[TimelinePoint] = ()
    telemetry: Sequence[TelemetryPoint] = ()  # absent in folders of earlier versions
    own_number: int = 1  # which of repeated performance tests lies in Performance/
    repeats: tuple[Repeat, ...] = ()  # the others
    problems: tuple[str, ...] = ()  # a sentence for each log of a failed run that cannot be read

    @cached_property
    def flags(self) -> RunConfig:
        """The flags of the run, as config.json has them."""
        return RunConfig.from_json(self.config["flags"])

    @property
    def command(self) -> list[str]:
        """The command of the run, as it was typed."""
        command: list[str] = self.config["run"]["command"]
        return command

    @property
    def performance_tests(self) -> dict[int, PerformanceResult]:
        """Every performance test by its number, in the order of measuring; empty without one."""
        tests = {test.number: test.performance for test in self.repeats}
        if self.performance is not None:
            tests[self.own_number] = self.performance
        return dict(sorted(tests.items()))

    @property
    def departures(self) -> tuple[Departure, ...]:
        """How the run departs from the official rules by its own word."""
        return tuple(Departure(d["id"], d["sentence"]) for d in self.config["departures"])

    @property
    def finished(self) -> bool:
        """Whether the run came to its end; a run that was killed still says "running"."""
        return bool(self.config["run"]["status"] == "finished")

    @property
    def scenario(self) -> Scenario:
        """The scenario asked for; LoadGen's own word for Interactive is Server."""
        return self.flags.scenario

    @property
    def official(self) -> Round:
        """The official constants this run was measured against."""
        return self.flags.round

    @property
    def category(self) -> Category:
        """The official constants of datacenter or edge."""
        return self.flags.category_record

    @property
    def limits(self) -> LatencyLimits | None:
        """The latency limits of the scenario, None where it has none."""
        return self.official.latency_limits(self.scenario.value)

    @cached_property
    def limit_counts(self) -> LimitCounts | None:
        """How many queries were over a limit by our own times; None: no limits, or no times."""
        return count_over_limits(self.samples, self.limits)

    @property
    def probes(self) -> tuple[Probe, ...]:
        """The probes of a rate search in their order; empty when none ran."""
        return tuple(Probe(**probe) for probe in self.config["resolved"].get("probes") or ())

    @property
    def gate_multiplier(self) -> float:
        """The share of the reference that ROUGE must reach."""
        high = self.flags.high_accuracy
        return HIGH_ACCURACY_MULTIPLIER if high else self.official.gate_multiplier

    @property
    def sample_count(self) -> int:
        """How many samples of the data set the run was made for."""
        return int(self.config["resolved"]["sample_count"])

    @property
    def full_size(self) -> bool:
        """Whether the run was made for the whole data set; a smoke run was not."""
        whole = is_full_size(self.flags, self.sample_count)
        return whole and bool(self.config["resolved"]["full_size"])


@dataclass(frozen=True)
class Gate:
    """One accuracy metric against its gate; ROUGE in percent, lengths in characters."""

    name: str
    value: float
    low: float
    high: float | None
    reference: float
    passed: bool | None  # None: not judged


def gates(evidence: Evidence) -> tuple[Gate, ...]:
    """The five gated metrics in the order of the official table; empty when nothing was scored."""
    result, targets = evidence.accuracy, evidence.category.accuracy
    if result is None or result.gen_len is None or not result.thresholds:
        return ()

    def gate(name: str, value: float, low: float, high: float | None, reference: float) -> Gate:
        passed = value >= low and (high is None or value <= high)
        judged = result is not None and result.passed is not None
        return Gate(name, value, low, high, reference, passed if judged else None)

    limits = result.thresholds
    rows = []
    for name in ROUGE_NAMES:
        value = printed_percent(getattr(result, name))  # what the official comparison is on
        rows.append(gate(name, value, limits[name], None, getattr(targets, name)))
    # A total over all answers: in proportion where only some of the data set ran.
    reference = targets.gen_len * result.gen_num / evidence.category.dataset_samples
    low, high = limits["gen_len_low"], limits["gen_len_high"]
    return (*rows, gate("gen_len", result.gen_len, low, high, reference))
