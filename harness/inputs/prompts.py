"""The prompt around an article, as the token ids of a model's tokenizer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from harness import formatting
from harness.config import SMALL_MODEL, RunConfig
from harness.errors import UsageError
from harness.inputs.tokenizer import encode

# Word for word: language/llama3.1-8b/download_cnndm.py:90-93. BOS precedes it; no chat template.
PROMPT_TEMPLATE = (
    "Summarize the following news article in 128 tokens. "
    "Please output the summary only, without any other text.\n\nArticle:\n{input}\n\nSummary:"
)
TEMPLATE_CHECKS = 16  # entries of a tokenised file that are compared with the template


class Tokenizer(Protocol):
    """What is needed of a tokenizer: many texts to token ids in one call, which is parallel."""

    def __call__(self, text: list[str], **options: Any) -> Mapping[str, Any]: ...

    def apply_chat_template(self, conversation: list[dict[str, str]], **options: Any) -> Any: ...


def needs_chat_template(config: RunConfig) -> bool:
    """Whether the model rambles on the bare prompt, which Llama-3.1 summarises."""
    return config.model == SMALL_MODEL


def tokenise(
    articles: Iterable[str], tokenizer: Tokenizer, *, chat_template: bool = False
) -> list[list[int]]:
    """What `tokenizer.encode(prompt)` gives for each: BOS, no chat template, nothing cut off.

    With `chat_template` the prompt is what a person says to the model, which is to answer.
    """
    prompts = [PROMPT_TEMPLATE.format(input=article) for article in articles]
    if not chat_template:
        return encode(tokenizer, prompts)
    turns = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
        )
        for prompt in prompts
    ]
    return encode(tokenizer, turns, add_special_tokens=False)  # the template holds its own


def check_vocabulary(model: str, prompts: Iterable[Sequence[int]], vocab_size: int) -> None:
    """Raises UsageError for tokens that the model has no embedding of."""
    highest = max((max(prompt, default=0) for prompt in prompts), default=0)
    if highest >= vocab_size:
        raise UsageError(
            f"--model {model}: its tokenizer gives the token id {highest}, and its config.json has "
            f"a vocabulary of {formatting.count(vocab_size)} tokens; the two are not of one model, "
            "download both again."
        )


def template_difference(entries: Sequence[Mapping[str, Any]], tokenizer: Tokenizer) -> str | None:
    """Compares some of a file's token ids with the official prompt's; a sentence if they differ."""
    step = max(1, len(entries) // TEMPLATE_CHECKS)
    checked = [(i, entries[i]) for i in range(0, len(entries), step) if "input" in entries[i]]
    if not checked:
        return None
    expected = tokenise([entry["input"] for _, entry in checked], tokenizer)
    for (position, entry), token_ids in zip(checked, expected, strict=True):
        if entry["tok_input"] != token_ids:
            return (
                f"The token ids of the data set (entry {position}) are not those of the official "
                "prompt under this model's tokenizer."
            )
    return None
