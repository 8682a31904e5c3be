"""Reports are made of real LoadGen logs: a fake system under test answers, nothing is edited."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import report
from harness import accuracy, config
from harness.config import RunConfig, RunFacts, Scenario
from harness.rounds import V5_1

SAMPLES = 20
MakeRun = Callable[..., Path]


def _loadgen_test(scenario: str, mode: str, out: Path, settings: str) -> None:
    """One LoadGen test in a process of its own, with samples.csv beside its logs."""
    import mlperf_loadgen as lg
    import numpy as np

    conf = out / "user.conf"
    conf.write_text(settings)
    test = lg.TestSettings()
    test.FromConfig(str(conf), "llama3_1-8b", scenario)
    conf.unlink()
    test.scenario = getattr(lg.TestScenario, scenario)
    test.mode = getattr(lg.TestMode, mode)
    rows: list[str] = []
    zero: list[float] = []

    def answer(queries: list[Any], issued: float) -> None:
        for query in queries:
            tokens = np.arange(query.index % 5 + 3, dtype=np.int32)
            address, size = tokens.ctypes.data, tokens.nbytes
            first = ""
            time.sleep(0.001)
            if scenario != "Offline":
                first = f"{time.perf_counter() - zero[0]:.6f}"
                lg.FirstTokenComplete([lg.QuerySampleResponse(query.id, address, 4, 1)])
                time.sleep(0.001)
            done = time.perf_counter() - zero[0]
            rows.append(f"{query.index},{issued:.6f},{first},{done:.6f},{len(tokens)}")
            # SingleStream issues the next query during this call.
            lg.QuerySamplesComplete([lg.QuerySampleResponse(query.id, address, size, len(tokens))])

    def issue(queries: list[Any]) -> None:
        now = time.perf_counter()
        zero.append(now)
        threading.Thread(target=answer, args=(queries, now - zero[0])).start()

    sut = lg.ConstructSUT(issue, lambda: None)
    qsl = lg.ConstructQSL(SAMPLES, SAMPLES, lambda _: None, lambda _: None)
    output = lg.LogOutputSettings()
    output.outdir = str(out)
    logs = lg.LogSettings()
    logs.log_output = output
    logs.enable_trace = False
    lg.StartTestWithLogSettings(sut, qsl, test, logs, "no-audit.config")
    if mode == "PerformanceOnly":
        _write_csvs(out, rows)


def _write_csvs(out: Path, rows: list[str]) -> None:
    header = "sample_index,issued_s,first_token_s,completed_s,tokens"
    (out / "samples.csv").write_text("\n".join([header, *rows]) + "\n")
    lines = ["time_s,tokens,samples_done,outstanding"]
    tokens = 0
    for done, row in enumerate(rows, start=1):
        *_, completed, count = row.split(",")
        tokens += int(count)
        lines.append(f"{completed},{tokens},{done},{len(rows) - done}")
    (out / "timeline.csv").write_text("\n".join(lines) + "\n")


# Scenario, mode, and LoadGen's settings for each test.
_TESTS = {
    "Offline": ("Offline", "PerformanceOnly", "target_qps = 50", "min_duration = 0"),
    "TooShort": ("Offline", "PerformanceOnly", "target_qps = 0.01", "min_duration = 600000"),
    "Server": ("Server", "PerformanceOnly", "target_qps = 400", "min_duration = 0"),
    "SingleStream": ("SingleStream", "PerformanceOnly", "target_latency = 5", "min_duration = 0"),
    "Accuracy": ("Offline", "AccuracyOnly", "target_qps = 50", "min_duration = 0"),
}


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """LoadGen's output folders: a performance test of each kind, and an accuracy test."""
    context = multiprocessing.get_context("spawn")
    root = tmp_path_factory.mktemp("logs")
    processes = []
    for name, (scenario, mode, *settings) in _TESTS.items():
        out = root / name
        out.mkdir()
        size = f"performance_sample_count_override = {SAMPLES}", f"min_query_count = {SAMPLES}"
        text = "".join(f"*.{scenario}.{line}\n" for line in (*settings, *size))
        processes.append(context.Process(target=_loadgen_test, args=(scenario, mode, out, text)))
        processes[-1].start()
    for process in processes:
        process.join()
        assert process.exitcode == 0
    return {name: root / name for name in _TESTS}


