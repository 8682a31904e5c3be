"""What transformers generates from a model, token by token, and where two answers may part."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

# float32 keeps 24 bits of a number, and the sums of a few hundred are done in another order.
FLOAT32_NOISE = 1e-4


class Greedy:
    """A model by transformers in float32, with its tokenizer and its end tokens."""

    def __init__(self, folder: Path):
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self.model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(folder)
        end = self.model.generation_config.eos_token_id
        self.end_tokens = {end} if isinstance(end, int) else set(end)

    def answer(self, prompt: Sequence[int], most_tokens: int) -> list[int]:
        """The likeliest next token, again and again, up to an end token, which is kept."""
        import torch

        ids = torch.tensor([prompt])
        out = self.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=most_tokens, min_new_tokens=1,
            do_sample=False,
        )  # fmt: skip
        answer: list[int] = out[0, len(prompt) :].tolist()
        return answer

    def logits(self, prompt: Sequence[int]) -> Any:
        """Of the token that follows a prompt."""
        import torch

        with torch.no_grad():
            return self.model(torch.tensor([prompt])).logits[0, -1]

    def show_near_tie(self, prompt: list[int], ours: list[int], theirs: list[int]) -> None:
        """Two answers may part only where the best two tokens cannot be told apart in float32."""
        part = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b)
        logits = self.logits(prompt + ours[:part])
        best = float(logits.max())
        for token in (ours[part], theirs[part]):
            short = best - float(logits[token])
            assert short <= FLOAT32_NOISE * abs(best), (
                f"token {part}: {token} is {short:.3g} below the best logit, {best:.3g}: no tie"
            )
