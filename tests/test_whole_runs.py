"""Whole runs through real vLLM and real LoadGen on the demo model."""

from __future__ import annotations

import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from harness import rounds
from harness.logs.answers import read_accuracy_log
from harness.logs.detail import read_detail_log
from harness.logs.times import read_samples
from tests.conftest import PROJECT, WholeRun, environment, run_py

SUMMARY_KEYS: dict[str, set[str]] = {
    "meta": {"version", "category", "scenario", "mode", "model", "precision", "dataset", "started",
             "finished", "status"},
    "system": {"gpu_count", "gpu_name", "torch_version", "vllm_version", "loadgen_version",
               "driver_version", "cpu", "python_version", "git_commit"},
    "logs": {"summary_txt", "detail_txt", "accuracy_json", "rouge_json"},
    "plots": {"tokens_per_sec", "latency_cdf"},
}  # fmt: skip
ACCURACY_KEYS = {"total_samples", "rouge", "passed", "run_gen_len", "run_gen_num"}
PERFORMANCE_KEYS = {
    "scenario", "duration_s", "total_new_tokens", "tokens_per_sec", "samples_per_sec",
    "target_qps", "achieved_qps", "latency_ms", "ttft_ms", "tpot_ms", "valid",
}  # fmt: skip
# Two logits closer than this share of their size cannot be told apart in bf16, whose step is 1/128
# of a number.
BF16_NOISE = 2 / 128


def test_one_command_measures_and_reports(both_run: WholeRun) -> None:
    assert both_run.exit_status == 0, both_run.stderr
    assert both_run.stderr == ""
    assert "tokens/s" in both_run.stdout
    assert "  verdict      VALID BUT UNOFFICIAL\n  - It ran 12 samples" in both_run.stdout
    assert (both_run.folder / "report.md").read_text().startswith("# Offline (datacenter)")
    assert (both_run.results / "index.md").read_text().count(both_run.folder.name) == 2


def test_summary_has_the_documented_keys(both_run: WholeRun) -> None:
    summary = both_run.read_json("summary.json")

    assert summary["schema_version"] == 1
    for part, keys in SUMMARY_KEYS.items():
        assert keys <= summary[part].keys(), part
    assert summary["run"]["accuracy"].keys() >= ACCURACY_KEYS
    performance = summary["run"]["performance"]
    assert performance.keys() >= PERFORMANCE_KEYS
    assert performance["latency_ms"].keys() >= {"p50", "p90", "p95", "p99", "mean"}
    for path in [*summary["logs"].values(), *summary["plots"].values()]:
        assert path is None or (both_run.folder / path).is_file(), path


def test_both_tests_came_from_two_loadgen_processes_and_one_engine_load(
    both_run: WholeRun,
) -> None:
    run_log = (both_run.folder / "run.log").read_text()
    for name in ("Accuracy", "Performance"):
        log = read_detail_log(both_run.folder / name / "mlperf_log_detail.txt")
        assert log.qsl_rng_seed == rounds.V5_1.seeds.qsl_rng_seed
        assert log.sample_index_rng_seed == rounds.V5_1.seeds.sample_index_rng_seed
        assert log.schedule_rng_seed == rounds.V5_1.seeds.schedule_rng_seed
        assert log.errors == ()
    started = re.findall(r"LoadGen process (\d+) begins", run_log)
    assert len(started) == len(set(started)) == 2
    assert run_log.count("Initializing a V1 LLM engine") == 1
    assert run_log.count("the engine is loaded") == 1


def test_config_says_where_the_time_to_the_first_query_went(both_run: WholeRun) -> None:
    run = both_run.read_json("config.json")["run"]

    before = [run["phases"][f"{name}_s"] for name in ("preparation", "engine_load")]
    assert min(before) > 1  # imports alone take that
    assert sum(before) < run["first_query_s"] < sum(before) + run["phases"]["warm_up_s"] + 5


def test_every_sample_is_answered_once_and_the_answers_have_the_logged_length(
    both_run: WholeRun,
) -> None:
    entries = json.loads((both_run.folder / "Accuracy" / "mlperf_log_accuracy.json").read_text())

    assert sorted(entry["qsl_idx"] for entry in entries) == list(range(12))
    assert all(len(entry["data"]) == 8 * entry["token_count"] for entry in entries)
    assert all(2 <= entry["token_count"] <= 128 for entry in entries)


