"""summary.json of run folders whose logs real LoadGen wrote (tests/data/make_logs.py)."""

from __future__ import annotations

import json

import pytest

from harness.config import RunConfig, Scenario
from harness.report.make import make_report
from tests.builders import SAMPLES, config_json, rouge, text_of
from tests.report.conftest import MakeRun

pytestmark = pytest.mark.usefixtures("drawn")


def test_summary_json_has_the_keys_that_were_promised(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(1.0))
    returned = make_report(folder)
    written = json.loads((folder / "summary.json").read_text())
    assert written == returned
    assert set(written) >= {"schema_version", "meta", "system", "run", "verdict", "logs", "plots"}
    assert set(written["meta"]) >= {
        "version", "category", "scenario", "mode", "model", "precision", "dataset", "started",
        "finished", "status",
    }  # fmt: skip
    assert set(written["run"]["performance"]) >= {
        "scenario", "duration_s", "total_new_tokens", "tokens_per_sec", "samples_per_sec",
        "target_qps", "achieved_qps", "latency_ms", "ttft_ms", "tpot_ms", "valid",
    }  # fmt: skip
    assert set(written["run"]["performance"]["latency_ms"]) >= {"p50", "p90", "p95", "p99", "mean"}
    assert set(written["run"]["accuracy"]) >= {
        "total_samples", "rouge", "passed", "run_gen_len", "run_gen_num",
    }  # fmt: skip
    assert written["run"]["accuracy"]["rouge"]["rougeLsum"] == pytest.approx(0.35793)
    assert written["logs"] == {
        "summary_txt": "Performance/mlperf_log_summary.txt",
        "detail_txt": "Performance/mlperf_log_detail.txt",
        "accuracy_json": "Accuracy/mlperf_log_accuracy.json",
        "rouge_json": "Accuracy/rouge.json",
        "answers_jsonl": None,
        "run_log": "run.log",
    }


def test_figures_are_those_of_loadgens_own_summary(make_run: MakeRun) -> None:
    folder = make_run()
    performance = make_report(folder)["run"]["performance"]
    printed = dict(
        line.split(":", 1)
        for line in (folder / "Performance/mlperf_log_summary.txt").read_text().splitlines()
        if line.count(":") == 1
    )
    assert performance["tokens_per_sec"] == pytest.approx(float(printed["Tokens per second"]), 1e-5)
    p90_ns = float(next(v for k, v in printed.items() if k.startswith("90.00 percentile latency")))
    assert performance["latency_ms"]["p90"] == pytest.approx(p90_ns / 1e6)
    assert performance["total_new_tokens"] == 4 * (3 + 4 + 5 + 6 + 7)


def test_accuracy_table_holds_each_metric_against_its_gate(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(0.9901))
    gates = make_report(folder)["run"]["accuracy"]["gates"]
    assert [gate["passed"] for gate in gates] == [True] * 5
    folder = make_run(rouge=rouge(0.9899), name="20261123-151500-datacenter-offline")
    gates = make_report(folder)["run"]["accuracy"]["gates"]
    assert [gate["passed"] for gate in gates] == [False] * 4 + [True]
    assert "| rougeLsum | 35.4315 % | at least 35.4351 % | 35.7930 % | **no** |" in text_of(folder)


def test_interactive_report_has_interactive_limits_though_loadgen_says_server(
    make_run: MakeRun,
) -> None:
    settings = RunConfig(scenario=Scenario.INTERACTIVE, mode="performance", total_sample_count=20)
    performance = make_report(make_run(settings, test="server-few"))["run"]["performance"]
    assert performance["scenario"] == "Interactive"
    assert performance["limits_ms"] == {"ttft_p99_ms": 500.0, "tpot_p99_ms": 30.0}


def test_headline_of_single_stream_is_the_p90_latency(make_run: MakeRun) -> None:
    settings = RunConfig(
        scenario=Scenario.SINGLESTREAM, category="edge", mode="performance", total_sample_count=20
    )
    record = make_report(make_run(settings, test="singlestream-short"))
    headline = record["headline"]
    assert headline["value"] == record["run"]["performance"]["latency_ms"]["p90"]
    assert (headline["metric"], headline["unit"]) == ("latency_p90", "ms")


def test_killed_run_is_not_taken_for_a_finished_one(make_run: MakeRun) -> None:
    record = make_report(make_run(status="running"))
    assert record["verdict"]["result"] == "FAILED"
    assert record["headline"]["value"] is None


def test_answers_without_references_are_reported_as_not_judged(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(1.0))
    (folder / "Accuracy" / "rouge.json").unlink()
    record = config_json(RunConfig(model="demo", total_sample_count=SAMPLES))
    record["resolved"]["accuracy_not_judged_because"] = "The weights are random numbers."
    (folder / "config.json").write_text(json.dumps(record))
    made = make_report(folder)["run"]["accuracy"]
    assert (made["total_samples"], made["passed"], made["rouge"]["rouge1"]) == (20, None, None)
    assert "**Not judged:** The weights are random numbers." in text_of(folder)
