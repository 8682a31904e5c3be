"""The verdict: a run that keeps every rule, and for each rule runs that break that one alone."""

from __future__ import annotations

import copy
import dataclasses
import json
import shlex
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure

import report
import util_logs
from harness.config import RunConfig, Scenario
from harness.errors import LogError
from harness.measure import execution
from harness.metrics import (
    ComplianceCheck,
    ComplianceResult,
    LatencyStats,
    LoadGenRun,
    PerformanceResult,
    SampleTimes,
)
from harness.rounds import V5_1, V6_1
from harness.rules import verdict
from harness.rules.departures import RunFacts, departures
from harness.rules.evidence import Evidence
from harness.rules.verdict import INVALID, OFFICIAL_READY, UNOFFICIAL, Verdict, judge
from harness.scoring import accuracy
from tests.report.test_report import DATA, config_json, rouge

OFFLINE, SERVER = Scenario.OFFLINE, Scenario.SERVER
INTERACTIVE, SINGLESTREAM = Scenario.INTERACTIVE, Scenario.SINGLESTREAM
SCENARIOS = tuple(Scenario)
LOGS = {OFFLINE: "offline-valid", SINGLESTREAM: "singlestream-valid"}
TEST06 = ComplianceResult(True, (ComplianceCheck("a check", True, "It holds."),), verified=True)
Change = Callable[[Evidence], Evidence]


@pytest.fixture(autouse=True)
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda _self, path, **_options: Path(path).touch())


# A run that keeps every rule: small logs of real LoadGen, their counts those of a full run


def good(scenario: Scenario = OFFLINE, **flags: Any) -> Evidence:
    edge = scenario is SINGLESTREAM or flags.pop("edge", False)
    asked = RunConfig(scenario=scenario, category="edge" if edge else "datacenter", **flags)
    full = asked.category_record.dataset_samples
    folder = DATA / LOGS.get(scenario, "server-valid")
    performance, accuracy_log = small_logs(folder)
    issued = {"performance_sample_count": full, "min_duration_ms": 600_000}
    run = at_full_length(performance.loadgen, scenario, **issued)
    if scenario is OFFLINE:
        run.effective["samples_per_query"] = full
    run = dataclasses.replace(run, sample_count=full)
    test = dataclasses.replace(
        at_full_length(accuracy_log, scenario, performance_sample_count=full),
        scenario=scenario.loadgen_name, dataset_samples=full, sample_count=full,
    )  # fmt: skip
    scores = rouge(1.0, full) if not edge else edge_scores()
    judged = accuracy.judge(
        scores, V5_1, asked.category, high_accuracy=asked.high_accuracy, not_judged_because=None
    )
    return Evidence(
        config=finished_config(asked),
        performance=dataclasses.replace(performance, loadgen=run, sample_count=full),
        accuracy=judged,
        accuracy_log=test,
        answer_lengths=[128] * full,
        answered=list(range(full)),
        compliance=None if edge else TEST06,
        samples=prompt_answers(full),
    )


@cache
def small_logs(folder: Path) -> tuple[PerformanceResult, LoadGenRun]:
    performance = util_logs.performance_result(folder)
    assert performance is not None
    detail = DATA / "offline-valid" / "Accuracy" / "mlperf_log_detail.txt"
    return performance, util_logs.read_detail_log(detail)


@cache
def prompt_answers(count: int) -> tuple[SampleTimes, ...]:
    return tuple(SampleTimes(i, i / 20, i / 20 + 0.01, i / 20 + 1, 128) for i in range(count))


def at_full_length(run: LoadGenRun, scenario: Scenario, **effective: object) -> LoadGenRun:
    limits = V5_1.latency_limits(scenario.value)
    told = {}
    if limits:
        told = {"server_ttft_latency": int(1e6 * limits.ttft_p99_ms),
                "server_tpot_latency": int(1e6 * limits.tpot_p99_ms)}  # fmt: skip
    return dataclasses.replace(
        run, effective=run.effective | effective, requested=run.requested | told
    )


def edge_scores() -> accuracy.RougeScores:
    targets = dataclasses.asdict(V5_1.edge.accuracy)
    length = targets.pop("gen_len")
    fractions = {name: value / 100 for name, value in targets.items()}
    return accuracy.RougeScores(**fractions, gen_len=length, gen_num=5000)


