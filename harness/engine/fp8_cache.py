"""Keys and values into an fp8 KV cache, for FlashInfer's attention.

vLLM's own kernel takes eight times as long as memory would (docs/performance.md). It is called in
one place, FlashInferImpl.do_kv_cache_update; vLLM 0.26 has none for a kernel from outside.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from harness.engine.fp8_rows import FP8, in_fp8


@triton.jit
def _into_cache(
    keys, values, slots, cache, k_scale, v_scale, key_stride, value_stride, block_stride,
    token_stride, head_stride, HEADS: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    slot = tl.load(slots + token)
    if slot >= 0:  # below: a row that pads the step
        head = tl.arange(0, HEADS)[:, None]
        column = tl.arange(0, DIM)[None, :]
        key = tl.load(keys + token * key_stride + head * DIM + column).to(tl.float32)
        value = tl.load(values + token * value_stride + head * DIM + column).to(tl.float32)
        at = cache + (slot // BLOCK) * block_stride + (slot % BLOCK) * token_stride
        at += head * head_stride + column
        tl.store(at, in_fp8(key / tl.load(k_scale)))
        tl.store(at + DIM, in_fp8(value / tl.load(v_scale)))


def into_cache(
    keys: torch.Tensor, values: torch.Tensor, slots: torch.Tensor, cache: torch.Tensor, layer: Any
) -> None:
    """Writes (tokens, heads, n) keys and values into an fp8 cache.

    `cache` is (blocks, heads, tokens, 2n), keys before values; `layer` holds vLLM's scales.
    """
    _, heads, dim = keys.shape
    assert keys.stride()[1:] == values.stride()[1:] == (dim, 1)  # a token's heads lie in one row
    pages = cache.view(FP8)
    block_stride, head_stride, token_stride, _ = pages.stride()
    _into_cache[(slots.shape[0],)](
        keys, values, slots, pages, layer._k_scale, layer._v_scale, keys.stride(0),
        values.stride(0), block_stride, token_stride, head_stride, heads, dim, cache.shape[2],
        num_warps=2,
    )  # fmt: skip


def write_it_here() -> None:
    """Has vLLM's FlashInfer backend write its fp8 caches by this kernel."""
    from vllm.v1.attention.backends.flashinfer import FlashInferImpl

    vllms = FlashInferImpl.do_kv_cache_update

    def do_kv_cache_update(
        self: Any,
        layer: torch.nn.Module,
        key: torch.Tensor,
        value: torch.Tensor,
        kv_cache: torch.Tensor,
        slot_mapping: torch.Tensor,
    ) -> None:
        in_fp8_here = self.kv_cache_dtype in ("fp8", "fp8_e4m3")
        if in_fp8_here and self.kv_sharing_target_layer_name is None:
            into_cache(key, value, slot_mapping, kv_cache, layer)
        else:
            vllms(self, layer, key, value, kv_cache, slot_mapping)

    FlashInferImpl.do_kv_cache_update = do_kv_cache_update
