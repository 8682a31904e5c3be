"""Attention of a step of one token, with rotary embedding and the KV cache, in one kernel."""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from harness.engine import one_token_launch
from harness.engine.one_token_launch import let_the_next_start, wait_for_input

HEAD_DIM = 128
HEADS_OF_A_GROUP = 4  # query heads that share a key and value head
# The tokens of a key and value head are shared by so many programs, which read so many at a time.
_SPLITS = 32
_TOKENS = 32

# A kernel's arguments are rows of pointers, which a line for each would not make clearer.
# fmt: off


@triton.jit
def _rotated(start, cos, sin, inside, HALF: tl.constexpr):
    """Both halves of the heads that `start` points at, turned by their position."""
    first = tl.load(start, mask=inside, other=0.0).to(tl.float32)
    second = tl.load(start + HALF, mask=inside, other=0.0).to(tl.float32)
    turned_first = first * cos - second * sin
    turned_second = second * cos + first * sin
    return turned_first.to(tl.bfloat16), turned_second.to(tl.bfloat16)


@triton.jit
def _in_fp8(value):
    return tl.minimum(tl.maximum(value, -448.0), 448.0).to(tl.float8e4nv)


@triton.jit
def _cached(
    cache, blocks, token, last_token, block_stride, token_stride,
    HALF: tl.constexpr, BLOCK: tl.constexpr,
):
    """A head's keys, in two halves, and values of tokens in the cache."""
    inside = token < last_token
    half = tl.arange(0, HALF)
    column = tl.arange(0, 2 * HALF)
    block = tl.load(blocks + token // BLOCK, mask=inside, other=0).to(tl.int64)
    at = cache + block * block_stride + (token % BLOCK) * token_stride
    at, inside = at[:, None], inside[:, None]
    k_first = tl.load(at + half[None, :], mask=inside, other=0.0)
    k_second = tl.load(at + HALF + half[None, :], mask=inside, other=0.0)
    v = tl.load(at + 2 * HALF + column[None, :], mask=inside, other=0.0)
    return k_first, k_second, v


@triton.jit
def _with_token(
    own_at, slot, cache_at, cos, sin, q_first, q_second, most, share, total, keys_scale,
    values_scale, softmax_scale, HEADS: tl.constexpr, DIM: tl.constexpr, FP8: tl.constexpr,
):
    """The softmax so far and the token itself, whose key and value go into the cache."""
    HALF: tl.constexpr = DIM // 2
    half = tl.arange(0, HALF)
    column = tl.arange(0, DIM)
    own_first, own_second = _rotated(own_at + half, cos, sin, half < HALF, HALF)
    own_value = tl.load(own_at + HEADS * DIM + column).to(tl.float32)
    if slot >= 0:  # below: no token, as when a CUDA graph is captured
        if FP8:
            tl.store(cache_at + half, _in_fp8(own_first.to(tl.float32) / keys_scale))
            tl.store(cache_at + HALF + half, _in_fp8(own_second.to(tl.float32) / keys_scale))
            tl.store(cache_at + DIM + column, _in_fp8(own_value / values_scale))
        else:
            tl.store(cache_at + half, own_first)
            tl.store(cache_at + HALF + half, own_second)
            tl.store(cache_at + DIM + column, own_value.to(tl.bfloat16))
    score = tl.sum(q_first.to(tl.float32) * own_first.to(tl.float32)[None, :], 1)
    score += tl.sum(q_second.to(tl.float32) * own_second.to(tl.float32)[None, :], 1)
    score *= softmax_scale
    more = tl.maximum(most, score)
    power = tl.exp(score - more)
    shrink = tl.exp(most - more)
    return (
        more,
        share * shrink + power,
        total * shrink[:, None] + power[:, None] * own_value[None, :],
    )


@triton.jit
def _attention(
    qkv, cos_sin, positions, seq_lens, slots, blocks, cache, k_scale, v_scale, partial, shares,
    counters, out, softmax_scale, block_stride, token_stride, head_stride,
    HEADS: tl.constexpr, GROUP: tl.constexpr, DIM: tl.constexpr, BLOCK: tl.constexpr,
    SPLITS: tl.constexpr, TOKENS: tl.constexpr, FP8: tl.constexpr, OPERANDS: tl.constexpr,
    EARLY: tl.constexpr,
):
    """Attention of one token, which also goes into the cache.

    A program takes one of SPLITS equal parts of the tokens before it, for one key and value head,
    the last has the token itself besides, and the one that ends last puts a head's parts together.
    """
    let_the_next_start(EARLY)
    HALF: tl.constexpr = DIM // 2
    PADDED: tl.constexpr = 16  # rows of the smallest product of tensor cores
    head, split = tl.program_id(0), tl.program_id(1)
    row, half = tl.arange(0, PADDED), tl.arange(0, HALF)
    # What the step before has written needs no waiting.
    before = tl.load(seq_lens) - 1
    position, slot = tl.load(positions), tl.load(slots)
    keys_scale, values_scale = tl.load(k_scale), tl.load(v_scale)
    cos = tl.load(cos_sin + position * DIM + half).to(tl.float32)
    sin = tl.load(cos_sin + position * DIM + HALF + half).to(tl.float32)
    part = tl.cdiv(tl.cdiv(before, SPLITS), TOKENS) * TOKENS
    first_token, last_token = split * part, tl.minimum((split + 1) * part, before)
    token = first_token + tl.arange(0, TOKENS)
    of_head = cache + head * head_stride
    k_first, k_second, v = _cached(
        of_head, blocks, token, last_token, block_stride, token_stride, HALF, BLOCK
    )
    wait_for_input(EARLY)
    in_group = row[:, None] < GROUP
    q_at = qkv + (head * GROUP + row[:, None]) * DIM + half[None, :]
    q_first, q_second = _rotated(q_at, cos[None, :], sin[None, :], in_group, HALF)
    most = tl.full([PADDED], -1.0e30, tl.float32)
    share = tl.zeros([PADDED], tl.float32)
    total = tl.zeros([PADDED, DIM], tl.float32)
    while first_token < last_token:
        most, share, total = _with_cached(
            q_first, q_second, k_first, k_second, v, token < last_token, most, share, total,
            softmax_scale * keys_scale, values_scale, OPERANDS,
        )
        first_token += TOKENS
        token = first_token + tl.arange(0, TOKENS)
        k_first, k_second, v = _cached(
            of_head, blocks, token, last_token, block_stride, token_stride, HALF, BLOCK
        )
    if split == SPLITS - 1:
        cache_at = of_head + (slot // BLOCK) * block_stride + (slot % BLOCK) * token_stride
        most, share, total = _with_token(
            qkv + (HEADS * GROUP + head) * DIM, slot, cache_at, cos, sin, q_first, q_second, most,
            share, total, keys_scale, values_scale, softmax_scale, HEADS, DIM, FP8,
        )
    _store_part(
        partial, shares, (head * SPLITS + split) * GROUP, most, share, total, GROUP, DIM, PADDED
    )
    tl.debug_barrier()  # all threads have stored before one of them counts
    if tl.atomic_add(counters + head, 1, sem="acq_rel") == SPLITS - 1:
        _put_together(partial, shares, out, head, GROUP, DIM, SPLITS)
        tl.store(counters + head, 0)


@triton.jit
def _with_cached(
    q_first, q_second, k_first, k_second, v, inside, most, share, total, keys_scale, values_scale,
    OPERANDS: tl.constexpr,
):
    """The running softmax and sum, with a block of tokens from the cache taken in."""
    score = tl.dot(q_first.to(OPERANDS), tl.trans(k_first.to(OPERANDS)))
    score += tl.dot(q_second.to(OPERANDS), tl.trans(k_second.to(OPERANDS)))
    score = tl.where(inside[None, :], score * keys_scale, -1.0e30)
    more = tl.maximum(most, tl.max(score, 1))
    power = tl.exp(score - more[:, None])
    shrink = tl.exp(most - more)
    product = tl.dot(power.to(OPERANDS), v.to(OPERANDS))
    total = total * shrink[:, None] + product * values_scale
    return more, share * shrink + tl.sum(power, 1), total


@triton.jit
def _store_part(
    partial, shares, first, most, share, total, GROUP: tl.constexpr, DIM: tl.constexpr,
    PADDED: tl.constexpr,
):
    """What a program has found, for the one that puts a head's parts together."""
    row, column = tl.arange(0, PADDED), tl.arange(0, DIM)
    at = first + row
    in_group = row < GROUP
    tl.store(partial + at[:, None] * DIM + column[None, :], total, mask=in_group[:, None])
    tl.store(shares + at * 2, most, mask=in_group)
    tl.store(shares + at * 2 + 1, share, mask=in_group)


@triton.jit
def _put_together(
    partial, shares, out, head, GROUP: tl.constexpr, DIM: tl.constexpr, SPLITS: tl.constexpr
):
    """The results of a head's programs, each weighed by its share of the softmax."""
    split = tl.arange(0, SPLITS)
    member = tl.arange(0, GROUP)
    column = tl.arange(0, DIM)
    at = (head * SPLITS + split[:, None]) * GROUP + member[None, :]
    # Past the first cache, which may hold what lay there before.
    rows = tl.load(partial + at[:, :, None] * DIM + column[None, None, :], cache_modifier=".cg")
    most = tl.load(shares + at * 2, cache_modifier=".cg")
    share = tl.load(shares + at * 2 + 1, cache_modifier=".cg")
    factor = tl.exp(most - tl.max(most, 0)[None, :])
    value = tl.sum(rows * factor[:, :, None], 0) / tl.sum(share * factor, 0)[:, None]
    out_at = (head * GROUP + member[:, None]) * DIM + column[None, :]
    tl.store(out + out_at, value.to(tl.bfloat16))


# fmt: on


class Scratch:
    """What the programs of attention hand to each other; every layer uses it in its turn."""

    def __init__(self, heads: int, device: torch.device) -> None:
        """`heads` counts key and value heads."""
        rows = heads * _SPLITS * HEADS_OF_A_GROUP
        self.partial = torch.empty((rows, HEAD_DIM), dtype=torch.float32, device=device)
        self.shares = torch.empty((rows, 2), dtype=torch.float32, device=device)
        self.counters = torch.zeros(heads, dtype=torch.int32, device=device)


def attention(
    qkv: torch.Tensor,
    rotary: torch.Tensor,
    step: Any,
    cache: torch.Tensor,
    scales: tuple[torch.Tensor, torch.Tensor],
    scratch: Scratch,
) -> torch.Tensor:
    """Attention of one token, whose query, key and value `qkv` holds.

    `step` has the tensors positions, seq_lens, slot_mapping and block_table. `cache` is (blocks,
    tokens, heads, 2 * HEAD_DIM), keys before values, and `scales` are those of keys and values.
    """
    heads = cache.shape[2]
    out = qkv.new_empty((1, heads * HEADS_OF_A_GROUP * HEAD_DIM))
    where = (step.positions, step.seq_lens, step.slot_mapping, step.block_table)
    between = (scratch.partial, scratch.shares, scratch.counters)
    _attention[(heads, _SPLITS)](
        qkv, rotary, *where, cache, *scales, *between, out, HEAD_DIM**-0.5, *cache.stride()[:3],
        HEADS=heads, GROUP=HEADS_OF_A_GROUP, DIM=HEAD_DIM, BLOCK=cache.shape[1], SPLITS=_SPLITS,
        TOKENS=_TOKENS, FP8=cache.dtype == torch.float8_e4m3fn, OPERANDS=one_token_launch.OPERANDS,
        **one_token_launch.options(warps=4),
    )  # fmt: skip
    return out