def finished_config(asked: RunConfig) -> dict[str, Any]:
    record = config_json(asked)
    # The tests of tests/data began on this day.
    times = {"started": "2026-11-23T20:00:00+00:00", "finished": "2026-11-23T22:00:00+01:00"}
    record["run"] |= times
    return record


def names(found: Verdict) -> list[str]:
    return [rule.id for rule in found.failed]


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_full_run_that_keeps_every_rule_is_official_ready(scenario: Scenario) -> None:
    found = judge(good(scenario))
    assert (found.result, found.official, found.failed) == (OFFICIAL_READY, True, ())


def test_edge_offline_is_official_ready_without_a_compliance_test() -> None:
    found = judge(good(OFFLINE, edge=True))
    assert found.official
    outcomes = {rule.id: rule.outcome for rule in found.rules}
    assert outcomes["compliance-test06"] == outcomes["early-stopping"] == "not applicable"


def test_a_rule_of_the_scenario_is_asked_and_one_of_another_is_not() -> None:
    asked = {s: {r.id for r in judge(good(s)).rules if r.outcome == "passed"} for s in SCENARIOS}
    of_server = {"ttft", "tpot", "target-latency"}
    assert of_server <= asked[SERVER] and of_server <= asked[INTERACTIVE]
    assert not of_server & (asked[OFFLINE] | asked[SINGLESTREAM])
    assert "early-stopping" in asked[SINGLESTREAM] - asked[OFFLINE]
    everything = {spec.id for spec in verdict.SPECS}
    assert set.union(*asked.values()) == everything


@pytest.mark.parametrize("scheme", ["fp8", "fp8_per_channel"])
def test_fp8_is_allowed_and_the_calibration_document_is_named(scheme: str) -> None:
    evidence = good(precision="fp8")
    evidence.config["resolved"]["engine"] |= {"quantization": scheme, "kv_cache_dtype": "fp8"}
    found = judge(evidence)
    assert found.official
    assert "calibration.md" in next(r for r in found.rules if r.id == "precision").sentence


# What breaks one rule each


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


def altered(run: LoadGenRun, values: dict[str, Any]) -> LoadGenRun:
    merged = {k: getattr(run, k) | v if isinstance(v, dict) else v for k, v in values.items()}
    return dataclasses.replace(run, **merged)


def invalid(**results: object) -> Change:
    """LoadGen says INVALID, for the reason it gives."""
    return lambda e: performance(valid=False)(performance_log(valid=False, results=results)(e))


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
        flags_before = evidence.config["flags"]
        before = RunConfig(
            scenario=Scenario(flags_before["scenario"]), category=flags_before["category"]
        )
        now = before.with_values(**flags)
        record = finished_config(now)
        count = now.total_sample_count or before.category_record.dataset_samples
        known = RunFacts(count, None, None, False, "5.1")
        found = departures(now, dataclasses.replace(known, **facts or {}))
        record["departures"] = [dataclasses.asdict(departure) for departure in found]
        return dataclasses.replace(evidence, config=record)

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


SHORT = {"result_min_duration_met": False}
RAN_OUT = "Ending early: Ran out of generated queries to issue before the minimum query count ..."
UNCOMMITTED = "Loadgen built with uncommitted changes!"
BROKEN_CHECK = ComplianceCheck("token count", False, "3 answers have another length.")
BELOW = V5_1.datacenter.accuracy.rouge1 / 100 * 0.98995

