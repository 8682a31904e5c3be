"""Synthetic prompts: the lengths of the real set, no special tokens, the same everywhere."""

from __future__ import annotations

import numpy as np
import pytest

from harness.config import RunConfig
from harness.inputs import model
from harness.inputs.dataset import Dataset, load_dataset
from tests.inputs.article_files import EDGE_COUNT

SYNTHETIC = RunConfig(dataset="synthetic", model="llama3.1-8b-instruct", weights="dummy")


@pytest.fixture(scope="module")
def synthetic() -> Dataset:
    source = model.resolve_model(SYNTHETIC)
    return load_dataset(
        SYNTHETIC,
        None,
        source.vocab_size,
        bos_token_id=source.bos_token_id,
        special_token_ids=source.special_token_ids,
    )


def test_synthetic_prompts_have_the_lengths_of_the_real_set(synthetic: Dataset) -> None:
    lengths = np.array([len(sample.token_ids) for sample in synthetic.samples])

    assert len(lengths) == 13368
    assert abs(lengths.mean() / 870 - 1) < 0.02
    assert abs(np.log(lengths).std() / 0.5 - 1) < 0.02
    assert lengths.min() >= 60
    assert lengths.max() == synthetic.longest_prompt_tokens == 2540


def test_synthetic_prompts_begin_with_bos_and_hold_no_special_token(synthetic: Dataset) -> None:
    assert {sample.token_ids[0] for sample in synthetic.samples} == {128000}
    assert max(max(sample.token_ids[1:]) for sample in synthetic.samples) < 128000
    assert all(type(i) is int for i in synthetic.samples[0].token_ids)


def test_synthetic_prompts_are_the_same_everywhere_and_share_no_beginning(
    synthetic: Dataset,
) -> None:
    few = load_dataset(
        SYNTHETIC.with_values(total_sample_count=50), None, 128256, bos_token_id=128000
    )

    assert few.checksum == "b74b56cfaf6ba404075a34954e7c1d484ea6a312a54b2086ba9966aec3ecabe8"
    assert len({tuple(sample.token_ids[1:5]) for sample in synthetic.samples}) == 13368


def test_a_few_synthetic_prompts_are_the_subset_of_all(synthetic: Dataset) -> None:
    few = load_dataset(
        SYNTHETIC.with_values(total_sample_count=7), None, 128256, bos_token_id=128000
    )

    positions = (663, 4242, 6311, 6890, 7961, 8376, 12418)
    assert few.samples == tuple(synthetic.samples[position] for position in positions)


def test_synthetic_prompts_for_edge_are_5000_and_have_no_references() -> None:
    data = load_dataset(SYNTHETIC.with_values(category="edge"), None, 128256)

    assert len(data) == EDGE_COUNT
    assert {sample.reference for sample in data.samples} == {None}
    assert data.unofficial_because is not None


def test_synthetic_prompts_of_a_tiny_vocabulary_avoid_its_special_tokens() -> None:
    specials = frozenset(range(36, 40))
    settings = SYNTHETIC.with_values(total_sample_count=30)

    data = load_dataset(settings, None, 40, bos_token_id=36, special_token_ids=specials)

    used = {i for sample in data.samples for i in sample.token_ids[1:]}
    assert used == set(range(10, 36))