@pytest.fixture
def make_run(tmp_path: Path, logs: dict[str, Path]) -> MakeRun:
    """Makes run folders under tmp_path/results."""

    def make(
        settings: RunConfig | None = None,
        *,
        name: str = "20261123-141500-datacenter-offline",
        test: str | None = "Offline",
        rouge: accuracy.RougeScores | None = None,
        error: str | None = None,
        status: str = "finished",
    ) -> Path:
        settings = settings or RunConfig(model="demo", dataset="sample", total_sample_count=SAMPLES)
        folder = tmp_path / "results" / name
        folder.mkdir(parents=True)
        if test and settings.runs_performance:
            shutil.copytree(logs[test], folder / "Performance")
        if rouge and settings.runs_accuracy:
            shutil.copytree(logs["Accuracy"], folder / "Accuracy")
            judged = accuracy.judge(
                rouge, V5_1, settings.category, high_accuracy=False, not_judged_because=None
            )
            text = accuracy.to_rouge_json(judged, V5_1, settings.category, high_accuracy=False)
            (folder / "Accuracy" / "rouge.json").write_text(json.dumps(text))
        record = config_json(settings, error=error, status=status)
        (folder / "config.json").write_text(json.dumps(record))
        (folder / "run.log").write_text("INFO engine loaded\n")
        return folder

    return make


def config_json(
    settings: RunConfig, *, error: str | None = None, status: str = "finished"
) -> dict[str, Any]:
    """What run.py records of a run."""
    count = settings.total_sample_count or settings.category_record.dataset_samples
    facts = RunFacts(count, None, None, False, "5.1")
    if settings.dataset != "cnndm":
        facts = dataclasses.replace(facts, dataset_unofficial_because="The articles are our own.")
    arguments = [f"--{key}={getattr(settings, key)}" for key in ("model", "dataset", "mode")]
    if settings.total_sample_count:
        arguments += ["--total-sample-count", str(settings.total_sample_count)]
    return {
        "schema_version": 1,
        "run": {
            "name": "a name",
            "started": "2026-11-23T14:15:00+00:00",
            "finished": "2026-11-23T14:16:07+00:00",
            "status": status,
            "error": error,
            "command": ["python", "run.py", *arguments],
            "phases": {"engine_load_s": 21.4, "warm_up_s": 2.2, "performance_s": 9.0},
        },
        "flags": settings.to_json(),
        "resolved": {
            "sample_count": count,
            "full_size": config.is_full_size(settings, count),
            "min_duration_s": config.min_duration_s(settings, count),
            "tensor_parallel_size": 1,
            "max_model_len": 4096,
            "engine": {"max_num_seqs": 64, "enable_prefix_caching": False},
            "target_qps": {"value": 50.0, "source": "the warm-up", "expected_duration_s": 0.4},
            "loadgen_model": "llama3_1-8b",
            "accuracy_not_judged_because": None,
        },
        "official": dataclasses.asdict(V5_1),
        "departures": [dataclasses.asdict(d) for d in config.departures(settings, facts)],
        "dataset": {
            "name": settings.dataset,
            "source": "harness/data/sample.json",
            "checksum_sha256": "0123abcd",
            "samples": count,
            "unofficial_because": facts.dataset_unofficial_because,
            "longest_prompt_tokens": 812,
            "mean_prompt_tokens": 431.5,
        },
        "model": {
            "requested": settings.model,
            "path": "/models/demo",
            "revision": None,
            "unofficial_because": None,
        },
        "system": {"gpu_name": "NVIDIA H200", "gpu_count": 1, "memory_bytes": 2**37, "cpu": None},
        "loadgen": {"version": "5.1.2", "round": "5.1"},
    }
