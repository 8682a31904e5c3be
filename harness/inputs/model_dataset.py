"""The data set of a run as its model reads it, and the tokenizer where the prompts needed one."""

from __future__ import annotations

from typing import Any

from harness.config import RunConfig
from harness.inputs.dataset import Dataset, load_dataset
from harness.inputs.model_source import ModelSource
from harness.inputs.tokenizer import load_tokenizer


def load_for_model(settings: RunConfig, model: ModelSource) -> tuple[Dataset, Any]:
    """The samples, and the model's tokenizer; None where no text had to become tokens.

    Raises UsageError for anything wrong with the data or the tokenizer.
    """
    loaded: list[Any] = []

    def tokenizer() -> Any:
        if not loaded:
            loaded.append(load_tokenizer(model))
        return loaded[0]

    data = load_dataset(
        settings,
        tokenizer if model.has_tokenizer else None,
        model.vocab_size,
        bos_token_id=model.bos_token_id,
        special_token_ids=model.special_token_ids,
    )
    return data, loaded[0] if loaded else None
