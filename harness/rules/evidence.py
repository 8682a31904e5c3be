"""All that a run folder holds, once it has been read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness import rounds
from harness.config import Scenario
from harness.loadgen.rate_search import Probe
from harness.metrics import (
    AccuracyResult,
    ComplianceResult,
    LoadGenRun,
    PerformanceResult,
    SampleTimes,
    TimelinePoint,
)
from harness.rounds import HIGH_ACCURACY_MULTIPLIER, Category, LatencyLimits, Round
from harness.scoring.accuracy import printed_percent

ROUGE_NAMES = ("rouge1", "rouge2", "rougeL", "rougeLsum")


@dataclass(frozen=True)
class Evidence:
    """All that a run folder holds; what the run did not come to is None or empty."""

    config: dict[str, Any]  # config.json
    performance: PerformanceResult | None = None
    accuracy: AccuracyResult | None = None
    accuracy_log: LoadGenRun | None = None
    compliance: ComplianceResult | None = None
    answer_lengths: Sequence[int] = ()  # tokens
    answered: Sequence[int] = ()  # the sample of each answer in the accuracy log, repeats included
    samples: Sequence[SampleTimes] = ()
    timeline: Sequence[TimelinePoint] = ()
    problems: tuple[str, ...] = ()  # a sentence for each log of a failed run that cannot be read

    @property
    def finished(self) -> bool:
        """Whether the run came to its end; a run that was killed still says "running"."""
        return bool(self.config["run"]["status"] == "finished")

    @property
    def scenario(self) -> Scenario:
        """The scenario asked for; LoadGen's own word for Interactive is Server."""
        return Scenario(self.config["flags"]["scenario"])

    @property
    def official(self) -> Round:
        """The official constants this run was measured against."""
        return rounds.ROUNDS[self.config["flags"]["version"]]

    @property
    def category(self) -> Category:
        """The official constants of datacenter or edge."""
        return self.official.category(self.config["flags"]["category"])

    @property
    def limits(self) -> LatencyLimits | None:
        """The latency limits of the scenario, None where it has none."""
        return self.official.latency_limits(self.scenario.value)

    @property
    def probes(self) -> tuple[Probe, ...]:
        """The probes of a rate search in their order; empty when none ran."""
        return tuple(Probe(**probe) for probe in self.config["resolved"].get("probes") or ())

    @property
    def gate_multiplier(self) -> float:
        """The share of the reference that ROUGE must reach."""
        high = self.config["flags"]["high_accuracy"]
        return HIGH_ACCURACY_MULTIPLIER if high else self.official.gate_multiplier

    @property
    def smoke(self) -> bool:
        """Whether the settings asked for less than the whole data set."""
        resolved = self.config["resolved"]
        whole = resolved["sample_count"] == self.category.dataset_samples
        return not (whole and resolved["full_size"])

    @property
    def full_size(self) -> bool:
        """Whether the whole data set ran, by the settings and by the logs."""
        full = self.category.dataset_samples
        performance, accuracy = self.performance, self.accuracy
        return (
            bool(self.config["resolved"]["full_size"])
            and (performance is None or (performance.sample_count or 0) >= full)
            and (accuracy is None or accuracy.total_samples == full)
        )


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
    found = []
    for name in ROUGE_NAMES:
        value = printed_percent(getattr(result, name))  # what the official comparison is on
        found.append(gate(name, value, limits[name], None, getattr(targets, name)))
    # A total over all answers: in proportion where only some of the data set ran.
    reference = targets.gen_len * result.gen_num / evidence.category.dataset_samples
    low, high = limits["gen_len_low"], limits["gen_len_high"]
    return (*found, gate("gen_len", result.gen_len, low, high, reference))