def test_rouge_equals_rouge_score_and_nltk_computed_independently(both_run: WholeRun) -> None:
    import nltk
    from rouge_score import rouge_scorer
    from transformers import AutoTokenizer

    record = both_run.read_json("config.json")
    tokenizer = AutoTokenizer.from_pretrained(record["model"]["path"])
    articles = json.loads(
        (PROJECT / "harness" / "inputs" / "data" / "sample_articles.json").read_text()
    )
    by_prompt = {
        tuple(tokenizer.encode(one["instruction"].replace("{input}", one["input"]))): one
        for one in articles
    }
    data = _samples(both_run)
    entries = json.loads((both_run.folder / "Accuracy" / "mlperf_log_accuracy.json").read_text())
    scorer = rouge_scorer.RougeScorer(["rouge1", "rouge2", "rougeL", "rougeLsum"], use_stemmer=True)
    rows, characters = [], 0
    for entry in entries:
        ids = np.frombuffer(bytes.fromhex(entry["data"]), dtype=np.int32)
        prompt = tuple(data[entry["qsl_idx"]])
        text = tokenizer.decode(ids, skip_special_tokens=True).strip()
        prediction = "\n".join(nltk.sent_tokenize(text))
        reference = "\n".join(nltk.sent_tokenize(by_prompt[prompt]["output"].strip()))
        scores = scorer.score(reference, prediction)
        rows.append([scores[name].fmeasure for name in scores])
        characters += len(prediction)

    expected = np.mean(np.array(rows), axis=0)
    rouge = both_run.read_json("Accuracy/rouge.json")
    for name, value in zip(("rouge1", "rouge2", "rougeL", "rougeLsum"), expected, strict=True):
        assert round(rouge[name] * 100, 4) == round(value * 100, 4)
    assert rouge["run_gen_len"] == characters
    assert rouge["run_gen_num"] == 12
    assert rouge["threshold_rougeLsum"] == pytest.approx(35.43507)


def _samples(run: WholeRun) -> list[list[int]]:
    """The run's prompts in LoadGen's order, from the project's own loader."""
    from harness.config import RunConfig
    from harness.inputs.dataset import load_dataset
    from harness.inputs.model import resolve_model
    from harness.inputs.tokenizer import load_tokenizer

    source = resolve_model(RunConfig(model=run.read_json("config.json")["model"]["path"]))
    config = RunConfig(model="demo", dataset="sample", total_sample_count=12)
    data = load_dataset(config, lambda: load_tokenizer(source), source.vocab_size)
    assert data.checksum == run.read_json("config.json")["dataset"]["checksum_sha256"]
    return [sample.token_ids for sample in data.samples]


def test_every_figure_of_the_summary_is_in_the_logs(both_run: WholeRun) -> None:
    performance = both_run.read_json("summary.json")["run"]["performance"]
    detail = read_detail_log(both_run.folder / "Performance" / "mlperf_log_detail.txt")
    rows = read_samples(both_run.folder / "samples.csv")

    assert performance["tokens_per_sec"] == detail.results["result_tokens_per_second"]
    assert performance["samples_per_sec"] == detail.results["result_samples_per_second"]
    assert performance["valid"] is (detail.results["result_validity"] == "VALID")
    assert performance["total_new_tokens"] == sum(row.tokens for row in rows)
    assert performance["duration_s"] == pytest.approx(max(row.completed_s for row in rows))
    nanoseconds = detail.results["result_99.00_percentile_latency_ns"]
    assert isinstance(nanoseconds, int)
    assert performance["latency_ms"]["p99"] == pytest.approx(nanoseconds / 1e6)
    assert math.isclose(
        performance["tokens_per_sec"],
        performance["total_new_tokens"] / performance["duration_s"],
        rel_tol=0.01,
    )