# rule -> (scenario, what breaks it) ...
CASES: dict[str, list[tuple[Scenario, Change]]] = {
    "finished": [
        (OFFLINE, recorded("run", status="failed", error="The engine died.")),
        (SERVER, recorded("run", status="interrupted", error=None)),
        (OFFLINE, recorded("run", status="running")),
    ],
    "accuracy-test": [
        (OFFLINE, lambda e: without(accuracy=None, accuracy_log=None, answered=())(
            asked(mode="performance")(e))),
        (SERVER, without(accuracy=None, accuracy_log=None, answered=())),
        (SERVER, departed("no_accuracy")),
    ],
    "performance-test": [
        (OFFLINE, lambda e: without(performance=None, samples=())(asked(mode="accuracy")(e))),
        (SERVER, without(performance=None, samples=())),
        (SERVER, departed("no_performance")),
    ],
    "same-code": [
        (OFFLINE, accuracy_log(began="2026-11-22T20:21:50Z")),
        (SERVER, performance_log(began="2026-11-23T21:00:01Z")),
        (OFFLINE, performance_log(began=None)),
        (OFFLINE, recorded("run", finished=None)),
    ],
    "compliance-test06": [
        (OFFLINE, without(compliance=None)),
        (INTERACTIVE, compliance(passed=False)),
        (SERVER, compliance(passed=False, checks=(BROKEN_CHECK,))),
        (SERVER, compliance(checks=(*TEST06.checks, BROKEN_CHECK))),
        (SERVER, compliance(checks=())),
        (OFFLINE, compliance(verified=False)),
    ],
    "whole-data-set": [
        *((scenario, smoke(13_000 if scenario is not SINGLESTREAM else 4_999))
          for scenario in SCENARIOS),
        (OFFLINE, recorded("resolved", full_size=False)),
        (OFFLINE, departed("sample_count")),
    ],
    "model": [
        (OFFLINE, asked(model="demo")),
        (OFFLINE, asked({"model_unofficial_because": "The model is x."}, model="someone/x")),
        (OFFLINE, recorded("model", unofficial_because="The model is x.")),
        (SERVER, recorded("model", revision="0" * 40)),
        (SERVER, recorded("model", revision=None)),
    ],
    "weights": [
        (OFFLINE, asked(weights="dummy")),
        (SERVER, departed("weights")),
    ],
    "data-set": [
        (OFFLINE, asked({"dataset_unofficial_because": "It is another."}, dataset="sample")),
        (SINGLESTREAM, recorded("dataset", unofficial_because="It is a remade subset.")),
        (SERVER, recorded("flags", dataset="synthetic")),
    ],
    "precision": [
        (OFFLINE, recorded("resolved", engine={"quantization": "fp8"})),
        (OFFLINE, recorded("flags", precision="fp8")),
        (SERVER, recorded("resolved", engine={"dtype": "float16"})),
    ],
    "max-new-tokens": [
        (OFFLINE, asked(max_new_tokens=64)),
        (OFFLINE, recorded("resolved", sampling={"max_tokens": 129})),
        (SERVER, without(answer_lengths=[128, 129])),
    ],
    "greedy": [
        (OFFLINE, recorded("resolved", sampling={"temperature": 0.7})),
        (OFFLINE, lambda e: without(config=e.config | {"resolved": {
            k: v for k, v in e.config["resolved"].items() if k != "sampling"}})(e)),
    ],
    "prefix-caching": [
        (OFFLINE, asked({"prefix_caching": True})),
        (OFFLINE, recorded("resolved", engine={"enable_prefix_caching": True})),
        (SERVER, recorded("resolved", engine={"enable_prefix_caching": None})),
    ],
    "engine-args": [
        (OFFLINE, asked(engine_args={"speculative_config": {}, "max_num_seqs": 8})),
        (SERVER, departed("engine_args")),
    ],
    "gate-share": [(OFFLINE, asked(high_accuracy=True))],
    "loadgen-release": [
        (OFFLINE, lambda e: accuracy_log(loadgen_version="5.0.22 @ 1")(
            performance_log(loadgen_version="5.0.22 @ 1")(e))),
        (SERVER, accuracy_log(loadgen_version="5.1.1 @ 1")),
        (SERVER, performance_log(loadgen_version=None)),
        (OFFLINE, accuracy_log(uncommitted=" M loadgen.cc")),
        (OFFLINE, performance_log(errors=(UNCOMMITTED,), results={"num_errors": 1})),
    ],
    "seeds": [
        *((SERVER, log(**{field.name: 7}))
          for field in dataclasses.fields(V6_1.seeds) for log in (performance_log, accuracy_log)),
        *((OFFLINE, log(**dataclasses.asdict(V6_1.seeds)))
          for log in (performance_log, accuracy_log)),
        (OFFLINE, departed("loadgen_seeds")),
    ],
    "loadgen-model": [
        (INTERACTIVE, recorded("resolved", loadgen_model="llama3_1-8b")),
        (INTERACTIVE, performance_log(requested={"server_ttft_latency": 2_000_000_000})),
        (SERVER, accuracy_log(requested={"server_tpot_latency": 30_000_000})),
        (OFFLINE, performance_log(requested={"use_token_latencies": False},
                                  effective={"sample_concatenate_permutation": False})),
    ],
    "loadgen-scenario": [
        (SERVER, performance_log(scenario="Offline")),
        (SINGLESTREAM, accuracy_log(scenario="Offline")),
        (OFFLINE, accuracy_log(mode="PerformanceOnly")),
    ],
    "loadgen-settings": [
        (OFFLINE, performance_log(effective={"accuracy_log_sampling_target": 100})),
        (SERVER, performance_log(effective={"target_latency_percentile": 0.9})),
        (SERVER, performance_log(requested={"server_coalesce_queries": True})),
        (SINGLESTREAM, performance_log(effective={"performance_issue_same": True})),
        (SINGLESTREAM, performance_log(effective={"max_query_count": 64})),
    ],
    "equal-issue": [
        (OFFLINE, performance_log(effective={"sample_concatenate_permutation": False})),
        (SERVER, performance_log(effective={"sample_concatenate_permutation": None})),
    ],
    "token-latencies": [
        (SERVER, performance_log(requested={"use_token_latencies": False})),
        (OFFLINE, accuracy_log(requested={"use_token_latencies": None})),
    ],
    "performance-errors": [
        (OFFLINE, performance_log(errors=("Odd.",), results={"num_errors": 1})),
        (SERVER, performance_log(results={"num_errors": 3})),
        # An error that only explains a test which ended early does not explain one that did not.
        (SINGLESTREAM, performance_log(errors=(RAN_OUT,), results={"num_errors": 1})),
    ],
    "loadgen-valid": [
        (OFFLINE, invalid(result_invalid_reason="Who knows.")),
        (SERVER, invalid()),
        (SERVER, performance_log(ended=False, valid=None)),
    ],
    "performance-samples": [
        (OFFLINE, performance(sample_count=20)),
        (OFFLINE, performance_log(effective={"samples_per_query": 20})),
        (SINGLESTREAM, performance_log(effective={"performance_sample_count": 4_999})),
        (SERVER, performance_log(effective={"performance_sample_count": None})),
    ],
    "least-duration": [
        (OFFLINE, asked(min_duration_s=60.0)),
        (SERVER, performance_log(effective={"min_duration_ms": 120_000})),
        (SINGLESTREAM, performance_log(effective={"min_duration_ms": None})),
    ],
    "duration-reached": [
        *((scenario, invalid(**SHORT)) for scenario in SCENARIOS),
        (OFFLINE, performance_log(results=SHORT)),
        (SINGLESTREAM, lambda e: performance_log(errors=(RAN_OUT,), results={"num_errors": 1})(
            invalid(**SHORT)(e))),
    ],
    "queries-reached": [
        (SERVER, invalid(result_min_queries_met=False)),
        (SINGLESTREAM, performance_log(results={"result_min_queries_met": False})),
    ],
    "ttft": [
        (SERVER, slow(2000.1, "ttft")),
        (SERVER, slow(2000.0, "ttft")),  # the limit itself is too slow
        (SERVER, performance(ttft=None)),
        (INTERACTIVE, slow(500.0, "ttft")),
        (INTERACTIVE, performance(ttft=LatencyStats(p99_ms=600.0))),  # LoadGen says VALID
        (INTERACTIVE, lambda e: late(1000, ttft_s=0.6)(slow(600.0, "ttft")(e))),
    ],
    "tpot": [
        (SERVER, slow(100.0, "tpot")),
        (INTERACTIVE, slow(30.0, "tpot")),
        (INTERACTIVE, performance(tpot=LatencyStats(p99_ms=99.0))),
    ],
    "target-latency": [
        (SERVER, performance_log(effective={"target_latency_ns": 20_000_000_001})),
        (INTERACTIVE, performance_log(effective={"target_latency_ns": None})),
    ],
    "early-stopping": [
        (SERVER, invalid(early_stopping_met=False)),
        (SERVER, performance_log(results={"early_stopping_met": None})),
        (SERVER, late(108, ttft_s=2.1)),
        (INTERACTIVE, late(108, ttft_s=0.6)),
        (SINGLESTREAM, invalid(early_stopping_met=False)),
    ],
    "accuracy-errors": [(OFFLINE, accuracy_log(errors=("Odd.",)))],
    "accuracy-samples": [
        (OFFLINE, lambda e: scored(gen_num=20)(without(answered=range(20))(
            accuracy_log(dataset_samples=20)(e)))),
        (SERVER, lambda e: scored(gen_num=20)(without(answered=range(20))(
            accuracy_log(effective={"accuracy_sample_count": 20})(e)))),
    ],
    "accuracy-complete": [
        (OFFLINE, without(answered=range(13_367))),
        (OFFLINE, without(answered=[*range(13_368), 0])),
        (SERVER, without(answered=[*range(13_368), 13_368])),
        (SERVER, without(answered=())),
        (SINGLESTREAM, scored(gen_num=20)),
    ],
    "accuracy-judged": [
        (OFFLINE, without(accuracy=None)),
        (SERVER, scored(passed=None, not_judged_because="There are no references.")),
        (SERVER, scored(passed=False)),
    ],
    **{name: [(OFFLINE, scored(**{name: BELOW * share, "passed": False}))]
       for name, share in (("rouge1", 1), ("rouge2", 0.41), ("rougeL", 0.63), ("rougeLsum", 0.92))},
    "gen-len-low": [
        (OFFLINE, scored(gen_len=7_350_879, passed=False)),
        (SINGLESTREAM, scored(gen_len=2_746_001, passed=False)),
    ],
    "gen-len-high": [
        (OFFLINE, scored(gen_len=8_984_409)),
        (SINGLESTREAM, scored(gen_len=3_356_225)),
    ],
    "other-departures": [(OFFLINE, departed("something new"))],
}  # fmt: skip
EACH = [
    pytest.param(rule, scenario, change, id=f"{rule}-{number}-{scenario}")
    for rule, cases in CASES.items()
    for number, (scenario, change) in enumerate(cases)
]


