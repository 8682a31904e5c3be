"""What one token costs on this GPU by the kernels for it, and whether they agree with vLLM's.

  python benchmarks/one_token.py                      (one Hopper GPU; no model)
  python benchmarks/one_token.py --weights fp8 --context 2000
  python benchmarks/one_token.py --weights int4       (as llm-compressor writes W4A16)
  python benchmarks/one_token.py --weights int4 --packing gptq

A step of one token in SingleStream: 32 layers of Llama-3.1-8B, random weights, one CUDA graph; the
same without attention; the output matrix; and what reading memory at a copy's speed would take.
Then vLLM loads a model of four such layers whose weights are large enough to matter, writes an
answer token by token, and reads it back as a prompt, by its own kernels: the log-probabilities of
the likeliest tokens should be the same but for rounding. Prints a line for each, and JSON last.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import command
from benchmarks.one_token_model import (
    HEAD_DIM,
    HEADS,
    INNER,
    PACKINGS,
    SMALL_WORDS,
    WIDTH,
    random_matrix,
    write_model,
)
from harness import flags
from harness.config import RunConfig, Scenario
from harness.engine import plan
from harness.engine.settings import Purpose
from harness.engine.weights import BF16, FP8, INT4
from harness.inputs.model import resolve_model
from harness.machine import system as system_info

LAYERS, WORDS = 32, 128256
BLOCK, BLOCKS = 16, 256  # of the KV cache, its tokens in blocks of random order
REPEATS = 15
PROMPT_TOKENS = 700
# Tokens of the answer that are read back, at the edges of the cache's blocks among others.
READ_BACK = (1, 2, 3, 4, 5, 20, 21, 22, 40)
LIKELIEST = 20


def for_one_token(outputs: int, inputs: int, kind: str) -> tuple[Any, Any]:
    """A matrix as the kernels for one token read it, and its scales."""
    from harness.engine.one_token_int4_products import packed

    w, scales = random_matrix(outputs, inputs, kind)
    return (packed(w), scales) if kind == INT4 else (w, scales)


def make_step(context: int) -> Any:
    """Where the token after `context` - 1 others is."""
    import torch

    blocks = torch.randperm(BLOCKS, device="cuda").int()
    slot = int(blocks[(context - 1) // BLOCK]) * BLOCK + (context - 1) % BLOCK
    return SimpleNamespace(
        positions=torch.tensor([context - 1], device="cuda"),
        seq_lens=torch.tensor([context], device="cuda", dtype=torch.int32),
        slot_mapping=torch.tensor([slot], device="cuda"),
        block_table=blocks[None],
    )


def time_us(call: Callable[[], Any]) -> float:
    """The median of replays of one CUDA graph."""
    import torch

    call()
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        call()
    events = [torch.cuda.Event(enable_timing=True) for _ in range(REPEATS + 3)]
    for event in events:
        event.record()
        graph.replay()
    torch.cuda.synchronize()
    pairs = itertools.pairwise(events[2:])
    return 1000 * statistics.median(float(a.elapsed_time(b)) for a, b in pairs)


def speeds(kind: str, context: int) -> dict[str, float]:
    """Microseconds of each part of a step."""
    import torch

    from harness.engine import one_token_int4_products, one_token_products
    from harness.engine.one_token_attention import Scratch, attention

    by: Any = one_token_int4_products if kind == INT4 else one_token_products
    cache_type = torch.float8_e4m3fn if kind == FP8 else torch.bfloat16
    gamma = torch.ones(WIDTH, device="cuda", dtype=torch.bfloat16)
    norm = SimpleNamespace(weight=gamma, variance_epsilon=1e-5)
    shapes = ((6144, WIDTH), (WIDTH, WIDTH), (2 * INNER, WIDTH), (WIDTH, INNER))
    layers = [[for_one_token(*shape, kind) for shape in shapes] for _ in range(LAYERS)]
    pages = [
        torch.randn(BLOCKS, BLOCK, HEADS, 2 * HEAD_DIM, device="cuda").to(cache_type)
        for _ in range(LAYERS)
    ]
    rotary = torch.randn(BLOCKS * BLOCK, HEAD_DIM, device="cuda").bfloat16()
    step, one = make_step(context), torch.ones(1, device="cuda")
    scratch = Scratch(HEADS, torch.device("cuda"))
    first = torch.randn(1, WIDTH, device="cuda").bfloat16()

    def all_layers(*, attend: bool) -> None:
        row = first
        for (qkv, out, gate_up, down), cache in zip(layers, pages, strict=True):
            made = by.norm_product(row, norm, *qkv)
            if attend:
                made = attention(made, rotary, step, cache, (one, one), scratch)
            row = by.product(made[:, :WIDTH], *out, residual=row)
            row = by.product(by.norm_gate_up(row, norm, *gate_up), *down, residual=row)

    head = torch.randn(WORDS, WIDTH, device="cuda", dtype=torch.bfloat16)
    copied = torch.empty_like(head)
    parts = [part for matrix in layers[0] for part in matrix if part is not None]
    read = sum(part.nbytes for part in parts) / head.nbytes
    figures_us = {
        "a layer": time_us(partial(all_layers, attend=True)) / LAYERS,
        "a layer without attention": time_us(partial(all_layers, attend=False)) / LAYERS,
        "the output matrix": time_us(lambda: one_token_products.product(first, head)),
        "the output matrix, cuBLAS": time_us(lambda: torch.nn.functional.linear(first, head)),
    }
    # A copy reads and writes every byte.
    figures_us["a layer's weights at a copy's speed"] = (
        time_us(lambda: copied.copy_(head)) / 2 * read
    )
    return figures_us


def agreement(kind: str, packing: str) -> dict[str, float]:
    """How far log-probabilities are apart: by steps of one token, and read back as a prompt."""
    import torch

    torch.cuda.empty_cache()
    with tempfile.TemporaryDirectory() as folder:
        write_model(Path(folder), kind, packing)
        engine = _load(folder, kind)
    prompt = [(37 * number) % SMALL_WORDS for number in range(PROMPT_TOKENS)]
    answer = _answer(engine, prompt, max(READ_BACK) + 1)
    apart, spread, same = [], [], 0
    for count in READ_BACK:
        again = _answer(engine, [*prompt, *answer.token_ids[:count]], 1)
        ours, theirs = answer.logprobs[count], again.logprobs[0]
        apart += [abs(ours[k].logprob - theirs[k].logprob) for k in ours.keys() & theirs.keys()]
        values = [ours[k].logprob for k in ours]
        spread.append(max(values) - min(values))
        same += answer.token_ids[count] == again.token_ids[0]
    return {
        "log-probabilities apart, mean": statistics.fmean(apart),
        "log-probabilities apart, most": max(apart),
        "from the first to the last of them": statistics.fmean(spread),
        f"same tokens of {len(READ_BACK)}": same,
        f"in both lists, of {LIKELIEST * len(READ_BACK)}": len(apart),
    }


def _load(folder: str, kind: str) -> Any:
    os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
    precision = FP8 if kind == FP8 else BF16
    config = RunConfig(
        model=folder, weights="dummy", dataset="synthetic", category="edge", precision=precision,
        scenario=Scenario.SINGLESTREAM, tensor_parallel_size=1, gpu_memory_utilization=0.5,
    )  # fmt: skip
    system = system_info.collect()
    site = plan.Site("gpu", system)
    planned = plan.make(config, resolve_model(config), site, Purpose(1024))
    os.environ.update(planned.environment)
    from vllm import LLM

    return LLM(**planned.settings | {"load_format": "auto"})


def _answer(engine: Any, prompt: Sequence[int], tokens: int) -> Any:
    from vllm import SamplingParams
    from vllm.inputs import TokensPrompt

    sampling = SamplingParams(
        temperature=0.0, max_tokens=tokens, ignore_eos=True, logprobs=LIKELIEST, detokenize=False
    )
    asked = [TokensPrompt(prompt_token_ids=list(prompt))]
    return engine.generate(asked, sampling, use_tqdm=False)[0].outputs[0]


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line for each figure and JSON last."""
    parser = flags.Parser(__doc__ or "")
    parser.add_argument(
        "--weights", choices=(BF16, FP8, INT4), default=BF16, help="fp8 has its KV cache in fp8 too"
    )
    parser.add_argument(
        "--packing", choices=PACKINGS, default=next(iter(PACKINGS)), help="of a checkpoint in int4"
    )
    parser.add_argument(
        "--context", type=command.count, default=930, help="tokens, the new one among them"
    )
    values = parser.parse_args(arguments)
    if values.context > BLOCK * BLOCKS:
        parser.error(f"--context {values.context}: the cache made here holds {BLOCK * BLOCKS}")
    import torch

    gpu = command.hopper_gpu()
    torch.manual_seed(0)
    print(f"{gpu}: {values.weights}, {values.context} tokens")
    figures_us = speeds(values.weights, values.context)
    for name, us in figures_us.items():
        print(f"{name:<38}{us:10.2f} us", flush=True)
    agreed = agreement(values.weights, values.packing)
    for name, value in agreed.items():
        print(f"{name:<38}{value:10.4f}", flush=True)
    print(json.dumps({"gpu": gpu, **vars(values), "us": figures_us, "agreement": agreed}))
    return 0


if __name__ == "__main__":
    sys.exit(command.carry_out(main))