def test_answers_equal_what_vllm_generates_directly(
    both_run: WholeRun, demo_cache: Path, tmp_path: Path
) -> None:
    direct = subprocess.run(
        [sys.executable, "tests/generate_directly.py", str(both_run.folder),
         str(tmp_path / "answers.json")],
        cwd=PROJECT, env=environment(demo_cache), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert direct.returncode == 0, direct.stderr[-2000:]
    expected = json.loads((tmp_path / "answers.json").read_text())
    answers = read_accuracy_log(both_run.folder / "Accuracy" / "mlperf_log_accuracy.json")
    assert len(answers) == len(expected["answers"]) == 12
    for answer in answers:
        wanted = expected["answers"][answer.sample_index]
        if list(answer.token_ids) != wanted:
            _show_near_tie(
                expected["model"],
                expected["prompts"][answer.sample_index],
                list(answer.token_ids),
                wanted,
            )


def _show_near_tie(model: str, prompt: list[int], ours: list[int], theirs: list[int]) -> None:
    """Two answers may part only where the best two tokens cannot be told apart in bf16."""
    import torch
    from transformers import AutoModelForCausalLM

    part = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b)
    llama = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    with torch.no_grad():
        logits = llama(torch.tensor([prompt + ours[:part]])).logits[0, -1]
    best = float(logits.max())
    for token in (ours[part], theirs[part]):
        assert best - float(logits[token]) <= BF16_NOISE * abs(best), "not a near-tie"


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


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory, demo_cache: Path) -> Callable[[str], WholeRun]:
    """All scenarios of a category in one command, run once for all who ask."""
    asked = {
        "datacenter": ["--mode", "both", "--total-sample-count", "20", "--compliance", "1"],
        "edge": ["--mode", "performance", "--total-sample-count", "512"],
    }
    done: dict[str, WholeRun] = {}

    def run(category: str) -> WholeRun:
        if category not in done:
            results = tmp_path_factory.mktemp(category) / "results"
            words = ["--category", category, "--scenario", "all", *asked[category]]
            done[category] = run_py(words, results, demo_cache)
        return done[category]

    return run


@pytest.mark.parametrize("category", ["datacenter", "edge"])
def test_all_scenarios_run_on_one_engine_load(
    category: str, series: Callable[[str], WholeRun]
) -> None:
    run = series(category)

    assert run.exit_status == 0, run.stderr
    scenarios = rounds.V5_1.category(category).scenarios
    folders = sorted(path for path in run.results.glob(f"*-{category}-*") if path.is_dir())
    assert sorted(path.name.split("-")[3] for path in folders) == sorted(scenarios)
    run_logs = "".join((path / "run.log").read_text() for path in folders)
    assert run_logs.count("Initializing a V1 LLM engine") == 1
    table = [line.split()[0] for line in run.stdout.splitlines()[-len(scenarios) :]]
    assert table == list(scenarios)


@pytest.mark.parametrize(
    ("category", "scenario", "samples"),
    [
        ("datacenter", "offline", 20),
        ("datacenter", "server", 20),
        ("datacenter", "interactive", 20),
        ("edge", "singlestream", 512),
        ("edge", "offline", 512),
    ],
)
def test_every_scenario_answers_each_query_once_and_agrees_with_loadgens_summary(
    category: str, scenario: str, samples: int, series: Callable[[str], WholeRun]
) -> None:
    (folder,) = series(category).results.glob(f"*-{category}-{scenario}")

    performance = json.loads((folder / "summary.json").read_text())["run"]["performance"]
    rows = read_samples(folder / "samples.csv")
    assert len(rows) == performance["sample_count"] == samples
    assert sorted(row.sample_index for row in rows) == list(range(samples))
    detail = read_detail_log(folder / "Performance" / "mlperf_log_detail.txt")
    assert detail.errors == ()
    if scenario == "offline":
        return
    assert all(row.first_token_s is not None for row in rows)
    printed = (folder / "Performance" / "mlperf_log_summary.txt").read_text()
    for name, part in (("First Token latency", "ttft_ms"), ("Time per Output Token", "tpot_ms")):
        found = re.search(rf"Mean {name} \(ns\) *: (\d+)", printed)
        assert found is not None
        assert performance[part]["mean"] == pytest.approx(int(found[1]) / 1e6)


