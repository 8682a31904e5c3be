"""What one layer's attention takes on this GPU, in microseconds.

  python benchmarks/attention.py                       (one Hopper GPU; no model)
  python benchmarks/attention.py --precision bf16 --answers 400 --prompts 4

A step of vLLM holds answers in progress, a token each, and some prompts. FlashAttention 3 takes
them in one call; FlashInfer takes the answers by XQA and the prompts by kernels of their own, which
it compiles first (minutes) where tools/compile_attention.py has not. Shape of Llama-3.1-8B, random
numbers, pages in random order. Medians of single calls, between CUDA events. Prints a line for
each, and JSON last.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import command
from harness import flags
from harness.engine import attention
from tools import compile_attention

HEADS, GROUPS, HEAD_DIM = 32, 8, attention.HEAD_DIM
ANSWER_TOKENS = 930  # of a sequence in the middle of its answer: 870 of prompt and half of 128
PROMPT_TOKENS = 870
WORKSPACE_BYTES = 394 << 20  # as vLLM gives FlashInfer
REPEATS = 7


@dataclass(frozen=True)
class Cache:
    """A paged KV cache that holds some sequences."""

    pages: Any  # [pages, 2, ...]: keys and values, in the layout asked for
    table: Any  # [sequences, most pages of one], int32
    lengths: Sequence[int]
    order: Any  # the pages of all sequences, one after the other
    counts: Sequence[int]  # pages of each sequence


def make_cache(lengths: Sequence[int], layout: str, dtype: Any) -> Cache:
    """Random keys and values, their pages in random order."""
    import torch

    size = attention.BLOCK_SIZE
    counts = [-(-length // size) for length in lengths]
    inner = (size, GROUPS) if layout == "NHD" else (GROUPS, size)
    pages = torch.empty((sum(counts), 2, *inner, HEAD_DIM), device="cuda", dtype=torch.bfloat16)
    order = torch.randperm(sum(counts), device="cuda", dtype=torch.int32)
    table = torch.zeros(len(lengths), max(counts), device="cuda", dtype=torch.int32)
    start = 0
    for row, count in enumerate(counts):
        table[row, :count] = order[start : start + count]
        start += count
    return Cache(pages.normal_().to(dtype), table, lengths, order, counts)


def time_us(call: Callable[[], Any]) -> float:
    """The median of single calls, after two that do not count."""
    import torch

    events = []
    for _ in range(2 + REPEATS):
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        call()
        end.record()
        events.append((begin, end))
    torch.cuda.synchronize()
    return 1000 * median(float(begin.elapsed_time(end)) for begin, end in events[2:])


def flash_attention(answers: Sequence[int], prompts: Sequence[int], dtype: Any) -> float:
    """One call for all, as vLLM makes it."""
    import torch
    from vllm.vllm_flash_attn.flash_attn_interface import (
        flash_attn_varlen_func,
        get_scheduler_metadata,
    )

    cache = make_cache([*answers, *prompts], "NHD", dtype)
    keys, values = cache.pages.unbind(1)
    asked = [1] * len(answers) + list(prompts)
    query = torch.randn(sum(asked), HEADS, HEAD_DIM, device="cuda").to(torch.bfloat16).to(dtype)
    out = torch.empty(query.shape, device="cuda", dtype=torch.bfloat16)
    starts = torch.tensor([0, *asked], device="cuda").cumsum(0, dtype=torch.int32)
    used = torch.tensor(cache.lengths, device="cuda", dtype=torch.int32)
    scale = torch.ones(len(asked), GROUPS, device="cuda")
    scales = {}
    if dtype == torch.float8_e4m3fn:
        scales = {"q_descale": scale, "k_descale": scale, "v_descale": scale}
    longest = max(cache.lengths)
    plan = get_scheduler_metadata(
        len(asked), max(asked), longest, HEADS, GROUPS, HEAD_DIM, used, qkv_dtype=dtype,
        cu_seqlens_q=starts, page_size=attention.BLOCK_SIZE, causal=True, num_splits=0,
    )  # fmt: skip
    return time_us(
        lambda: flash_attn_varlen_func(
            query, keys, values, max(asked), starts, longest, seqused_k=used, causal=True,
            block_table=cache.table, out=out, scheduler_metadata=plan, num_splits=0, fa_version=3,
            **scales,
        )
    )  # fmt: skip


def xqa(answers: Sequence[int], dtype: Any, layout: str) -> float:
    """The answers of a step."""
    import torch
    from flashinfer.decode import trtllm_batch_decode_with_kv_cache

    cache = make_cache(answers, layout, dtype)
    query = torch.randn(len(answers), HEADS, HEAD_DIM, device="cuda").to(torch.bfloat16)
    out = torch.empty_like(query)
    used = torch.tensor(cache.lengths, device="cuda", dtype=torch.int32)
    workspace = torch.zeros(WORKSPACE_BYTES, dtype=torch.uint8, device="cuda")
    return time_us(
        lambda: trtllm_batch_decode_with_kv_cache(
            query=query, kv_cache=cache.pages.unbind(1), workspace_buffer=workspace,
            block_tables=cache.table, seq_lens=used, max_seq_len=max(cache.lengths),
            bmm1_scale=HEAD_DIM**-0.5, bmm2_scale=1.0, window_left=-1, out=out, kv_layout=layout,
            backend="xqa", q_len_per_req=1,
        )
    )  # fmt: skip


def flashinfer_prompts(prompts: Sequence[int], dtype: Any, layout: str) -> float:
    """The prompts of a step."""
    import flashinfer
    import torch

    cache = make_cache(prompts, layout, dtype)
    workspace = torch.zeros(WORKSPACE_BYTES, dtype=torch.uint8, device="cuda")
    wrapper = flashinfer.BatchPrefillWithPagedKVCacheWrapper(workspace, layout, backend="auto")
    query = torch.randn(sum(prompts), HEADS, HEAD_DIM, device="cuda").to(torch.bfloat16).to(dtype)
    out = torch.empty(query.shape, device="cuda", dtype=torch.bfloat16)
    size = attention.BLOCK_SIZE
    starts, page_starts = (
        torch.tensor([0, *counts]).cumsum(0, dtype=torch.int32)
        for counts in (prompts, cache.counts)
    )
    last_pages = torch.tensor([(length - 1) % size + 1 for length in prompts], dtype=torch.int32)
    wrapper.plan(
        starts, page_starts, cache.order, last_pages, HEADS, GROUPS, HEAD_DIM, size, causal=True,
        sm_scale=HEAD_DIM**-0.5, window_left=-1, q_data_type=dtype, kv_data_type=dtype,
        o_data_type=torch.bfloat16,
    )  # fmt: skip
    return time_us(lambda: wrapper.run(query, cache.pages, out=out))


def measure(answer_count: int, prompt_count: int, precision: str) -> dict[str, float]:
    """Every figure under its name, in microseconds."""
    import torch

    dtype = torch.float8_e4m3fn if precision == "fp8" else torch.bfloat16
    # Answers are anywhere between their first token and their last.
    answers = [ANSWER_TOKENS + (37 * number) % 128 - 64 for number in range(answer_count)]
    prompts = [PROMPT_TOKENS] * prompt_count
    calls: dict[str, Callable[[], float]] = {
        "FlashAttention 3, all": partial(flash_attention, answers, prompts, dtype),
        "FlashAttention 3, answers": partial(flash_attention, answers, [], dtype),
        "FlashAttention 3, prompts": partial(flash_attention, [], prompts, dtype),
        "XQA, answers, NHD": partial(xqa, answers, dtype, "NHD"),
        "XQA, answers, HND": partial(xqa, answers, dtype, "HND"),
        "FlashInfer, prompts, HND": partial(flashinfer_prompts, prompts, dtype, "HND"),
    }
    return {label: _said(label, call()) for label, call in calls.items()}


def _said(label: str, us: float) -> float:
    print(f"{label:<28}{us:10,.0f} us", flush=True)
    return us


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line for each figure and JSON last."""
    parser = flags.Parser(__doc__ or "")
    parser.add_argument("--answers", type=command.count, default=1000, help="sequences in progress")
    parser.add_argument("--prompts", type=command.count, default=8, help="prompts in the same step")
    parser.add_argument(
        "--precision", choices=("fp8", "bf16"), default="fp8", help="of the KV cache"
    )
    values = parser.parse_args(arguments)

    gpu = command.hopper_gpu()
    # For kernels that tools/compile_attention.py has not made; those that it has need no compiler.
    with contextlib.suppress(compile_attention.CompileError):
        os.environ["CUDA_HOME"] = str(compile_attention.cuda_home())
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    print(f"{gpu}: {values.answers} answers of {ANSWER_TOKENS} tokens, {values.prompts} prompts")
    figures_us = measure(values.answers, values.prompts, values.precision)
    print(json.dumps({"gpu": gpu, **vars(values), "us": figures_us}))
    return 0


if __name__ == "__main__":
    sys.exit(command.carry_out(main))