@pytest.mark.parametrize(("rule", "scenario", "change"), EACH)
def test_the_verdict_names_the_broken_rule_and_no_other(
    rule: str, scenario: Scenario, change: Change
) -> None:
    found = judge(change(good(scenario)))
    assert names(found) == [rule]
    kind = found.failed[0].kind
    wanted = verdict.FAILED if rule == "finished" else INVALID if kind == "validity" else UNOFFICIAL
    assert found.result == wanted and not found.official


def test_every_rule_has_a_run_that_breaks_it() -> None:
    ids = [spec.id for spec in verdict.SPECS]
    assert sorted(ids) == sorted(CASES)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(("_rule", "scenario", "change"), EACH)
def test_a_broken_rule_is_told_in_sentences_with_a_way_out(
    _rule: str, scenario: Scenario, change: Change
) -> None:
    (broken,) = judge(change(good(scenario))).failed
    assert not broken.sentence[0].islower() and broken.sentence.endswith((".", "!"))
    assert "None" not in broken.sentence and "  " not in broken.sentence
    assert broken.sentence.count(". ") <= 2
    assert broken.remedy and broken.remedy_why
    assert shlex.split(broken.remedy)[:2] in (["python", "run.py"], ["pip", "install"])


def test_each_departure_of_a_run_is_one_rule() -> None:
    everything = departures(
        RunConfig(model="demo", weights="dummy", max_new_tokens=64, high_accuracy=True,
                  total_sample_count=20),
        RunFacts(20, "Other data.", None, True, "6.0", ("speculative_config",)),
    )  # fmt: skip
    halves = [departures(RunConfig(mode=mode), RunFacts(13368, None, None, False, "5.1"))
              for mode in ("accuracy", "performance")]  # fmt: skip
    recorded_ids = {departure.id for found in (everything, *halves) for departure in found}
    known = [spec.departure for spec in verdict.SPECS if spec.departure]
    assert sorted(known) == sorted(recorded_ids)


