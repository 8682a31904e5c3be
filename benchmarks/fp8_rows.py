"""What making fp8 costs in one layer: by kernels that read each row once, by Inductor's and vLLM's.

  python benchmarks/fp8_rows.py                       (one Hopper GPU; no model)
  python benchmarks/fp8_rows.py --tokens 1408 5120

Two norms, attention's result, and keys and values into the KV cache, at the sizes of Llama-3.1-8B
and random numbers: harness/engine/fp8_rows.py and fp8_cache.py, beside what a run has with
MLPERF_FP8_ROW_KERNELS=0. The buffers are more than the caches of the GPU hold, and all calls one
CUDA graph, since launching a kernel takes longer than its work. Prints microseconds, the speed of
memory that they amount to, and how far the two results are apart; JSON last.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import command
from benchmarks.one_token import time_us
from harness import flags

WIDTH, HEADS, HEAD_DIM, BLOCK = 4096, 8, 128, 16
EPSILON = 1e-5
BUFFERS = 6  # one after the other; 42 MB each of 5,120 tokens


@dataclass(frozen=True)
class Rows:
    """What a step of one layer has in memory."""

    x: Any  # (tokens, WIDTH) bfloat16
    residual: Any
    keys: Any  # (tokens, HEADS, HEAD_DIM), rows of a larger matrix
    values: Any
    slots: Any  # (tokens,) places in the cache
    cache: Any  # (blocks, HEADS, BLOCK, 2 * HEAD_DIM), keys before values


@dataclass(frozen=True)
class Pair:
    """One piece of work by both, each a call that takes Rows."""

    name: str
    bytes_of_a_token: int  # read and written once
    other: Callable[[Rows], Any]
    ours: Callable[[Rows], Any]


def make_rows(tokens: int) -> Rows:
    """Random ones."""
    import torch

    def numbers(width: int) -> Any:
        return torch.randn(tokens, width, device="cuda", dtype=torch.bfloat16)

    narrow = HEADS * HEAD_DIM
    qkv = numbers(WIDTH + 2 * narrow)
    keys, values = (
        part.view(tokens, HEADS, HEAD_DIM)
        for part in (qkv[:, WIDTH : WIDTH + narrow], qkv[:, WIDTH + narrow :])
    )
    blocks = tokens // BLOCK + 1
    cache = torch.zeros(blocks, HEADS, BLOCK, 2 * HEAD_DIM, device="cuda", dtype=torch.uint8)
    slots = torch.randperm(blocks * BLOCK, device="cuda")[:tokens]
    return Rows(numbers(WIDTH), numbers(WIDTH), keys, values, slots, cache)


def pairs() -> list[Pair]:
    """Everything that is compared."""
    import torch
    from vllm import _custom_ops as ops
    from vllm.config import VllmConfig, set_current_vllm_config
    from vllm.model_executor.layers.quantization.input_quant_fp8 import QuantFP8
    from vllm.model_executor.layers.quantization.utils.quant_utils import GroupShape

    from harness.engine import fp8_cache, fp8_rows

    with set_current_vllm_config(VllmConfig()):
        to_fp8 = QuantFP8(static=False, group_shape=GroupShape.PER_TOKEN)

    weight = torch.randn(WIDTH, device="cuda").bfloat16()
    scale = torch.ones(1, device="cuda")
    layer = SimpleNamespace(_k_scale=scale, _v_scale=scale)

    def normed(x: Any) -> Any:
        by = torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPSILON)
        return to_fp8.forward_native((x * by).bfloat16() * weight)

    @partial(torch.compile, fullgraph=True, dynamic=True)
    def first_norm(x: Any) -> Any:
        return normed(x.float())

    @partial(torch.compile, fullgraph=True, dynamic=True)
    def norm_of_sum(x: Any, residual: Any) -> Any:
        total = x.float() + residual.float()
        return *normed(total), total.bfloat16()

    def vllms_cache(rows: Rows) -> Any:
        k_cache, v_cache = rows.cache.transpose(1, 2).split(HEAD_DIM, dim=-1)
        torch.ops._C_cache_ops.reshape_and_cache_flash(
            rows.keys, rows.values, k_cache, v_cache, rows.slots, "fp8", scale, scale
        )
        return (rows.cache.view(torch.float8_e4m3fn),)

    def our_cache(rows: Rows) -> Any:
        fp8_cache.into_cache(rows.keys, rows.values, rows.slots, rows.cache, layer)
        return (rows.cache.view(torch.float8_e4m3fn),)

    return [
        Pair(
            "norm",
            3 * WIDTH,
            lambda rows: first_norm(rows.x),
            lambda rows: fp8_rows.norm(rows.x, weight, EPSILON),
        ),
        Pair(
            "norm of a sum",
            7 * WIDTH,
            lambda rows: norm_of_sum(rows.x, rows.residual),
            lambda rows: fp8_rows.add_norm(rows.x, rows.residual, weight, EPSILON),
        ),
        Pair(
            "attention's result",
            3 * WIDTH,
            lambda rows: ops.scaled_fp8_quant(rows.x, use_per_token_if_dynamic=True),
            lambda rows: fp8_rows.quantise(rows.x),
        ),
        Pair("KV cache", 6 * HEADS * HEAD_DIM, vllms_cache, our_cache),
    ]


def apart(got: Sequence[Any], wanted: Sequence[Any]) -> list[float]:
    """How far results are from others, as shares of their norm: fp8 with its scales, then the rest.

    A pair of an fp8 matrix and its scales counts as their product.
    """

    def numbers(results: Sequence[Any]) -> list[Any]:
        if len(results) == 1:
            return [results[0].float()]
        rows, scales, *others = results
        return [rows.float() * scales.view(-1, 1), *(other.float() for other in others)]

    both = zip(numbers(got), numbers(wanted), strict=True)
    return [float((ours - other).norm() / other.norm()) for ours, other in both]


def measure(pair: Pair, tokens: int) -> dict[str, float]:
    """Every figure under its name."""
    buffers = [make_rows(tokens) for _ in range(BUFFERS)]
    # A cache is written by one and then by the other.
    wanted = [result.clone() for result in pair.other(buffers[0])]
    buffers[0].cache.zero_()
    shares = apart(pair.ours(buffers[0]), wanted)
    figures = {}
    for name, call in (("other", pair.other), ("ours", pair.ours)):
        us = time_us(partial(_all, call, buffers)) / BUFFERS
        figures[f"{name}, us"] = us
        figures[f"{name}, TB/s"] = pair.bytes_of_a_token * tokens / us / 1e6
    figures["apart"] = max(shares)
    for name, value in figures.items():
        print(f"{tokens:>6} tokens  {pair.name:<20}{name:<14}{value:12,.4g}", flush=True)
    return figures


def _all(call: Callable[[Rows], Any], buffers: Sequence[Rows]) -> None:
    for rows in buffers:
        call(rows)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line for each figure and JSON last."""
    parser = flags.Parser(__doc__ or "")
    parser.add_argument(
        "--tokens", type=command.count, nargs="+", default=[64, 1408, 5120], help="in a step"
    )
    values = parser.parse_args(arguments)
    import torch

    gpu = command.hopper_gpu()
    torch.manual_seed(0)
    print(gpu)
    made = pairs()
    figures = {
        tokens: {pair.name: measure(pair, tokens) for pair in made} for tokens in values.tokens
    }
    print(json.dumps({"gpu": gpu, "by_tokens": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(command.carry_out(main))
