"""Other runs on real engines: one mode alone, two copies or halves, tuning, early ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from harness.logs.times import read_samples
from tests.conftest import PROJECT, WholeRun, environment, run_py


@pytest.mark.parametrize("mode", ["accuracy", "performance"])
def test_each_mode_alone_leaves_its_own_logs(mode: str, tmp_path: Path, demo_cache: Path) -> None:
    run = run_py(["--mode", mode, "--total-sample-count", "4"], tmp_path / "results", demo_cache)

    assert run.exit_status == 0, run.stderr
    summary = run.read_json("summary.json")
    other = "performance" if mode == "accuracy" else "accuracy"
    assert summary["run"][mode] is not None
    assert summary["run"][other] is None
    assert (run.folder / mode.capitalize() / "mlperf_log_detail.txt").is_file()
    assert not (run.folder / other.capitalize() / "mlperf_log_detail.txt").exists()


@pytest.mark.parametrize(
    ("flag", "processes"),
    [
        ("--data-parallel-size", ("EngineCore_DP0", "EngineCore_DP1")),
        ("--tensor-parallel-size", ("Worker_TP0", "Worker_TP1")),
    ],
)
def test_two_copies_or_two_halves_of_the_model_run_on_one_machine(
    flag: str,
    processes: tuple[str, str],
    tmp_path: Path,
    demo_cache: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if flag == "--tensor-parallel-size":
        monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "0|1")

    run = run_py(
        [flag, "2", "--mode", "performance", "--total-sample-count", "8"],
        tmp_path / "results", demo_cache,
    )  # fmt: skip

    assert run.exit_status == 0, run.stderr
    assert len(read_samples(run.folder / "samples.csv")) == 8
    run_log = (run.folder / "run.log").read_text()
    for process in processes:
        assert process in run_log
    told = run.read_json("config.json")["resolved"]["engine"]
    assert told[flag.removeprefix("--").replace("-", "_")] == 2


def test_tuning_measures_real_engines_and_makes_no_run_folder(
    tmp_path: Path, demo_cache: Path
) -> None:
    # Two trials, or one on a slow machine: each takes half a minute.
    run = run_py(
        ["--tune", "1.1", "--engine-arg", "enforce_eager=true"], tmp_path / "results", demo_cache
    )

    assert run.exit_status == 0, run.stderr
    (search,) = json.loads((run.results / "tuning.json").read_text())["searches"]
    tried = search["trials"]
    assert [one["settings"]["max_num_seqs"] for one in tried] == [64, 32, 128][: len(tried)]
    assert all(one["score"] > 0 for one in tried)
    assert f"kept in {run.results / 'tuning.json'}" in run.stdout
    assert {path.name for path in run.results.iterdir()} <= {
        "tuning.json", "tuning.log", ".index.lock"
    }  # fmt: skip


def test_an_engine_that_cannot_start_fails_the_run_with_its_reason(
    both_run: WholeRun, demo_cache: Path
) -> None:
    before = (both_run.results / "latest").readlink()

    run = run_py(
        ["--total-sample-count", "4", "--engine-arg", "kv_cache_memory_bytes=4096"],
        both_run.results,
        demo_cache,
    )

    assert run.exit_status == 1
    assert run.stderr.startswith("run.py: The engine did not start")
    assert "Traceback" not in run.stderr
    assert (both_run.results / "latest").readlink() == before
    failed = _newest_run(both_run.results)
    assert json.loads((failed / "summary.json").read_text())["meta"]["status"] == "failed"
    index = json.loads((both_run.results / "index.json").read_text())
    assert [entry["status"] for entry in index if entry["run"] == failed.name] == ["failed"]


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (signal.SIGTERM, "importing"),
        (signal.SIGTERM, "loading"),
        (signal.SIGINT, "testing"),
    ],
)
def test_ending_a_run_leaves_no_process_and_latest_where_it_was(
    number: signal.Signals, moment: str, both_run: WholeRun, demo_cache: Path
) -> None:
    before = (both_run.results / "latest").readlink()
    known = {path.name for path in both_run.results.iterdir()}
    process = subprocess.Popen(
        [sys.executable, "run.py", "--model", "demo", "--dataset", "sample",
         "--results-dir", str(both_run.results)],
        cwd=PROJECT, env=environment(demo_cache), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    family = _wait_for(moment, process, both_run.results, known)

    if number is signal.SIGINT:  # Ctrl-C reaches every process of the terminal's group
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, said = process.communicate(timeout=60)

    assert process.returncode == 128 + number
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert (both_run.results / "latest").readlink() == before


def _wait_for(
    moment: str, process: subprocess.Popen[str], results: Path, known: set[str]
) -> list[psutil.Process]:
    """Waits until the run has come so far; returns all its processes."""
    signs = {
        "importing": "loading the engine: begins",
        "loading": "Initializing a V1 LLM engine",
        "testing": "accuracy: begins",
    }
    deadline = time.monotonic() + 300
    while time.monotonic() < deadline and process.poll() is None:
        new = [path for path in results.glob("2*") if path.name not in known]
        log = new[0] / "run.log" if new else None
        if log is not None and log.exists() and signs[moment] in log.read_text():
            time.sleep(0.5)
            main = psutil.Process(process.pid)
            return [main, *main.children(recursive=True)]
        time.sleep(0.05)
    raise AssertionError(f"the run never came to {moment}")


def _newest_run(results: Path) -> Path:
    return max(results.glob("2*"), key=lambda path: path.stat().st_mtime)
