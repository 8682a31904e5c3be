"""Compares the answers of a model that GPUs share with those of one GPU, by the kernels of a run.

  python benchmarks/in_parts.py                (two Hopper GPUs; no model)
  python benchmarks/in_parts.py --parts 4

A model of four of Llama-3.1-8B's layers, whose random weights are large enough to matter, answers
prompts of many lengths in a few steps that hold prompts and answers: in bf16 on one GPU, in fp8 on
one, and in fp8 on several by tensor parallel. It says how far apart the log-probabilities of the
likeliest tokens are, for each pair of ways, up to where two answers part. Prints a line for each
pair, and JSON last.
"""

from __future__ import annotations

import itertools
import json
import multiprocessing
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import command
from benchmarks.one_token_model import SMALL_WORDS, write_model
from harness import flags, processes
from harness.config import RunConfig, Scenario
from harness.engine import capacity, plan
from harness.engine.settings import Purpose
from harness.engine.weights import BF16, FP8
from harness.errors import BenchmarkError, UsageError
from harness.inputs.model import resolve_model
from harness.machine import system as system_info

PROMPTS, LONGEST, ANSWER = 48, 900, 8
STEP_TOKENS = 2048  # so that the prompts take several steps, with answers in them
LIKELIEST = 20
SIZES = (2, 4, 8)  # that divide the model's key and value heads
GRACE_S = 30.0  # for an engine to end by itself
WAIT_S = 600.0  # an engine took 55 s, with nothing compiled

# For each prompt, for each token of its answer: the token, and the likeliest with their
# log-probabilities.
Answers = list[list[tuple[int, dict[int, float]]]]


def answers_of(folder: str, precision: str, parts: int, sender: Connection) -> None:
    """Loads the model in this process, and sends the kernels it took and its answers."""
    config = RunConfig(
        model=folder, weights="dummy", dataset="synthetic", precision=precision,
        scenario=Scenario.OFFLINE, tensor_parallel_size=parts, gpu_memory_utilization=0.5,
        engine_args={"max_num_batched_tokens": STEP_TOKENS},
    )  # fmt: skip
    site = plan.Site("gpu", system_info.collect())
    config = capacity.check_devices(config, "gpu", site.system)
    planned = plan.make(config, resolve_model(config), site.for_engine(config), Purpose(1024))
    os.environ.update(planned.environment)
    from vllm import LLM, SamplingParams
    from vllm.inputs import TokensPrompt

    engine = LLM(**planned.settings | {"load_format": "auto"})
    draw = random.Random(0)
    prompts = [
        TokensPrompt(prompt_token_ids=[draw.randrange(SMALL_WORDS) for _ in range(length)])
        for length in (draw.randrange(1, LONGEST) for _ in range(PROMPTS))
    ]
    sampling = SamplingParams(
        temperature=0.0, max_tokens=ANSWER, ignore_eos=True, logprobs=LIKELIEST, detokenize=False
    )
    outputs = engine.generate(prompts, sampling, use_tqdm=False)
    answers = [
        [
            (token, {key: value.logprob for key, value in likeliest.items()})
            for token, likeliest in zip(answer.token_ids, answer.logprobs or (), strict=True)
        ]
        for answer in (output.outputs[0] for output in outputs)
    ]
    sender.send((planned.profile.name, answers))


def asked(folder: str, precision: str, parts: int) -> tuple[str, Answers]:
    """Asks in a process of its own, as vLLM keeps a GPU's memory. Raises BenchmarkError."""
    context = multiprocessing.get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=answers_of, args=(folder, precision, parts, sender))
    process.start()
    sender.close()
    try:
        if not receiver.poll(WAIT_S):
            raise BenchmarkError(f"{precision} in {parts}: no answers after {WAIT_S:.0f} s")
        name, answers = receiver.recv()
        process.join(GRACE_S)
    except EOFError as error:
        raise BenchmarkError(f"{precision} in {parts}: the engine did not answer") from error
    finally:
        processes.end_children_for_good()
    return name, answers


def apart(answers: Answers, others: Answers) -> dict[str, float]:
    """Returns how far log-probabilities are apart, at all places up to where two answers part."""
    differences: list[float] = []
    same = places = 0
    for answer, other in zip(answers, others, strict=True):
        for (token, likeliest), (other_token, theirs) in zip(answer, other, strict=True):
            places += 1
            in_both = likeliest.keys() & theirs.keys()
            differences += [abs(likeliest[key] - theirs[key]) for key in in_both]
            if token != other_token:
                break
            same += 1
    return {
        "mean": statistics.fmean(differences),
        "most": max(differences),
        "places": places,
        "same tokens": same,
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line for each pair and JSON last."""
    parser = flags.Parser(__doc__ or "")
    parser.add_argument(
        "--parts", type=int, choices=SIZES, default=2, help="GPUs that share the model"
    )
    values = parser.parse_args(arguments)
    gpu = command.hopper_gpu()
    import torch

    if values.parts > torch.cuda.device_count():
        raise UsageError(f"--parts {values.parts}: {torch.cuda.device_count()} GPUs are here.")
    print(f"{gpu}: the model on {values.parts} of them")
    profiles, answers = {}, {}
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder), BF16)
        for precision, parts in ((BF16, 1), (FP8, 1), (FP8, values.parts)):
            way = f"{precision} in {parts}"
            profiles[way], answers[way] = asked(folder, precision, parts)
    rows = []
    for pair in itertools.combinations(answers, 2):
        row: dict[str, Any] = {"pair": pair, **apart(*(answers[way] for way in pair))}
        rows.append(row)
        print(
            f"{' and '.join(row['pair']):<26} mean {row['mean']:.4f}, most {row['most']:.4f}, "
            f"same token at {row['same tokens']} of {row['places']} places",
            flush=True,
        )
    print(json.dumps({"gpu": gpu, "profiles": profiles, "pairs": rows}))
    return 0


if __name__ == "__main__":
    sys.exit(command.carry_out(main))
