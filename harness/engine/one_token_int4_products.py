"""The products of one_token_products.py with weights of 4 bits, which a checkpoint brings along.

Of an output, 128 neighbouring inputs, a group, share a scale. They lie in 16 words of 32 bits: word
j holds the inputs j, 16 + j, ... 112 + j of its group, the first in its lowest bits, as `packed`
lays them. So neighbouring threads read neighbouring weights, and neighbouring inputs beside them. A
number n of 0 to 15 stands for n - 8.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from harness.engine import one_token_launch
from harness.engine.one_token_launch import let_the_next_start, wait_for_input
from harness.engine.weights import INT4_GROUP

_GROUP = tl.constexpr(INT4_GROUP)
_PLANES = tl.constexpr(8)  # numbers of a word
_FOUR_BITS = tl.constexpr(15)
_TWO = tl.constexpr(2.0)
_WORDS = tl.constexpr(INT4_GROUP // _PLANES.value)  # of a group
_OFFSET = tl.constexpr(8.0)  # what a number of 0 stands below zero
# Four bits cut out of a word are a float32 as they are, so small that it has no exponent of its
# own: so many times 2**-149. Inputs are made large for it, and the sum small again; a conversion
# would take as long as all the rest. Bits above the 20th would be an exponent and are moved down.
_LARGE_BITS = tl.constexpr(100)
_SMALL_AGAIN = tl.constexpr(2.0**49)
_IN_REACH = tl.constexpr(5)
_MOVED_BITS = tl.constexpr(12)
_PART_GROUPS = 32  # that are read at once
# Rows that a program reads at once, the fastest of those tried on an H200; of gate and up so many
# times, as its inputs are then made ready once.
_NORM_PRODUCT_ROWS, _GATE_UP_ROWS, _PRODUCT_ROWS = 16, 4, 4
_GATE_UP_STEPS = 7

# A kernel's arguments are rows of pointers, which a line for each would not make clearer.
# fmt: off


@triton.constexpr_function
def _place(plane):
    """The bit at which the numbers of a plane are cut out."""
    return 4 * plane if plane < _IN_REACH else 4 * plane - _MOVED_BITS


@triton.jit
def _numbers(words, PLANE: tl.constexpr):
    """The numbers of a plane as tiny float32."""
    if PLANE >= _IN_REACH:
        words = words >> _MOVED_BITS
    return (words & (_FOUR_BITS << _place(PLANE))).to(tl.float32, bitcast=True)


@triton.jit
def _inputs(x, word, PLANE: tl.constexpr, WORDS: tl.constexpr):
    """The inputs that belong to a plane of words."""
    at = word // _WORDS * _GROUP + PLANE * _WORDS + word % _WORDS
    return tl.load(x + at, mask=word < WORDS, other=0.0).to(tl.float32)


@triton.jit
def _large(value, PLANE: tl.constexpr):
    """Inputs of a plane, as much larger as its numbers are smaller."""
    return value * (_TWO ** (_LARGE_BITS - _place(PLANE)))


@triton.jit
def _words_of(weights, row, word, END: tl.constexpr, WORDS: tl.constexpr):
    """Some of the words of some rows before END: (rows, words)."""
    at = row[:, None].to(tl.int64) * WORDS + word[None, :]
    inside = (row < END)[:, None] & (word < WORDS)[None, :]
    return tl.load(weights + at, mask=inside, other=0)


@triton.jit
def _scales_of(scales, row, group, END: tl.constexpr, GROUPS: tl.constexpr):
    """The scales of some groups of some rows before END: (rows, groups)."""
    at = row[:, None] * GROUPS + group[None, :]
    inside = (row < END)[:, None] & (group < GROUPS)[None, :]
    return tl.load(scales + at, mask=inside, other=0.0)


@triton.jit
def _scaled(products, scale, ROWS: tl.constexpr, GROUPS: tl.constexpr):
    """(rows, words) by the scales of their groups."""
    by_group = tl.reshape(products, [ROWS, GROUPS, _WORDS])
    return tl.reshape(by_group * scale.to(tl.float32)[:, :, None], [ROWS, GROUPS * _WORDS])


@triton.jit
def _summed(products):
    """The sum of each row."""
    return tl.sum(products, 1) * _SMALL_AGAIN


@triton.jit
def _below(inputs):
    """What the offset of the numbers takes off for these inputs, as large as the products are."""
    return inputs * (_OFFSET / _SMALL_AGAIN)


@triton.jit
def _norm_scale(x, epsilon, WIDTH: tl.constexpr):
    value = tl.load(x + tl.arange(0, WIDTH)).to(tl.float32)
    return tl.rsqrt(tl.sum(value * value, 0) / WIDTH + epsilon)


@triton.jit
def _normed(x, gamma, scale, word, PLANE: tl.constexpr, WORDS: tl.constexpr):
    """The inputs of a plane after RMS norm."""
    value = (_inputs(x, word, PLANE, WORDS) * scale).to(tl.bfloat16).to(tl.float32)
    return (value * _inputs(gamma, word, PLANE, WORDS)).to(tl.bfloat16).to(tl.float32)


@triton.jit
def _all_normed(x, gamma, epsilon, word, GROUPS: tl.constexpr):
    """The inputs of each plane after RMS norm, made large, and what the offset takes off."""
    norm_scale = _norm_scale(x, epsilon, GROUPS * _GROUP)
    first = _normed(x, gamma, norm_scale, word, 0, GROUPS * _WORDS)
    inputs = (_large(first, 0),)
    total = first
    for plane in tl.static_range(1, _PLANES):
        value = _normed(x, gamma, norm_scale, word, plane, GROUPS * _WORDS)
        # Triton knows no splat.
        inputs = inputs + (_large(value, plane),)  # type: ignore[assignment]  # noqa: RUF005
        total += value
    return inputs, _below(total)


@triton.jit
def _products(words, inputs):
    """Words by the inputs of each plane, made large."""
    total = _numbers(words, 0) * inputs[0][None, :]
    for plane in tl.static_range(1, _PLANES):
        total += _numbers(words, plane) * inputs[plane][None, :]
    return total


@triton.jit
def _norm_product(
    x, gamma, epsilon, weights, scales, out,
    GROUPS: tl.constexpr, OUTPUTS: tl.constexpr, ROWS: tl.constexpr, EARLY: tl.constexpr,
):
    """out = weights @ norm(x)."""
    let_the_next_start(EARLY)
    WORDS: tl.constexpr = GROUPS * _WORDS
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    word = tl.arange(0, WORDS)
    words = _words_of(weights, row, word, OUTPUTS, WORDS)
    scale = _scales_of(scales, row, tl.arange(0, GROUPS), OUTPUTS, GROUPS)
    wait_for_input(EARLY)
    inputs, below = _all_normed(x, gamma, epsilon, word, GROUPS)
    products = _products(words, inputs) - below[None, :]
    product = _summed(_scaled(products, scale, ROWS, GROUPS))
    tl.store(out + row, product.to(tl.bfloat16), mask=row < OUTPUTS)


@triton.jit
def _norm_gate_up(
    x, gamma, epsilon, weights, scales, out,
    GROUPS: tl.constexpr, OUTPUTS: tl.constexpr, ROWS: tl.constexpr, STEPS: tl.constexpr,
    EARLY: tl.constexpr,
):
    """out = silu(gate @ norm(x)) * (up @ norm(x)); gate's OUTPUTS rows lie before up's."""
    let_the_next_start(EARLY)
    WORDS: tl.constexpr = GROUPS * _WORDS
    row = tl.program_id(0) * (ROWS * STEPS) + tl.arange(0, ROWS)
    word, group = tl.arange(0, WORDS), tl.arange(0, GROUPS)
    gate_words = _words_of(weights, row, word, OUTPUTS, WORDS)
    up_words = _words_of(weights, row + OUTPUTS, word, 2 * OUTPUTS, WORDS)
    gate_scale = _scales_of(scales, row, group, OUTPUTS, GROUPS)
    up_scale = _scales_of(scales, row + OUTPUTS, group, 2 * OUTPUTS, GROUPS)
    wait_for_input(EARLY)
    inputs, below = _all_normed(x, gamma, epsilon, word, GROUPS)
    below = below[None, :]
    for _step in range(STEPS):
        next_row = row + ROWS
        next_gate_words = _words_of(weights, next_row, word, OUTPUTS, WORDS)
        next_up_words = _words_of(weights, next_row + OUTPUTS, word, 2 * OUTPUTS, WORDS)
        next_gate_scale = _scales_of(scales, next_row, group, OUTPUTS, GROUPS)
        next_up_scale = _scales_of(scales, next_row + OUTPUTS, group, 2 * OUTPUTS, GROUPS)
        gate = _products(gate_words, inputs) - below
        gate = _summed(_scaled(gate, gate_scale, ROWS, GROUPS)).to(tl.bfloat16).to(tl.float32)
        up = _products(up_words, inputs) - below
        up = _summed(_scaled(up, up_scale, ROWS, GROUPS)).to(tl.bfloat16).to(tl.float32)
        silu = (gate / (1.0 + tl.exp(-gate))).to(tl.bfloat16).to(tl.float32)
        tl.store(out + row, (silu * up).to(tl.bfloat16), mask=row < OUTPUTS)
        row, gate_words, up_words = next_row, next_gate_words, next_up_words
        gate_scale, up_scale = next_gate_scale, next_up_scale


@triton.jit
def _product(
    x, residual, weights, scales, out,
    GROUPS: tl.constexpr, OUTPUTS: tl.constexpr, PART: tl.constexpr, ROWS: tl.constexpr,
    EARLY: tl.constexpr,
):
    """out = weights @ x + residual, in parts of PART groups, the last of which may be shorter."""
    let_the_next_start(EARLY)
    PARTS: tl.constexpr = (GROUPS + PART - 1) // PART
    WORDS: tl.constexpr = GROUPS * _WORDS
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    first_words, first_groups = tl.arange(0, PART * _WORDS), tl.arange(0, PART)
    tiles = ()
    shares = ()
    for part in tl.static_range(PARTS):
        # Triton knows no splat.
        words = _words_of(weights, row, first_words + part * PART * _WORDS, OUTPUTS, WORDS)
        scale = _scales_of(scales, row, first_groups + part * PART, OUTPUTS, GROUPS)
        tiles = tiles + (words,)  # type: ignore[assignment]  # noqa: RUF005
        shares = shares + (scale,)  # type: ignore[assignment]  # noqa: RUF005
    wait_for_input(EARLY)
    total = tl.zeros([ROWS, PART * _WORDS], tl.float32)
    for part in tl.static_range(PARTS):
        in_part = tl.zeros([ROWS, PART * _WORDS], tl.float32)
        inputs = tl.zeros([PART * _WORDS], tl.float32)
        for plane in tl.static_range(_PLANES):
            value = _inputs(x, first_words + part * PART * _WORDS, plane, WORDS)
            inputs += value
            in_part += _numbers(tiles[part], plane) * _large(value, plane)[None, :]
        total += _scaled(in_part - _below(inputs)[None, :], shares[part], ROWS, PART)
    product = _summed(total).to(tl.bfloat16).to(tl.float32)
    inside = row < OUTPUTS
    value = product + tl.load(residual + row, mask=inside, other=0.0).to(tl.float32)
    tl.store(out + row, value.to(tl.bfloat16), mask=inside)


# fmt: on


def packed(words: torch.Tensor) -> torch.Tensor:
    """Words of eight neighbouring inputs, the first lowest, in the order that the kernels read.

    (outputs, inputs / 8) int32, before and after.
    """
    outputs = words.shape[0]
    places = 4 * torch.arange(_PLANES.value, dtype=torch.int32, device=words.device)
    numbers = (words.unsqueeze(-1) >> places) & _FOUR_BITS.value
    planes = numbers.view(outputs, -1, _PLANES.value, _WORDS.value)
    return (planes << places.view(-1, 1)).sum(2, dtype=torch.int32).view(outputs, -1)


def norm_product(
    x: torch.Tensor, norm: Any, weight: torch.Tensor, scales: torch.Tensor
) -> torch.Tensor:
    """weight @ norm(x) of one row x; `norm` is vLLM's RMSNorm."""
    outputs, groups = scales.shape
    rows = _NORM_PRODUCT_ROWS
    out = x.new_empty((1, outputs))
    arguments = (x, norm.weight, norm.variance_epsilon, weight, scales, out)
    grid = (triton.cdiv(outputs, rows),)
    _norm_product[grid](*arguments, GROUPS=groups, OUTPUTS=outputs, **_options(rows))
    return out


