"""Token ids back to texts: as they are, and as the official evaluation has them."""

from __future__ import annotations

from typing import Any

import pytest

from harness.inputs.tokenizer import decode, decode_as_official

# What transformers 4.46.2 (tokenizers 0.20.3) gave for the same token ids, with the demo model's
# tokenizer and with Llama 3's.
CLEANED_UP = {
    "'mostly' n't ;": "'mostly'n't ;",
    "She 's here , is n't she ? They 've gone ; we 're late !": (
        "She's here, isn't she? They've gone ; we're late!"
    ),
    "I 'm ' quoted ' .": "I'm'quoted '.",
    "a .  b ,  c": "a.  b,  c",
    "He 'll go , I 'd say .\n 'Stop !'": "He 'll go, I 'd say.\n 'Stop!'",
    "No space goes, and none comes.": "No space goes, and none comes.",
}


@pytest.mark.parametrize(("text", "cleaned_up"), CLEANED_UP.items())
def test_answers_are_cleaned_up_as_the_official_environment_does_where_the_tokenizer_says_so(
    text: str, cleaned_up: str, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    token_ids = [*tokenizer.encode(text), tokenizer.eos_token_id]
    assert tokenizer.clean_up_tokenization_spaces is False
    assert decode_as_official(tokenizer, [token_ids]) == [text]

    monkeypatch.setattr(tokenizer, "clean_up_tokenization_spaces", True)

    assert decode_as_official(tokenizer, [token_ids]) == [cleaned_up]
    assert decode(tokenizer, [token_ids]) == [text]