# One cause, one rule


def test_a_smoke_run_is_told_that_it_is_small_once() -> None:
    for scenario in (OFFLINE, SERVER, INTERACTIVE):
        found = judge(smoke(1000)(good(scenario)))
        assert names(found) == ["whole-data-set"]


def test_a_missed_gate_of_a_smoke_run_is_no_broken_rule() -> None:
    few = scored(rouge1=0.1, gen_len=5, passed=False)(smoke(20)(good(OFFLINE)))
    assert names(judge(few)) == ["whole-data-set"]


def test_dummy_weights_are_not_asked_for_a_score() -> None:
    run = scored(passed=None, not_judged_because="Random.")(asked(weights="dummy")(good()))
    assert names(judge(run)) == ["weights"]


def test_broken_validity_comes_before_what_is_only_unofficial() -> None:
    run = slow(3000.0, "ttft")(asked(max_new_tokens=64)(good(SERVER)))
    found = judge(run)
    assert (found.result, names(found)) == (INVALID, ["ttft", "max-new-tokens"])


def test_gates_are_the_official_ones_whatever_rouge_json_was_judged_by() -> None:
    easier = {"rouge1": 0.0, "rouge2": 0.0, "rougeL": 0.0, "rougeLsum": 0.0}
    run = scored(rouge1=0.2, passed=True, thresholds=easier)(good())
    assert names(judge(run)) == ["rouge1"]


