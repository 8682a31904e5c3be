"""Prompts of random tokens with the length profile of the real set: timing without its text."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np
import numpy.typing as npt

# The length profile of the real set (13,368 prompts, mean about 870 tokens, the longest 2,540).
SEED = 42
MEAN_TOKENS = 870
SIGMA = 0.5
MIN_TOKENS = 60
MAX_TOKENS = 2540
LLAMA3_ORDINARY_TOKENS = 128000  # ids from here on are special in Llama-3
LOW_SPECIAL_TOKENS = 10  # other tokenizers keep padding, BOS and EOS below this


def prompts(
    total: int,
    positions: Sequence[int],
    *,
    vocab_size: int,
    bos_token_id: int | None,
    special_token_ids: Collection[int],
) -> list[npt.NDArray[np.int64]]:
    """The prompts at `positions` of a set of `total`, each of ordinary tokens behind its BOS.

    A prompt depends on its position alone, so a small run sees prompts of the full one.
    """
    # Named, because numpy may change its default.
    rng = np.random.Generator(np.random.PCG64(SEED))
    mu = np.log(MEAN_TOKENS) - SIGMA**2 / 2
    drawn = np.rint(rng.lognormal(mu, SIGMA, total)).astype(np.int64)
    lengths = np.clip(drawn, MIN_TOKENS, MAX_TOKENS)
    ordinary = np.arange(LOW_SPECIAL_TOKENS, min(vocab_size, LLAMA3_ORDINARY_TOKENS))
    ordinary = np.setdiff1d(ordinary, np.asarray(sorted(special_token_ids), dtype=np.int64))
    stream = ordinary[rng.integers(0, len(ordinary), int(lengths.sum()))]
    ends = np.cumsum(lengths)
    starts = ends - lengths
    if bos_token_id is not None:
        stream[starts] = bos_token_id
    return [stream[starts[position] : ends[position]] for position in positions]
