"""The products of a step of one token, with what comes before and after them in a Llama layer.

Such a step reads every weight once and computes almost nothing, so it takes as long as memory
takes, and whatever comes between two reads is lost. The kernels that read the weights therefore
take the norm before them, the activation and the addition of the residual along.

Weights lie row by row, (outputs, inputs), in bfloat16, or in float8 with a scale for each output or
one for all. Results are rounded to bfloat16 where vLLM's layers store bfloat16.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

from harness.engine import one_token_launch
from harness.engine.one_token_launch import let_the_next_start, wait_for_input

_PART = 2048  # inputs of the longer rows that are read at once

# A kernel's arguments are rows of pointers, which a line for each would not make clearer.
# fmt: off


@triton.jit
def _normed(x, gamma, epsilon, column, WIDTH: tl.constexpr):
    """RMS norm of one row."""
    value = tl.load(x + column).to(tl.float32)
    weight = tl.load(gamma + column).to(tl.float32)
    scale = tl.rsqrt(tl.sum(value * value, 0) / WIDTH + epsilon)
    return ((value * scale).to(tl.bfloat16).to(tl.float32) * weight).to(tl.bfloat16).to(tl.float32)


@triton.jit
def _scales_of(row, scales, SCALES: tl.constexpr):
    """The scales of rows of weights: none, one for all, or one for each."""
    if SCALES == 0:
        return tl.full(row.shape, 1.0, tl.float32)
    elif SCALES == 1:
        return tl.load(scales + row * 0)
    else:
        return tl.load(scales + row)


@triton.jit
def _norm_product(
    x, gamma, epsilon, weights, scales, out,
    WIDTH: tl.constexpr, ROWS: tl.constexpr, SCALES: tl.constexpr, EARLY: tl.constexpr,
):
    """out = weights @ norm(x)."""
    let_the_next_start(EARLY)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    tile = tl.load(weights + row[:, None].to(tl.int64) * WIDTH + column[None, :])
    scale = _scales_of(row, scales, SCALES)
    wait_for_input(EARLY)
    value = _normed(x, gamma, epsilon, column, WIDTH)
    product = tl.sum(tile.to(tl.float32) * value[None, :], 1) * scale
    tl.store(out + row, product.to(tl.bfloat16))


@triton.jit
def _norm_gate_up(
    x, gamma, epsilon, weights, scales, out,
    WIDTH: tl.constexpr, OUTPUTS: tl.constexpr, ROWS: tl.constexpr, SCALES: tl.constexpr,
    EARLY: tl.constexpr,
):
    """out = silu(gate @ norm(x)) * (up @ norm(x)); gate's OUTPUTS rows lie before up's."""
    let_the_next_start(EARLY)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, WIDTH)
    at = row[:, None].to(tl.int64) * WIDTH + column[None, :]
    gate_tile = tl.load(weights + at)
    up_tile = tl.load(weights + OUTPUTS * WIDTH + at)
    gate_scale = _scales_of(row, scales, SCALES)
    up_scale = _scales_of(row + OUTPUTS, scales, SCALES)
    wait_for_input(EARLY)
    value = _normed(x, gamma, epsilon, column, WIDTH)
    gate = tl.sum(gate_tile.to(tl.float32) * value[None, :], 1) * gate_scale
    up = tl.sum(up_tile.to(tl.float32) * value[None, :], 1) * up_scale
    gate = gate.to(tl.bfloat16).to(tl.float32)
    up = up.to(tl.bfloat16).to(tl.float32)
    silu = (gate / (1.0 + tl.exp(-gate))).to(tl.bfloat16).to(tl.float32)
    tl.store(out + row, (silu * up).to(tl.bfloat16))


@triton.jit
def _product(
    x, residual, weights, scales, out,
    PART: tl.constexpr, PARTS: tl.constexpr, ROWS: tl.constexpr, SCALES: tl.constexpr,
    ADD: tl.constexpr, EARLY: tl.constexpr,
):
    """out = weights @ x, and with ADD + residual; rows of PARTS times PART inputs."""
    let_the_next_start(EARLY)
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, PART)
    start = weights + row[:, None].to(tl.int64) * (PARTS * PART) + column[None, :]
    tiles = ()
    for part in tl.static_range(PARTS):
        # Triton knows no splat.
        tiles = tiles + (tl.load(start + part * PART),)  # type: ignore[assignment]  # noqa: RUF005
    scale = _scales_of(row, scales, SCALES)
    wait_for_input(EARLY)
    total = tl.zeros([ROWS, PART], tl.float32)
    for part in tl.static_range(PARTS):
        value = tl.load(x + part * PART + column).to(tl.float32)
        total += tiles[part].to(tl.float32) * value[None, :]
    product = tl.sum(total, 1) * scale
    if ADD:
        product = product.to(tl.bfloat16).to(tl.float32) + tl.load(residual + row).to(tl.float32)
    tl.store(out + row, product.to(tl.bfloat16))


# fmt: on


def norm_product(
    x: torch.Tensor, norm: Any, weight: torch.Tensor, scales: torch.Tensor | None
) -> torch.Tensor:
    """weight @ norm(x) of one row x; `norm` is vLLM's RMSNorm."""
    rows = 2 if scales is None else 8
    out = x.new_empty((1, weight.shape[0]))
    arguments = (x, norm.weight, norm.variance_epsilon, weight, _given(scales, x), out)
    grid = (weight.shape[0] // rows,)
    _norm_product[grid](*arguments, WIDTH=weight.shape[1], **_options(rows, scales, warps=4))
    return out


def norm_gate_up(
    x: torch.Tensor, norm: Any, weight: torch.Tensor, scales: torch.Tensor | None
) -> torch.Tensor:
    """silu(gate) * up of weight @ norm(x), whose first half is gate."""
    rows = 4
    outputs = weight.shape[0] // 2
    out = x.new_empty((1, outputs))
    arguments = (x, norm.weight, norm.variance_epsilon, weight, _given(scales, x), out)
    options = _options(rows, scales, warps=4)
    _norm_gate_up[(outputs // rows,)](*arguments, WIDTH=weight.shape[1], OUTPUTS=outputs, **options)
    return out


def product(
    x: torch.Tensor,
    weight: torch.Tensor,
    scales: torch.Tensor | None = None,
    residual: torch.Tensor | None = None,
) -> torch.Tensor:
    """weight @ x of one row x, and + residual where there is one."""
    outputs, width = weight.shape
    # As fast as any other split that was tried (docs/performance.md): 14 to 32 KiB a program.
    part, rows, warps = (width, 4, 4) if width & (width - 1) == 0 else (_PART, 1, 8)
    out = x.new_empty((1, outputs))
    arguments = (x, _given(residual, x), weight, _given(scales, x), out)
    options = _options(rows, scales, warps=warps)
    add = residual is not None
    _product[(outputs // rows,)](*arguments, PART=part, PARTS=width // part, ADD=add, **options)
    return out


def _given(tensor: torch.Tensor | None, otherwise: torch.Tensor) -> torch.Tensor:
    """A pointer for a kernel that does not follow it where there is no tensor."""
    return otherwise if tensor is None else tensor


def _options(rows: int, scales: torch.Tensor | None, *, warps: int) -> dict[str, Any]:
    kind = 0 if scales is None else 1 if scales.numel() == 1 else 2
    return {"ROWS": rows, "SCALES": kind, **one_token_launch.options(warps=warps)}