def test_gate_is_held_against_the_figure_as_printed() -> None:
    least = accuracy.gate(V5_1, "datacenter", 13368, high_accuracy=False)["rouge1"]
    assert least == pytest.approx(38.391408)
    assert names(judge(scored(rouge1=0.38391409)(good()))) == ["rouge1"]  # printed as 38.3914
    assert judge(scored(rouge1=0.38391451)(good())).official  # printed as 38.3915


def test_limits_of_interactive_are_its_own_though_the_log_says_server() -> None:
    assert judge(performance(ttft=LatencyStats(p99_ms=600.0))(good(SERVER))).official
    (broken,) = judge(performance(ttft=LatencyStats(p99_ms=600.0))(good(INTERACTIVE))).failed
    assert broken.sentence == (
        "The slowest 1 % of the queries took 600.0 ms or more for the first token; Interactive "
        "allows less than 500.0 ms. Lower --server-target-qps (it was 1,000 queries/s)."
    )
    assert shlex.split(broken.remedy or "")[-2:] == ["--server-target-qps", "900"]


# Twenty samples

FULL_SIZE_CLAIMS: dict[str, Change] = {
    "settings": recorded("resolved", sample_count=20),
    "performance log": performance_log(effective={"performance_sample_count": 20}),
    "issued": performance(sample_count=20),
    "accuracy log": accuracy_log(dataset_samples=20),
    "answers": without(answered=range(20)),
    "scores": scored(gen_num=20, total_samples=20),
}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    scenario=st.sampled_from(SCENARIOS),
    places=st.sets(st.sampled_from(sorted(FULL_SIZE_CLAIMS)), min_size=1),
    precision=st.sampled_from(("bf16", "fp16", "fp8")),
    high_accuracy=st.booleans(),
    min_duration_s=st.sampled_from((None, 0.0, 600.0)),
    no_departures=st.booleans(),
)
def test_twenty_samples_are_never_official_wherever_the_folder_says_so(
    scenario: Scenario, places: set[str], no_departures: bool, **flags: Any
) -> None:
    evidence = asked(**flags)(good(scenario))
    for place in sorted(places):
        evidence = FULL_SIZE_CLAIMS[place](evidence)
    if no_departures:
        evidence = without(config=evidence.config | {"departures": []})(evidence)
    assert not judge(evidence).official


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_real_logs_of_twenty_samples_are_never_official_whatever_config_json_claims(
    tmp_path: Path, scenario: Scenario
) -> None:
    folder = write_run(tmp_path, good(scenario), scenario)
    record = report.make_report(folder)["verdict"]
    assert record["official"] is False
    broken = {rule["id"] for rule in record["rules"] if rule["outcome"] == "failed"}
    assert broken >= {"performance-samples", "least-duration", "accuracy-samples"}
    assert record["reasons"] == [
        rule["sentence"]
        for kind in ("validity", "official")
        for rule in record["rules"]
        if (rule["kind"], rule["outcome"]) == (kind, "failed")
    ]


