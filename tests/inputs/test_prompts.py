"""The official prompt word for word, and token ids that are compared with it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig
from harness.errors import UsageError
from harness.inputs.articles import SAMPLE_ARTICLES
from harness.inputs.dataset import load_dataset
from harness.inputs.prompts import PROMPT_TEMPLATE
from tests.inputs.article_files import BOS, EDGE_COUNT, VOCAB, entries, write


def test_prompt_template_is_the_official_one_word_for_word() -> None:
    assert PROMPT_TEMPLATE == (
        "Summarize the following news article in 128 tokens. Please output the summary only, "
        "without any other text.\n\nArticle:\n{input}\n\nSummary:"
    )


def test_shipped_articles_carry_the_official_instruction_and_become_prompts(
    tokenizer: Any,
) -> None:
    articles = json.loads(SAMPLE_ARTICLES.read_text(encoding="utf-8"))

    data = load_dataset(RunConfig(dataset="sample"), lambda: tokenizer, VOCAB)

    assert {article["instruction"] for article in articles} == {PROMPT_TEMPLATE}
    assert len(data) == 40
    assert data.unofficial_because is not None
    for sample, article in zip(data.samples, articles, strict=True):
        assert sample.token_ids == tokenizer.encode(PROMPT_TEMPLATE.format(input=article["input"]))
        assert sample.reference == article["output"]


def test_a_tokenizer_of_another_model_is_refused(tokenizer: Any) -> None:
    with pytest.raises(UsageError, match=r"its tokenizer gives the token id 4\d{3}, and"):
        load_dataset(RunConfig(dataset="sample"), lambda: tokenizer, BOS)


def test_prompts_begin_with_bos_and_hold_no_other_special_token(tokenizer: Any) -> None:
    data = load_dataset(RunConfig(dataset="sample"), lambda: tokenizer, VOCAB)

    assert all(sample.token_ids[0] == BOS for sample in data.samples)
    assert all(max(sample.token_ids[1:]) < BOS for sample in data.samples)


def test_the_small_model_gets_the_same_prompt_in_its_chat_template(tokenizer: Any) -> None:
    bare = load_dataset(RunConfig(dataset="sample"), lambda: tokenizer, VOCAB)

    data = load_dataset(RunConfig(model="small", dataset="sample"), lambda: tokenizer, VOCAB)

    assert data.chat_template
    assert not bare.chat_template
    for sample, other in zip(data.samples, bare.samples, strict=True):
        turn = [{"role": "user", "content": tokenizer.decode(other.token_ids[1:])}]
        said = tokenizer.apply_chat_template(turn, tokenize=False, add_generation_prompt=True)
        assert sample.token_ids == tokenizer.encode(said, add_special_tokens=False)
        assert sample.token_ids.count(BOS) == 1


def test_token_ids_of_a_file_are_fed_to_the_small_model_as_they_are(tmp_path: Path) -> None:
    settings = write(tmp_path / "x.json", entries(3)).with_values(model="small")

    data = load_dataset(settings, None, VOCAB)

    assert not data.chat_template
    assert [sample.token_ids for sample in data.samples] == [
        entry["tok_input"] for entry in entries(3)
    ]


def test_a_very_long_article_is_not_cut_off(
    tokenizer: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    article = "The council voted. " * 5000 + "The end"
    settings = write(tmp_path / "long.json", [{"input": article, "output": "Voted ."}])

    data = load_dataset(settings, lambda: tokenizer, VOCAB)

    assert data.longest_prompt_tokens > 2 * tokenizer.model_max_length
    text = tokenizer.decode(data.samples[0].token_ids, skip_special_tokens=True)
    assert text == PROMPT_TEMPLATE.format(input=article)
    assert capfd.readouterr().err == ""  # no warning about the model's maximum length


def test_token_ids_that_are_not_the_prompts_are_unofficial(tokenizer: Any, tmp_path: Path) -> None:
    content = [{"input": f"Story {i}.", **entry} for i, entry in enumerate(entries(EDGE_COUNT))]
    settings = write(tmp_path / "edge.json", content).with_values(category="edge")

    data = load_dataset(settings, lambda: tokenizer, VOCAB)

    assert data.unofficial_because == (
        "The token ids of the data set (entry 0) are not those of the official prompt under this "
        "model's tokenizer."
    )


def test_token_ids_that_are_the_prompts_are_official(tokenizer: Any, tmp_path: Path) -> None:
    stories = [f"Story {i}." for i in range(EDGE_COUNT)]
    prompts = tokenizer([PROMPT_TEMPLATE.format(input=story) for story in stories])["input_ids"]
    content = [
        {"instruction": PROMPT_TEMPLATE, "input": story, "tok_input": prompt, "output": "."}
        for story, prompt in zip(stories, prompts, strict=True)
    ]
    settings = write(tmp_path / "edge.json", content).with_values(category="edge")

    assert load_dataset(settings, lambda: tokenizer, VOCAB).unofficial_because is None
