"""Runs to compare: made-up tests of any length, and folders of real logs."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from harness.config import RunConfig, Scenario
from harness.metrics import LatencyStats, PerformanceResult
from harness.report.comparison_runs import ComparedRun, TimedTest
from harness.report.comparison_statistics import Array
from harness.results.folder import RunFolder
from tests.builders import SAMPLES, config_json, performance, write_run

LOADGEN = performance(Path(__file__).parents[1] / "data" / "offline-valid").loadgen


def server_test(
    count: int = 3000,
    *,
    seed: int = 0,
    slower: float = 1.0,
    noise: float = 0.05,
    wait_s: Callable[[Array], Array] = lambda issued_s: 0 * issued_s,
) -> TimedTest:
    """Ten queries a second of 100 tokens; `wait_s` is what each waits longer for its first."""
    chance = np.random.default_rng(seed)
    issued_s = np.arange(count) / 10
    first_s = issued_s + slower * 0.2 * np.exp(noise * chance.normal(size=count)) + wait_s(issued_s)
    done_s = first_s + slower * 2.0 * np.exp(noise * chance.normal(size=count))
    return _test(issued_s, first_s, done_s, 100.0)


def offline_test(
    count: int = 2000, *, seed: int = 0, slower: float = 1.0, noise: float = 0.05
) -> TimedTest:
    """All queries at once, an answer of 100 tokens each tenth of a second."""
    chance = np.random.default_rng(seed)
    done_s = np.cumsum(slower * 0.1 * np.exp(noise * chance.normal(size=count)))
    return _test(np.zeros(count), np.full(count, np.nan), done_s, 100.0)


def single_stream_test(count: int = 1200, *, seed: int = 0, slower: float = 1.0) -> TimedTest:
    """One query after the other, about a second each."""
    chance = np.random.default_rng(seed)
    done_s = np.cumsum(slower * np.exp(0.05 * chance.normal(size=count)))
    issued_s = np.concatenate(([0.0], done_s[:-1]))
    return _test(issued_s, issued_s + 0.1 * (done_s - issued_s), done_s, 100.0)


def _test(issued_s: Array, first_s: Array, done_s: Array, tokens: float) -> TimedTest:
    count = len(issued_s)
    moments = np.sort(done_s)
    answered = np.arange(1, count + 1, dtype=np.float64)
    return TimedTest(
        np.arange(count),
        issued_s,
        first_s,
        done_s,
        np.full(count, tokens),
        moments,
        tokens * answered,
        answered,
    )


def other_queries(test: TimedTest) -> TimedTest:
    """The same times of other samples, so that two tests are no pair."""
    return dataclasses.replace(test, sample_index=test.sample_index + 1)


def compared(
    *tests: TimedTest,
    label: str = "A",
    scenario: Scenario = Scenario.SERVER,
    qps: float | None = 10.0,
    fill: int = 32,
) -> ComparedRun:
    """A run with these performance tests, the first its own and the others repeated."""
    config = config_json(RunConfig(scenario=scenario))
    config["resolved"]["engine"]["max_num_seqs"] = fill
    count, seconds = len(tests[0].tokens), float(tests[0].completed_s.max())
    tokens = int(tests[0].tokens.sum())
    result = PerformanceResult(
        scenario=scenario.loadgen_name,
        duration_s=seconds,
        sample_count=count,
        total_new_tokens=tokens,
        tokens_per_second=tokens / seconds,
        samples_per_second=count / seconds,
        target_qps=qps if scenario.loadgen_name == "Server" else None,
        achieved_qps=None,
        latency=LatencyStats(),
        ttft=None,
        tpot=None,
        loadgen=LOADGEN,
    )
    return ComparedRun(label, RunFolder(Path(label)), config, result, tests[0], tests[1:])


def folder_of(
    path: Path,
    scenario: Scenario = Scenario.SERVER,
    *,
    slower: float = 1.0,
    change: Callable[[dict[str, Any]], None] = lambda _: None,
    **flags: Any,
) -> Path:
    """A run folder with real logs of LoadGen, its answers that much slower than they were."""
    category = "edge" if scenario is Scenario.SINGLESTREAM else "datacenter"
    settings = RunConfig(
        scenario=scenario, category=category, mode="performance", total_sample_count=SAMPLES
    ).with_values(**flags)
    record = config_json(settings)
    change(record)
    write_run(path, settings, test=f"{scenario.value}-valid", record=record)
    if slower != 1.0:
        slow_down(path / "samples.csv", slower)
    return path


def two_runs(results: Path) -> tuple[Path, Path]:
    """Two Server runs in a results folder: bf16, and half as slow again in fp8."""
    return (
        folder_of(results / "20261123-141500-datacenter-server"),
        folder_of(results / "20261123-151500-datacenter-server", slower=1.5, precision="fp8"),
    )


def slow_down(samples_csv: Path, slower: float) -> None:
    """Stretches the times of every query after its issue."""
    with samples_csv.open() as file:
        head, *rows = csv.reader(file)
    lines = [",".join(head)]
    for index, issued, first, completed, tokens in rows:
        later = [
            f"{float(issued) + slower * (float(t) - float(issued)):.9f}" if t else ""
            for t in (first, completed)
        ]
        lines.append(",".join((index, issued, *later, tokens)))
    samples_csv.write_text("\n".join(lines) + "\n")


def read_record(folder: Path) -> Any:
    return json.loads((folder / "comparison.json").read_text())
