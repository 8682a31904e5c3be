"""A model's own tokenizer, and the two ways it is used: texts to token ids and back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import UsageError, first_line
from harness.inputs import hub
from harness.inputs.model_source import ModelSource

# clean_up_tokenization of transformers 4.46.2, in its order.
_CLEANED_UP = (
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)


def load_tokenizer(source: ModelSource) -> Any:
    """The model's own tokenizer. Raises UsageError where there is none or it cannot be read."""
    if not source.has_tokenizer:
        raise UsageError(
            f"--model {source.requested} has no tokenizer here, so text cannot be read or written; "
            "use --dataset synthetic, or --weights real."
        )
    from transformers import AutoTokenizer

    place = source.tokenizer_folder or source.path
    where: dict[str, Any] = {"local_files_only": True}
    if not Path(place).is_dir():
        where = {"revision": source.revision, "token": hub.user_token()}
    try:
        tokenizer = AutoTokenizer.from_pretrained(place, **where)
        decode(tokenizer, encode(tokenizer, ["A trial"]))  # what loads may still not work
        return tokenizer
    except (
        Exception
    ) as error:  # what the library raises for a damaged file is of no class of its own
        raise UsageError(
            f"--model {source.requested}: its tokenizer cannot be loaded ({first_line(error)}); "
            "give a folder with its tokenizer.json and tokenizer_config.json as they came."
        ) from error


def encode(
    tokenizer: Any, texts: Sequence[str], *, add_special_tokens: bool = True
) -> list[list[int]]:
    """What `tokenizer.encode` gives for each text, nothing cut off."""
    encoded = tokenizer(
        list(texts),
        add_special_tokens=add_special_tokens,
        truncation=False,
        padding=False,
        return_attention_mask=False,
        verbose=False,  # no warning for prompts above the tokenizer's model_max_length
    )
    token_ids: list[list[int]] = encoded["input_ids"]
    return token_ids


def decode(tokenizer: Any, answers: Sequence[Sequence[int]]) -> list[str]:
    """Token ids to texts without special tokens, no space of theirs taken away."""
    texts: list[str] = tokenizer.batch_decode(
        [list(ids) for ids in answers], skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return texts


def decode_as_official(tokenizer: Any, answers: Sequence[Sequence[int]]) -> list[str]:
    """Token ids to the texts that the official evaluation scores.

    Its environment is transformers 4.46.2, which takes spaces away where the tokenizer's
    clean_up_tokenization_spaces says so, as Llama 3's does; since release 5 transformers does not.
    """
    texts = decode(tokenizer, answers)
    if not tokenizer.clean_up_tokenization_spaces:
        return texts
    return [_without_spaces_of_tokens(text) for text in texts]


def _without_spaces_of_tokens(text: str) -> str:
    """What transformers 4.46.2 does to a text, one replacement after the other."""
    for spaced, closed in _CLEANED_UP:
        text = text.replace(spaced, closed)
    return text
