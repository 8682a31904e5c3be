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

    def answer(
        self, prompt: Sequence[int], most_tokens: int, guess: Sequence[int] = ()
    ) -> list[int]:
        """The likeliest next token, again and again, up to an end token, which is kept.

        All tokens of a guess are looked at in one pass, and only what it lacks is generated: a
        right guess saves most of the time, and a wrong one changes nothing.
        """
        import torch

        answer = self._right_beginning(prompt, guess[:most_tokens])
        if len(answer) == most_tokens or (answer and answer[-1] in self.end_tokens):
            return answer
        ids = torch.tensor([[*prompt, *answer]])
        out = self.model.generate(
            ids, attention_mask=torch.ones_like(ids), max_new_tokens=most_tokens - len(answer),
            min_new_tokens=0 if answer else 1, do_sample=False,
        )  # fmt: skip
        generated: list[int] = out[0, len(prompt) :].tolist()
        return generated

    def _right_beginning(self, prompt: Sequence[int], guess: Sequence[int]) -> list[int]:
        """A guess up to its first end token, or up to the first token that is not the likeliest."""
        if not guess:
            return []
        logits = self.logits([*prompt, *guess[:-1]], positions=len(guess))
        logits[0, list(self.end_tokens)] = -float("inf")  # min_new_tokens is 1
        right: list[int] = []
        for token, likeliest in zip(guess, logits.argmax(dim=-1).tolist(), strict=True):
            if token != likeliest:
                break
            right.append(token)
            if token in self.end_tokens:
                break
        return right

    def logits(self, text: Sequence[int], positions: int = 1) -> Any:
        """Of the token after each of the last positions of a text: (positions, vocabulary)."""
        import torch

        with torch.no_grad():
            return self.model(torch.tensor([text]), logits_to_keep=positions).logits[0]

    def show_near_tie(self, prompt: list[int], ours: list[int], theirs: list[int]) -> None:
        """Two answers may part only where the best two tokens cannot be told apart in float32."""
        part = next(i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b)
        (logits,) = self.logits(prompt + ours[:part])
        best = float(logits.max())
        for token in (ours[part], theirs[part]):
            short = best - float(logits[token])
            assert short <= FLOAT32_NOISE * abs(best), (
                f"token {part}: {token} is {short:.3g} below the best logit, {best:.3g}: no tie"
            )