@pytest.fixture(params=["offline", "server", "interactive"])
def audited(request: pytest.FixtureRequest, series: Callable[[str], WholeRun]) -> Path:
    """The folder of a run with --compliance 1, once for each scenario."""
    (folder,) = series("datacenter").results.glob(f"*-datacenter-{request.param}")
    return folder


def test_test06_logs_100_real_answers_and_passes_every_check(audited: Path) -> None:
    offline = audited.name.endswith("-offline")
    folder = audited / "Compliance" / "TEST06"

    entries = json.loads((folder / "mlperf_log_accuracy.json").read_text())
    assert len({entry["seq_id"] for entry in entries}) == len(entries) == 100
    assert {entry["qsl_idx"] for entry in entries} <= set(range(20))
    for entry in entries:
        assert len(entry["data"]) == 8 * entry["token_count"] > 0  # a token: 4 bytes, 8 hex digits
        if offline:
            assert "token_data" not in entry
        else:
            assert entry["token_data"] == entry["data"][:8]
    result = json.loads((audited / "summary.json").read_text())["run"]["compliance"]
    assert result["passed"] is True
    assert {check["name"]: check["passed"] for check in result["checks"]} == {
        "audit_config": True,
        "scenario": True,
        "answers": True,
        "loadgen": True,
        **({} if offline else {"first_token": True}),
        "end_tokens": True,
        "sample_length": True,
    }
    assert (folder / "verify_accuracy.txt").read_text() == (
        f"First token check pass: {'Skipped' if offline else 'True'}\n"
        "EOS check pass: True\n"
        "Sample length check pass: True\n"
        "TEST06 verification complete\n"
    )


def test_the_audit_settings_rule_test06_and_no_other_test(audited: Path) -> None:
    logs = {
        name: read_detail_log(audited / name / "mlperf_log_detail.txt")
        for name in ("Accuracy", "Performance", "Compliance/TEST06")
    }
    audit_settings = {
        "accuracy_log_rng_seed": 720381539243781796,
        "accuracy_log_sampling_target": 100,
        "min_query_count": 100,
        "sample_concatenate_permutation": False,
    }
    own = {
        "accuracy_log_rng_seed": 0,
        "accuracy_log_sampling_target": 0,
        "min_query_count": 20,
        "sample_concatenate_permutation": True,
    }

    for name, log in logs.items():
        asked = audit_settings if name == "Compliance/TEST06" else own
        # What LoadGen then made of it: Offline holds all samples in one query.
        made = asked | {"min_query_count": 1} if log.scenario == "Offline" else asked
        assert {key: log.requested[key] for key in asked} == asked, name
        assert {key: log.effective[key] for key in asked} == made, name
        found = [warning for warning in log.warnings if "Found Audit Config file" in warning]
        assert len(found) == (name == "Compliance/TEST06"), name
        assert log.mode == ("AccuracyOnly" if name == "Accuracy" else "PerformanceOnly")
        assert log.sample_count == (100 if name == "Compliance/TEST06" else 20), name
    assert json.loads((audited / "Performance" / "mlperf_log_accuracy.json").read_text()) == []


def test_no_audit_config_is_left_where_a_later_test_would_find_it(audited: Path) -> None:
    assert (audited / "Compliance" / "TEST06" / "audit.config").is_file()
    assert not (PROJECT / "audit.config").exists()
    assert not (PROJECT / "no-audit.config").exists()


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


def test_report_and_logs_can_be_read_again_without_vllm_loadgen_or_torch(
    both_run: WholeRun,
) -> None:
    before = both_run.read_json("summary.json")
    for program in ("report.py", "util_logs.py"):
        done = _run_without({"vllm", "mlperf_loadgen", "torch", "transformers"}, program, both_run)
        assert done.returncode == 0, done.stderr
    after = both_run.read_json("summary.json")
    assert _without_plots(after) == _without_plots(before)


def _without_plots(summary: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in summary.items() if key != "plots"}


def _run_without(
    blocked: set[str], program: str, run: WholeRun
) -> subprocess.CompletedProcess[str]:
    from tests.test_imports import BLOCK

    script = BLOCK.format(blocked=blocked, argv=[program, str(run.folder)])
    return subprocess.run(
        [sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=False
    )
