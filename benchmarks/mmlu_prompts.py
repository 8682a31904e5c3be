"""Times the prompts of a whole MMLU: 14,042 questions with 5 examples each, to token ids.

The questions are the shipped ones over and over, with the demo model's tokenizer: a vocabulary of
a few thousand tokens, so more tokens a prompt than Llama 3's has.

    python benchmarks/mmlu_prompts.py
    python benchmarks/mmlu_prompts.py --protocol llama
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import command
from harness import flags
from harness.config import RunConfig
from harness.inputs.model import resolve_model
from harness.inputs.tokenizer import load_tokenizer
from harness.mmlu import prompts as mmlu_prompts
from harness.mmlu.config import FULL_SIZE, PROTOCOLS
from harness.mmlu.files import load_questions


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints seconds and tokens, last as JSON."""
    parser = flags.Parser(__doc__ or "")
    parser.add_argument(
        "--protocol", choices=PROTOCOLS, default=PROTOCOLS[0], help="how a question is put"
    )
    protocol = parser.parse_args(arguments).protocol
    tokenizer = load_tokenizer(resolve_model(RunConfig(model="demo")))
    sample = load_questions("sample", None)
    # Each a text of its own, so that nothing can be remembered from one to the next.
    questions = tuple(
        dataclasses.replace(one, question=f"{one.question.strip()} ({number})")
        for number, one in enumerate(
            itertools.islice(itertools.cycle(sample.questions), FULL_SIZE), start=1
        )
    )
    data = dataclasses.replace(sample, questions=questions)

    started = time.perf_counter()
    prompts = mmlu_prompts.tokenise(protocol, data, tokenizer)
    seconds = time.perf_counter() - started

    tokens = sum(len(prompt) for prompt in prompts)
    print(f"{len(prompts):,} prompts of {tokens / len(prompts):.0f} tokens in {seconds:.1f} s")
    result = {
        "protocol": protocol,
        "prompts": len(prompts),
        "tokens": tokens,
        "seconds": round(seconds, 3),
        "cores": len(os.sched_getaffinity(0)),
    }
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(command.carry_out(main))
