"""What breaks a rule: each takes the evidence of a run to that of another run."""

from __future__ import annotations

import copy
import dataclasses
import shlex
from collections.abc import Callable
from typing import Any

import pytest

from harness.config import RunConfig, Scenario
from harness.metrics import LatencyStats, LoadGenRun, SampleTimes
from harness.rules.departures import RunFacts, departures
from harness.rules.evidence import Evidence
from harness.rules.verdict import INVALID, NOT_FINISHED, UNOFFICIAL, judge
from tests.rules.runs import TEST06, finished_config, good, names, user_conf_of

Change = Callable[[Evidence], Evidence]
Cases = dict[str, list[tuple[Scenario, Change]]]  # by rule: the scenario, and what breaks the rule


def each_case(cases: Cases) -> pytest.MarkDecorator:
    """Parametrises a test by `rule`, `scenario` and `change`."""
    return pytest.mark.parametrize(
        ("rule", "scenario", "change"),
        [
            pytest.param(rule, scenario, change, id=f"{rule}-{number}-{scenario}")
            for rule, changes in cases.items()
            for number, (scenario, change) in enumerate(changes)
        ],
    )


def assert_broken_alone(rule: str, scenario: Scenario, change: Change) -> None:
    """The verdict names this rule and no other, in sentences and with a way out."""
    judged = judge(change(good(scenario)))
    assert names(judged) == [rule]
    (broken,) = judged.failed
    result = INVALID if broken.kind == "validity" else UNOFFICIAL
    assert judged.result == (NOT_FINISHED if rule == "finished" else result)
    assert not judged.official
    assert not broken.sentence[0].islower() and broken.sentence.endswith((".", "!"))
    assert "None" not in broken.sentence and "  " not in broken.sentence
    assert broken.sentence.count(". ") <= 2
    assert broken.remedy and broken.remedy_why
    assert shlex.split(broken.remedy)[:2] in (["python", "run.py"], ["pip", "install"])


def performance(**values: Any) -> Change:
    def change(evidence: Evidence) -> Evidence:
        assert evidence.performance
        changed = dataclasses.replace(evidence.performance, **values)
        return dataclasses.replace(evidence, performance=changed)

    return change


def performance_log(**values: Any) -> Change:
    """Fields of LoadGen's account of the performance test; dictionaries are merged."""

    def change(evidence: Evidence) -> Evidence:
        assert evidence.performance
        return performance(loadgen=altered(evidence.performance.loadgen, values))(evidence)

    return change


def accuracy_log(**values: Any) -> Change:
    def change(evidence: Evidence) -> Evidence:
        assert evidence.accuracy_log
        log = altered(evidence.accuracy_log, values)
        return dataclasses.replace(evidence, accuracy_log=log)

    return change


def compliance_log(**values: Any) -> Change:
    """TEST06's log: that of the performance test, changed."""

    def change(evidence: Evidence) -> Evidence:
        assert evidence.performance
        log = altered(evidence.performance.loadgen, values)
        return dataclasses.replace(evidence, compliance_log=log)

    return change


def altered(run: LoadGenRun, values: dict[str, Any]) -> LoadGenRun:
    merged = {k: getattr(run, k) | v if isinstance(v, dict) else v for k, v in values.items()}
    return dataclasses.replace(run, **merged)


def invalid(**results: object) -> Change:
    """LoadGen says INVALID, for the reason it gives."""
    return performance_log(valid=False, results=results)


def recorded(part: str, **values: Any) -> Change:
    """Values of one part of config.json; dictionaries are merged."""

    def change(evidence: Evidence) -> Evidence:
        record = copy.deepcopy(evidence.config)
        for key, value in values.items():
            old = record[part].get(key)
            record[part][key] = old | value if isinstance(old, dict) else value
        return dataclasses.replace(evidence, config=record)

    return change


def asked(facts: dict[str, Any] | None = None, **flags: Any) -> Change:
    """A run with other flags, which recorded its own departures."""

    def change(evidence: Evidence) -> Evidence:
        before = RunConfig(scenario=evidence.scenario, category=evidence.flags.category)
        now = before.with_values(**flags)
        record = finished_config(now)
        count = now.total_sample_count or before.category_record.dataset_samples
        known = RunFacts(count, None, None, False, "5.1")
        ways = departures(now, dataclasses.replace(known, **facts or {}))
        record["departures"] = [dataclasses.asdict(departure) for departure in ways]
        changed = dataclasses.replace(evidence, config=record)
        assert evidence.performance
        written = user_conf_of(now, evidence.performance.loadgen, count)
        return dataclasses.replace(changed, user_conf=written)

    return change


def departed(name: str) -> Change:
    """The run itself recorded a departure that nothing else in its folder shows."""
    departure = {"id": name, "sentence": "It was otherwise."}
    return lambda e: dataclasses.replace(e, config=e.config | {"departures": [departure]})


def without(**fields: Any) -> Change:
    return lambda evidence: dataclasses.replace(evidence, **fields)


def scored(**values: Any) -> Change:
    def change(evidence: Evidence) -> Evidence:
        assert evidence.accuracy
        judged = dataclasses.replace(evidence.accuracy, **values)
        return dataclasses.replace(evidence, accuracy=judged)

    return change


def smoke(count: int) -> Change:
    """All that a run of a few samples leaves, measured as it was told to."""

    def change(evidence: Evidence) -> Evidence:
        few = scored(total_samples=count, gen_num=count)(asked(total_sample_count=count)(evidence))
        few = accuracy_log(dataset_samples=count, sample_count=count)(few)
        few = dataclasses.replace(few, answered=range(count), samples=few.samples[:count])
        few = performance_log(
            sample_count=count,
            effective={"performance_sample_count": count, "min_duration_ms": 0},
        )(few)
        return performance(sample_count=count)(few)

    return change


def slow(scenario_ms: float, what: str) -> Change:
    """A p99 over the limit, with LoadGen's INVALID where LoadGen knows that limit."""
    stats = LatencyStats(p99_ms=scenario_ms)
    told = {"result_perf_constraints_met": False, "early_stopping_met": False}
    return lambda e: performance(**{what: stats})(invalid(**told)(e))


def late(count: int, *, ttft_s: float = 0.01) -> Change:
    """So many queries whose first token came after `ttft_s`."""

    def change(evidence: Evidence) -> Evidence:
        samples = list(evidence.samples)
        for index in range(count):
            at = samples[index].issued_s
            samples[index] = SampleTimes(index, at, at + ttft_s, at + ttft_s + 1, 128)
        return dataclasses.replace(evidence, samples=samples)

    return change


def compliance(**values: Any) -> Change:
    return without(compliance=dataclasses.replace(TEST06, **values))
