"""Runs that keep every rule, as evidence and as folders: small logs of real LoadGen."""

from __future__ import annotations

import dataclasses
import json
import shutil
from functools import cache
from pathlib import Path
from typing import Any

from harness import config
from harness.config import RunConfig, Scenario
from harness.loadgen.planning import Target
from harness.loadgen.user_conf import user_conf_text
from harness.logs.detail import read_detail_log
from harness.logs.performance import performance_result
from harness.logs.text import sha256
from harness.metrics import (
    ComplianceCheck,
    ComplianceResult,
    LoadGenRun,
    PerformanceResult,
    SampleTimes,
)
from harness.rounds import V5_1
from harness.rules.evidence import Evidence
from harness.rules.verdict import Verdict
from harness.scoring import accuracy
from tests.builders import DATA, config_json, rouge

OFFLINE, SERVER = Scenario.OFFLINE, Scenario.SERVER
INTERACTIVE, SINGLESTREAM = Scenario.INTERACTIVE, Scenario.SINGLESTREAM
SCENARIOS = tuple(Scenario)
LOGS = {OFFLINE: "offline-valid", SINGLESTREAM: "singlestream-valid"}
ANSWERS = "a" * 64  # the hash of an accuracy log that is not there
TEST06 = ComplianceResult(True, (ComplianceCheck("a check", True, "It holds."),), verified=True)


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
    run = dataclasses.replace(run, sample_count=full, dataset_samples=full)
    test = dataclasses.replace(
        at_full_length(accuracy_log, scenario, performance_sample_count=full),
        scenario=scenario.loadgen_name, dataset_samples=full, sample_count=full,
    )  # fmt: skip
    scores = rouge(1.0, full) if not edge else edge_scores()
    judged = accuracy.judge(
        scores, V5_1, asked.category, high_accuracy=asked.high_accuracy, not_judged_because=None
    )
    judged = dataclasses.replace(judged, log_sha256=ANSWERS)
    return Evidence(
        config=finished_config(asked),
        performance=dataclasses.replace(performance, loadgen=run, sample_count=full),
        accuracy=judged,
        accuracy_log=test,
        accuracy_log_sha256=ANSWERS,
        answer_lengths=[128] * full,
        answered=list(range(full)),
        compliance=None if edge else TEST06,
        user_conf=user_conf_of(asked, run, full),
        samples=prompt_answers(full),
    )


def user_conf_of(asked: RunConfig, run: LoadGenRun, samples: int) -> str:
    """What LoadGen was given, by the target in its log."""
    of_log = {
        "Offline": "offline_expected_qps",
        "Server": "server_target_qps",
        "SingleStream": "single_stream_expected_latency_ns",
    }
    figure = float(str(run.requested[of_log[run.scenario]]))
    target = Target("the log", samples, 600, qps=figure)
    if run.scenario == "SingleStream":
        target = Target("the log", samples, 600, latency_ms=figure / 1e6)
    seconds = config.min_duration_s(asked, samples)
    return user_conf_text(asked, sample_count=samples, min_duration_s=seconds, target=target)


@cache
def small_logs(folder: Path) -> tuple[PerformanceResult, LoadGenRun]:
    performance = performance_result(folder)
    assert performance is not None
    detail = DATA / "offline-valid" / "Accuracy" / "mlperf_log_detail.txt"
    return performance, read_detail_log(detail)


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
    scored = dataclasses.replace(
        evidence.accuracy, log_sha256=sha256(folder / "Accuracy" / "mlperf_log_accuracy.json")
    )
    assert evidence.user_conf
    (folder / "user.conf").write_text(evidence.user_conf)
    text = accuracy.to_rouge_json(scored, V5_1, category, high_accuracy=False)
    (folder / "Accuracy" / "rouge.json").write_text(json.dumps(text))
    (folder / "config.json").write_text(json.dumps(evidence.config))
    return folder