def norm_gate_up(
    x: torch.Tensor, norm: Any, weight: torch.Tensor, scales: torch.Tensor
) -> torch.Tensor:
    """silu(gate) * up of weight @ norm(x), whose first half is gate."""
    outputs, groups = scales.shape[0] // 2, scales.shape[1]
    rows, steps = _GATE_UP_ROWS, _GATE_UP_STEPS
    out = x.new_empty((1, outputs))
    arguments = (x, norm.weight, norm.variance_epsilon, weight, scales, out)
    grid = (triton.cdiv(outputs, rows * steps),)
    options = _options(rows)
    _norm_gate_up[grid](*arguments, GROUPS=groups, OUTPUTS=outputs, STEPS=steps, **options)
    return out


def product(
    x: torch.Tensor, weight: torch.Tensor, scales: torch.Tensor, residual: torch.Tensor
) -> torch.Tensor:
    """weight @ x + residual of one row x."""
    outputs, groups = scales.shape
    rows = _PRODUCT_ROWS
    out = x.new_empty((1, outputs))
    options = {"GROUPS": groups, "OUTPUTS": outputs, "PART": _PART_GROUPS, **_options(rows)}
    grid = (triton.cdiv(outputs, rows),)
    _product[grid](x, residual, weight, scales, out, **options)
    return out


def _options(rows: int) -> dict[str, Any]:
    return {"ROWS": rows, **one_token_launch.options(warps=4)}
