"""The samples of a run: equal everywhere, official or said to be otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig
from harness.errors import UsageError
from harness.inputs.dataset import load_dataset
from tests.inputs.article_files import EDGE_COUNT, VOCAB, entries, refused, write


def test_more_samples_than_shipped_articles_take_the_articles_over_again(tokenizer: Any) -> None:
    whole = load_dataset(RunConfig(dataset="sample"), lambda: tokenizer, VOCAB)

    data = load_dataset(
        RunConfig(dataset="sample", total_sample_count=100), lambda: tokenizer, VOCAB
    )

    assert len(whole) == 40
    assert data.samples == (*whole.samples, *whole.samples, *whole.samples[:20])


def test_the_shipped_articles_are_not_taken_over_for_ever(tokenizer: Any) -> None:
    said = refused(RunConfig(dataset="sample", total_sample_count=13_369), lambda: tokenizer)

    assert "--total-sample-count 13369: the articles of --dataset sample are taken over" in said


def test_the_same_seed_gives_the_same_subset_in_order(tmp_path: Path) -> None:
    settings = write(tmp_path / "many.json", entries(100))

    data = load_dataset(settings, None, VOCAB)
    small = load_dataset(settings.with_values(total_sample_count=5), None, VOCAB)

    assert small.samples == tuple(data.samples[position] for position in (5, 33, 49, 53, 97))
    assert [sample.reference for sample in small.samples] == [
        "no. 5", "no. 33", "no. 49", "no. 53", "no. 97",
    ]  # fmt: skip
    assert small.checksum != data.checksum
    assert load_dataset(settings.with_values(total_sample_count=100), None, VOCAB) == data


def test_an_article_is_known_again_by_its_beginning(tmp_path: Path) -> None:
    content = [
        {"input": "x" * 1000, "tok_input": [1], "output": "a"},
        {"input": "short", "tok_input": [2], "output": "b"},
        {"tok_input": [3], "output": "c"},
    ]

    data = load_dataset(write(tmp_path / "x.json", content), None, VOCAB)

    assert [sample.beginning for sample in data.samples] == ["x" * 300, "short", None]


def test_the_checksum_is_the_same_on_every_machine_and_sees_every_change(tmp_path: Path) -> None:
    base = [{"tok_input": [1, 70000], "output": "é ."}, {"tok_input": [2], "output": "b"}]
    ids_moved = [{"tok_input": [1], "output": "é ."}, {"tok_input": [70000, 2], "output": "b"}]
    other_text = [base[0], {"tok_input": [2], "output": "c"}]

    def checksum(content: Any) -> str:
        return load_dataset(write(tmp_path / "x.json", content), None, 128256).checksum

    assert checksum(base) == "fc32566e5dae24d8c78a033e700c10ea887a053e51b6cc28ad481b07a887f528"
    assert len({checksum(base), checksum(ids_moved), checksum(other_text)}) == 3


def test_more_samples_than_there_are_is_refused(tmp_path: Path) -> None:
    settings = write(tmp_path / "few.json", entries(3)).with_values(total_sample_count=4)

    said = "--total-sample-count 4: the data set has 3 samples; use --total-sample-count 3 or less."
    assert refused(settings) == said


def test_tok_input_is_fed_as_it_is_and_needs_no_tokenizer(tmp_path: Path) -> None:
    settings = write(tmp_path / "cnn_eval.json", entries(3))

    data = load_dataset(settings, None, VOCAB)

    assert [sample.token_ids for sample in data.samples] == [[1, 2, 0], [1, 3, 0], [1, 4, 0]]


@pytest.mark.parametrize(("category", "count"), [("datacenter", 13368), ("edge", EDGE_COUNT)])
def test_a_file_of_the_official_size_is_taken_at_the_users_word(
    tmp_path: Path, category: str, count: int
) -> None:
    settings = write(tmp_path / "official.json", entries(count)).with_values(category=category)

    data = load_dataset(settings, None, VOCAB)

    assert data.unofficial_because is None
    assert data.source == f"{tmp_path}/official.json, taken at the user's word"


def test_official_articles_may_repeat_themselves(tmp_path: Path) -> None:
    content = entries(13367)

    data = load_dataset(write(tmp_path / "official.json", [*content, content[0]]), None, VOCAB)

    assert len(data) == 13368


def test_the_file_of_the_other_category_is_unofficial(tmp_path: Path) -> None:
    data = load_dataset(write(tmp_path / "edge.json", entries(EDGE_COUNT)), None, VOCAB)

    assert data.unofficial_because == (
        "The data set is edge.json with 5,000 articles; the official one has 13,368 in the "
        "datacenter category."
    )


def test_a_file_of_the_official_size_without_token_ids_is_unofficial(
    tokenizer: Any, tmp_path: Path
) -> None:
    content = [{"input": f"Story {i}.", "output": "."} for i in range(EDGE_COUNT)]
    settings = write(tmp_path / "edge.json", content)
    settings = settings.with_values(category="edge", total_sample_count=2)

    data = load_dataset(settings, lambda: tokenizer, VOCAB)

    assert data.unofficial_because == (
        "The data set is edge.json, which lacks the official token ids; they were made here."
    )


@pytest.mark.parametrize(
    ("vocab_size", "more"), [(4096, ""), (128_256, ", or get it: python run.py fetch tokenizer")]
)
def test_articles_with_a_model_without_tokenizer_are_refused(vocab_size: int, more: str) -> None:
    settings = RunConfig(dataset="sample", weights="dummy", model="llama3.1-8b-instruct")

    with pytest.raises(UsageError) as error:
        load_dataset(settings, None, vocab_size)

    assert str(error.value) == (
        "--dataset sample holds text, and --model llama3.1-8b-instruct with --weights dummy has no "
        f"tokenizer; use --dataset synthetic{more}."
    )