# From the folder to the exit status


def write_run(root: Path, evidence: Evidence, scenario: Scenario) -> Path:
    """The run as a folder on disk, its logs the small ones of tests/data."""
    folder = root / f"20261123-200000-datacenter-{scenario.value}"
    folder.mkdir()
    logs = DATA / LOGS.get(scenario, "server-valid")
    shutil.copytree(logs / "Performance", folder / "Performance")
    shutil.copy(logs / "samples.csv", folder)
    shutil.copytree((logs if scenario in (SERVER, INTERACTIVE) else DATA / "offline-valid")
                    / "Accuracy", folder / "Accuracy")  # fmt: skip
    assert evidence.accuracy
    category = evidence.config["flags"]["category"]
    text = accuracy.to_rouge_json(evidence.accuracy, V5_1, category, high_accuracy=False)
    (folder / "Accuracy" / "rouge.json").write_text(json.dumps(text))
    (folder / "config.json").write_text(json.dumps(evidence.config))
    return folder


def compliance_json(folder: Path, **changes: Any) -> None:
    result = {"passed": True, "checks": [{"name": "x", "passed": True, "sentence": "It holds."}]}
    (folder / "Compliance" / "TEST06").mkdir(parents=True, exist_ok=True)
    (folder / "Compliance/TEST06/result.json").write_text(json.dumps(result | changes))


def test_compliance_test_is_read_from_the_run_folder(tmp_path: Path) -> None:
    folder = write_run(tmp_path, good(), OFFLINE)

    def rule() -> dict[str, Any]:
        rules: list[dict[str, Any]] = report.make_report(folder)["verdict"]["rules"]
        return next(rule for rule in rules if rule["id"] == "compliance-test06")

    assert rule()["outcome"] == "failed" and "was not run" in rule()["sentence"]
    compliance_json(folder)
    assert "no complete result" in rule()["sentence"]
    (folder / "Compliance/TEST06/verify_accuracy.txt").write_text("TEST PASS\n")
    assert rule()["outcome"] == "passed"
    compliance_json(folder, passed=False, checks=[dataclasses.asdict(BROKEN_CHECK)])
    assert rule()["sentence"] == "TEST06 failed: 3 answers have another length."
    (folder / "Compliance/TEST06/result.json").write_text('{"passed": true}')
    with pytest.raises(LogError, match="compliance 1"):
        report.make_report(folder)


def test_verdict_depends_on_the_folder_alone(tmp_path: Path) -> None:
    folder = write_run(tmp_path, good(), OFFLINE)
    first = report.make_report(folder)["verdict"]
    moved = folder.rename(tmp_path / "20300101-000000-datacenter-offline")
    assert report.make_report(moved)["verdict"] == first


def test_answer_that_came_twice_is_found_in_the_log(tmp_path: Path) -> None:
    folder = write_run(tmp_path, good(), OFFLINE)
    log = folder / "Accuracy" / "mlperf_log_accuracy.json"
    entries = json.loads(log.read_text())
    log.write_text(json.dumps([*entries, entries[0]]))
    rules = report.make_report(folder)["verdict"]["rules"]
    (complete,) = [rule for rule in rules if rule["id"] == "accuracy-complete"]
    assert "several answers to 1 of 20 samples" in complete["sentence"]


@pytest.mark.parametrize(
    ("result", "accuracy_passed", "full_size", "status"),
    [
        (OFFICIAL_READY, True, True, 0),
        (UNOFFICIAL, None, True, 0),
        (UNOFFICIAL, False, True, 3),  # below a gate of its own, --high-accuracy
        (INVALID, True, True, 3),
        (INVALID, False, False, 0),
    ],
)
def test_exit_status_is_3_for_a_full_run_that_is_invalid_or_below_the_gate(
    result: str, accuracy_passed: bool | None, full_size: bool, status: int
) -> None:
    summary = {"verdict": {"result": result, "accuracy_passed": accuracy_passed}}
    prepared = cast(Any, SimpleNamespace(full_size=full_size))
    assert execution._verdict_status(prepared, summary) == status
