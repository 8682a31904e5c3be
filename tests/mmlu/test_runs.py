"""Whole evaluations through real vLLM on the demo model, against transformers."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

import report
from harness.errors import UsageError
from harness.mmlu.files import load_questions
from harness.mmlu.prompts import llama_messages, plain_prompt
from harness.mmlu.questions import LETTERS
from harness.results.folder import RunFolder
from harness.rules.read import read_evidence
from tests.conftest import WholeRun, mmlu_py

# float32 here and there; the sums are done in another order.
LOGPROB_TOLERANCE = 0.02
# Two log-probabilities closer than this cannot be told apart in bf16.
BF16_NOISE = 0.25


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, demo_cache: Path) -> WholeRun:
    return mmlu_py(["--details", "1"], tmp_path_factory.mktemp("plain") / "results", demo_cache)


def rows_of(run: WholeRun) -> list[dict[str, str]]:
    with (run.folder / "samples.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def demo(run: WholeRun) -> tuple[Any, Any]:
    """The demo model and its tokenizer by transformers, in float32."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = run.read_json("config.json")["model"]["path"]
    return (
        AutoModelForCausalLM.from_pretrained(path, dtype=torch.float32),
        AutoTokenizer.from_pretrained(path),
    )


def test_one_command_evaluates_and_reports(plain: WholeRun) -> None:
    assert plain.exit_status == 0, plain.stderr
    assert plain.stderr == ""
    assert "MMLU (plain, 5-shot)" in plain.stdout
    assert plain.folder.name.endswith("-mmlu")
    for name in ("overall.json", "by_domain.json", "by_subject.json", "summary.json", "config.json",
                 "report.md", "run.log", "plots/score_by_subject.png",
                 "plots/score_by_domain.png"):  # fmt: skip
        assert (plain.folder / name).stat().st_size > 0, name
    assert f"| [{plain.folder.name}]" in (plain.results / "index.md").read_text()
    overall = plain.read_json("overall.json")
    assert plain.read_json("summary.json")["run"]["mmlu"]["overall"] == overall
    assert overall["total"] == 40
    assert overall["protocol"] == "plain"


def test_a_question_is_one_request_and_prefixes_are_cached(plain: WholeRun) -> None:
    config = plain.read_json("config.json")

    assert config["run"]["requests"] == config["resolved"]["sample_count"] == 40
    assert config["resolved"]["engine"]["enable_prefix_caching"] is True
    rows = rows_of(plain)
    assert {row["answer_tokens"] for row in rows} == {"1"}
    assert min(float(row["latency_ms"]) for row in rows) > 0


def test_every_prediction_is_the_likeliest_letter_by_transformers(plain: WholeRun) -> None:
    import torch

    model, tokenizer = demo(plain)
    data, rows = load_questions("sample", None), rows_of(plain)
    assert [row["question_id"] for row in rows] == [one.id for one in data.questions]
    compared = 0
    for question, row in zip(data.questions, rows, strict=True):
        prompt = tokenizer.encode(plain_prompt(question, data.examples[question.subject]))
        assert len(prompt) == int(row["prompt_tokens"])
        with torch.no_grad():
            logprobs = torch.log_softmax(model(torch.tensor([prompt])).logits[0, -1], dim=-1)
        theirs = [
            float(logprobs[tokenizer.encode(f" {letter}", add_special_tokens=False)[0]])
            for letter in LETTERS
        ]
        ours = [float(row[f"logprob_{letter}"]) for letter in LETTERS]
        assert ours == pytest.approx(theirs, abs=LOGPROB_TOLERANCE)
        best, second = sorted(theirs, reverse=True)[:2]
        if best - second > BF16_NOISE:
            compared += 1
            assert row["pred"] == LETTERS[theirs.index(best)]
        assert row["correct"] == str(int(row["pred"] == question.letter))
    assert compared > 30


def test_the_scores_are_those_of_the_rows(plain: WholeRun) -> None:
    rows = rows_of(plain)
    right = [int(row["correct"]) for row in rows]

    overall = plain.read_json("overall.json")
    assert overall["overall_accuracy"] == pytest.approx(sum(right) / 40)
    for name, one in plain.read_json("by_subject.json")["subjects"].items():
        of_it = [int(row["correct"]) for row in rows if row["subject"] == name]
        assert (one["correct"], one["total"]) == (sum(of_it), 5)
    for name, one in plain.read_json("by_domain.json")["domains"].items():
        of_it = [int(row["correct"]) for row in rows if row["domain"] == name]
        assert (one["correct"], one["total"]) == (sum(of_it), 10)


def test_the_report_can_be_made_anew_and_is_no_run_of_loadgen(plain: WholeRun) -> None:
    before = plain.read_json("summary.json")

    again = report.make_report(plain.folder)

    assert again == before
    text = (plain.folder / "report.md").read_text()
    assert text.startswith("# MMLU (plain): demo, bf16")
    assert "they are not MMLU's" in text
    with pytest.raises(UsageError, match=r"an evaluation by mmlu\.py"):
        read_evidence(RunFolder(plain.folder))


@pytest.fixture(scope="module")
def llama(tmp_path_factory: pytest.TempPathFactory, demo_cache: Path) -> WholeRun:
    return mmlu_py(
        ["--details", "1", "--protocol", "llama", "--total-limit", "8"],
        tmp_path_factory.mktemp("llama") / "results",
        demo_cache,
    )


def test_the_llama_protocol_writes_what_transformers_writes(llama: WholeRun) -> None:
    import torch

    assert llama.exit_status == 0, llama.stderr
    model, tokenizer = demo(llama)
    by_id = {one.id: one for one in load_questions("sample", None).questions}
    examples = load_questions("sample", None).examples
    rows = rows_of(llama)
    assert len(rows) == 8
    assert len({row["subject"] for row in rows}) == 8
    for row in rows:
        question = by_id[row["question_id"]]
        text = tokenizer.apply_chat_template(
            llama_messages(question, examples[question.subject]),
            tokenize=False,
            continue_final_message=True,
        )
        assert text.count(tokenizer.bos_token) == 1
        prompt = tokenizer.encode(text, add_special_tokens=False)
        with torch.no_grad():
            answer = model.generate(
                torch.tensor([prompt]), max_new_tokens=10, do_sample=False,
                attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            )[0, len(prompt) :]  # fmt: skip
        assert row["raw_text"] == tokenizer.decode(answer, skip_special_tokens=True)


def test_an_answer_without_a_letter_is_wrong_and_reported(llama: WholeRun) -> None:
    unparsed = sum(row["pred"] == "" for row in rows_of(llama))
    overall = llama.read_json("overall.json")

    assert overall["unparsed"] == unparsed > 0  # random weights do not write letters
    assert all(row["correct"] == "0" for row in rows_of(llama) if row["pred"] == "")
    assert f"{unparsed} answers named no letter" in llama.stdout
    assert json.loads((llama.results / "index.json").read_text())[0]["headline"].startswith(
        "MMLU (llama, 5-shot) "
    )
