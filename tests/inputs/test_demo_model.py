"""The demo model: built once, the same everywhere, and of the real one's kind."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.inputs import demo_model
from harness.inputs.demo_model import (
    EOS,
    SPECIAL_TOKENS,
    VOCAB_SIZE,
    build_demo_model,
    ensure_demo_model,
)
from tests.inputs.model_folders import make_folder

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    built = tmp_path_factory.mktemp("demo")
    build_demo_model(built)
    return built


@pytest.fixture(scope="module")
def tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, local_files_only=True)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "mlperf-llama31-vllm"


def checksums(folder: Path) -> dict[str, str]:
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(folder.iterdir())}


def shipped_articles() -> list[dict[str, str]]:
    articles: list[dict[str, str]] = json.loads(demo_model.ARTICLES.read_text(encoding="utf-8"))
    return articles


def test_two_processes_build_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    build = (
        "import pathlib, sys; from harness.inputs.demo_model import build_demo_model;"
        "build_demo_model(pathlib.Path(sys.argv[1]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "7", "RAYON_NUM_THREADS": "1"}
    subprocess.run(
        [sys.executable, "-c", build, str(tmp_path)], cwd=PROJECT, env=environment, check=True
    )

    assert checksums(tmp_path) == checksums(folder)
    assert sorted(checksums(folder)) == [
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]


def test_the_model_is_built_once_and_then_found(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built: list[Path] = []
    monkeypatch.setattr(demo_model, "build_demo_model", lambda path: built.append(fake(path)))

    first, second = ensure_demo_model(), ensure_demo_model()

    assert first == second == next(cache.glob("demo-*"))
    assert len(built) == 1
    assert [path.name for path in cache.iterdir()] == [first.name]  # nothing unfinished is left


def fake(folder: Path) -> Path:
    return make_folder(folder, "model.safetensors", "tokenizer.json")


def test_a_model_that_lost_a_file_is_built_anew(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_model, "build_demo_model", fake)
    weights = ensure_demo_model() / "model.safetensors"
    weights.write_bytes(b"")

    assert (ensure_demo_model() / "model.safetensors").read_bytes()
    assert [path.name for path in cache.iterdir()] == [weights.parent.name]


def test_a_process_that_comes_second_takes_the_model_of_the_first(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build_while_another_finishes(unfinished: Path) -> None:
        fake(unfinished)
        other = fake(cache / f"demo-{demo_model._recipe_hash()}")
        (other / "config.json").write_text('{"first": true}')

    monkeypatch.setattr(demo_model, "build_demo_model", build_while_another_finishes)

    assert (ensure_demo_model() / "config.json").read_text() == '{"first": true}'
    assert len(list(cache.iterdir())) == 1


def test_other_articles_make_another_model(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo_model, "build_demo_model", fake)
    before = ensure_demo_model()
    changed = tmp_path / "articles.json"
    changed.write_text("[]")
    monkeypatch.setattr(demo_model, "ARTICLES", changed)

    assert ensure_demo_model() != before
    assert before.parent == cache


def test_a_cache_folder_that_cannot_be_written_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_the_way = tmp_path / "cache"
    in_the_way.write_text("a file")
    monkeypatch.setenv("XDG_CACHE_HOME", str(in_the_way))

    with pytest.raises(UsageError) as caught:
        ensure_demo_model()

    assert str(caught.value) == (
        f"--model demo is built under {in_the_way}/mlperf-llama31-vllm, which cannot be written "
        "(Not a directory); set XDG_CACHE_HOME to a folder that can."
    )


def test_encoding_adds_bos_once_and_nothing_at_the_end(tokenizer: Any) -> None:
    ids = tokenizer.encode("The council voted.")

    assert ids[0] == tokenizer.bos_token_id
    assert ids.count(tokenizer.bos_token_id) == 1
    assert tokenizer.decode(ids, skip_special_tokens=True) == "The council voted."


def test_any_text_survives_the_tokenizer(tokenizer: Any) -> None:
    text = "Zażółć\tgęślą 12345 crowns…\n\n  «ß» 日本 🙂 don't"

    ids = tokenizer.encode(text)

    assert tokenizer.decode(ids, skip_special_tokens=True) == text


def test_the_vocabulary_has_4096_tokens_with_the_special_ones_last(
    tokenizer: Any, folder: Path
) -> None:
    config = json.loads((folder / "config.json").read_text())

    assert len(tokenizer) == config["vocab_size"] == 4096
    assert tokenizer.convert_tokens_to_ids(list(SPECIAL_TOKENS)) == [4091, 4092, 4093, 4094, 4095]


@pytest.mark.parametrize("letter", "ABCD")
def test_each_choice_with_its_space_is_one_token(tokenizer: Any, letter: str) -> None:
    assert len(tokenizer.encode(f"Answer: {letter}", add_special_tokens=False)) == 1 + len(
        tokenizer.encode("Answer:", add_special_tokens=False)
    )
    assert len(tokenizer.encode(f" {letter}", add_special_tokens=False)) == 1


def test_the_chat_template_writes_llama_3_turns_with_one_bos(tokenizer: Any) -> None:
    turns = [{"role": "user", "content": " Hello "}]

    text = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)

    assert text == (
        "<|begin_of_text|><|start_header_id|>user<|end_header_id|>\n\nHello<|eot_id|>"
        "<|start_header_id|>assistant<|end_header_id|>\n\n"
    )
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert ids.count(tokenizer.bos_token_id) == 1


def greedy(model: Any, prompt: list[int], count: int) -> tuple[list[int], list[float]]:
    """The answer, and at each step how far the best logit stands above the second."""
    import torch

    ends = set(model.generation_config.eos_token_id)
    answer: list[int] = []
    gaps: list[float] = []
    with torch.no_grad():
        out = model(torch.tensor([prompt]), use_cache=True, logits_to_keep=1)
        while True:
            best = out.logits[0, -1].float().topk(2)
            gaps.append(float(best.values[0] - best.values[1]))
            answer.append(int(best.indices[0]))
            if answer[-1] in ends or len(answer) == count:
                return answer, gaps
            out = model(torch.tensor([answer[-1:]]), past_key_values=out.past_key_values)


@pytest.fixture(scope="module")
def model(folder: Path) -> Any:
    import torch
    from transformers import LlamaForCausalLM

    # In float32, so that the gaps are those of the weights and not of one machine's bf16 kernels.
    return LlamaForCausalLM.from_pretrained(folder, local_files_only=True, dtype=torch.float32)


@pytest.fixture(scope="module")
def answers(model: Any, tokenizer: Any) -> list[tuple[list[int], list[float]]]:
    """The first words of all forty answers."""
    prompts = [entry["instruction"].format(input=entry["input"]) for entry in shipped_articles()]
    return [greedy(model, tokenizer.encode(prompt), 3) for prompt in prompts]


def test_most_prompts_get_an_answer_of_their_own(
    answers: list[tuple[list[int], list[float]]],
) -> None:
    assert len({tuple(answer) for answer, _ in answers}) >= 30


def test_no_answer_hangs_on_a_near_tie(answers: list[tuple[list[int], list[float]]]) -> None:
    assert min(gaps[0] for _, gaps in answers) > 0.05
    assert min(gap for _, gaps in answers for gap in gaps[1:]) > 5


def test_no_answer_begins_with_a_special_token(
    answers: list[tuple[list[int], list[float]]],
) -> None:
    assert max(answer[0] for answer, _ in answers) < VOCAB_SIZE - len(SPECIAL_TOKENS)


def test_an_answer_follows_the_words_of_the_articles_and_ends_at_every_400th(
    model: Any, tokenizer: Any
) -> None:
    words = demo_model._words_in_order(tokenizer.get_vocab())
    begun = tokenizer.encode("Article:\nSnow.\n\nSummary:")

    answer, gaps = greedy(model, [*begun, words[395]], 10)

    assert answer == [*words[396:400], tokenizer.convert_tokens_to_ids(EOS)]
    assert min(gaps) > 5


def test_shipped_articles_are_forty_news_stories_in_the_official_schema() -> None:
    entries = shipped_articles()
    words = [len(entry["input"].split()) for entry in entries]

    assert len(entries) == 40
    assert all(list(entry) == ["instruction", "input", "output"] for entry in entries)
    assert min(words) >= 150 and max(words) <= 500 and max(words) - min(words) > 250
    assert len({entry["input"] for entry in entries}) == 40
    for entry in entries:
        sentences = entry["output"].split("\n")
        assert 2 <= len(sentences) <= 4
        assert all(sentence.endswith(" .") for sentence in sentences)
