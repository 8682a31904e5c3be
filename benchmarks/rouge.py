"""Times ROUGE for a full-size run: 13,368 summaries of 128 tokens, references of 55 words.

The texts are random words with the frequencies of English (Zipf), a sentence every 8 to 25 words,
which costs as much as real text; the scores mean nothing.

    python benchmarks/rouge.py
    python benchmarks/rouge.py --processes 2
"""

from __future__ import annotations

import itertools
import json
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import command
from harness import flags
from harness.rounds import V5_1
from harness.scoring import accuracy

SUMMARY_WORDS = 98  # 128 tokens of Llama 3 at 1.3 tokens a word
REFERENCE_WORDS = 55
VOCABULARY = 40_000
SEED = 0


def vocabulary(rng: random.Random) -> tuple[list[str], list[float]]:
    """Words of 1 to 10 letters with endings for the stemmer, and their cumulative weights."""
    endings = ["", "", "", "s", "ed", "ing", "ly", "ation", "ness"]
    letters = "etaoinshrdlucmfw"
    words = [
        "".join(rng.choices(letters, k=rng.randint(1, 7))) + rng.choice(endings)
        for _ in range(VOCABULARY)
    ]
    return words, list(itertools.accumulate(1 / rank for rank in range(1, VOCABULARY + 1)))


def text(rng: random.Random, words: list[str], weights: list[float], length: int) -> str:
    """Sentences of 8 to 25 words, `length` words in all."""
    chosen = rng.choices(words, cum_weights=weights, k=length)
    start = 0
    while start < length:
        end = min(length, start + rng.randint(8, 25))
        chosen[start] = chosen[start].capitalize()
        chosen[end - 1] += "."
        start = end
    return " ".join(chosen)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints seconds, summaries a second and processes, last as JSON."""
    parser = flags.Parser(__doc__ or "")
    parser.add_argument(
        "--processes",
        type=command.count,
        default=len(os.sched_getaffinity(0)),
        help="that share the work",
    )
    parser.add_argument(
        "--summaries",
        type=command.count,
        default=V5_1.datacenter.dataset_samples,
        help="to score",
    )
    values = parser.parse_args(arguments)
    rng = random.Random(SEED)
    words, weights = vocabulary(rng)
    count = values.summaries
    predictions = [text(rng, words, weights, SUMMARY_WORDS) for _ in range(count)]
    references = [text(rng, words, weights, REFERENCE_WORDS) for _ in range(count)]
    start = time.perf_counter()
    scores = accuracy.score(predictions, references, processes=values.processes)
    seconds = time.perf_counter() - start
    print(f"{count:,} summaries in {seconds:.1f} s on {values.processes} processes")
    result = {
        "seconds": round(seconds, 2),
        "summaries_per_second": round(count / seconds, 1),
        "processes": values.processes,
        "rouge1": scores.rouge1,
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(command.carry_out(main))
