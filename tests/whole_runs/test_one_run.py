"""A whole run through real vLLM and real LoadGen on the demo model: what it leaves and says."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness import rounds
from harness.logs.answers import read_accuracy_log
from harness.logs.detail import read_detail_log
from harness.logs.times import read_samples
from tests.conftest import PROJECT, WholeRun, environment

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
