"""Rows of tokens made fp8, each read once: norms and attention's result.

Triton kernels for the worker processes of vLLM (cublas_fp8.py says where they are used). Inductor
reads a row twice, once for its largest value and once to quantise, and vLLM's kernel for
attention's result stays far from the speed of memory (docs/performance.md). A scale is
max |row| / 448, the largest number of e4m3, and at least 1 / (448 * 512), as vLLM's.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from vllm.utils.torch_utils import direct_register_custom_op

FP8 = torch.float8_e4m3fn
library = torch.library.Library("mlperf_fp8", "FRAGMENT")
_LEAST_SCALE = tl.constexpr(1.0 / (448.0 * 512.0))


@triton.jit
def in_fp8(value):
    """Numbers beyond the largest of e4m3 become that."""
    return tl.minimum(tl.maximum(value, -448.0), 448.0).to(tl.float8e4nv)


@triton.jit
def _store_quantised(value, rows, scales, token, column, inside, WIDTH: tl.constexpr):
    scale = tl.maximum(tl.max(tl.abs(value), 0) / 448.0, _LEAST_SCALE)
    tl.store(rows + token * WIDTH + column, in_fp8(value * (1.0 / scale)), mask=inside)
    tl.store(scales + token, scale)


@triton.jit
def _quantise(x, rows, scales, stride, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    token = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < WIDTH
    value = tl.load(x + token * stride + column, mask=inside, other=0.0).to(tl.float32)
    _store_quantised(value, rows, scales, token, column, inside, WIDTH)


@triton.jit
def _norm(
    x, residual, weight, rows, scales, total, epsilon, WIDTH: tl.constexpr, BLOCK: tl.constexpr,
    ADD: tl.constexpr,
):  # fmt: skip
    """Rounded to bfloat16 where vLLM's own norm rounds."""
    token = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < WIDTH
    at = token * WIDTH + column
    value = tl.load(x + at, mask=inside, other=0.0).to(tl.float32)
    by = tl.load(weight + column, mask=inside, other=0.0).to(tl.float32)
    if ADD:
        value += tl.load(residual + at, mask=inside, other=0.0).to(tl.float32)
        tl.store(total + at, value.to(tl.bfloat16), mask=inside)
    value *= tl.rsqrt(tl.sum(value * value, 0) / WIDTH + epsilon)
    value = (value.to(tl.bfloat16).to(tl.float32) * by).to(tl.bfloat16).to(tl.float32)
    _store_quantised(value, rows, scales, token, column, inside, WIDTH)


def quantise(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """(tokens, n) bfloat16 as (tokens, n) fp8 and (tokens, 1) scales."""
    rows, scales = _quantised_shape(x)
    width = x.shape[1]
    block = triton.next_power_of_2(width)
    _quantise[(x.shape[0],)](x, rows, scales, x.stride(0), width, block, num_warps=8)
    return rows, scales


def norm(
    x: torch.Tensor, weight: torch.Tensor, epsilon: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """The RMS norm of (tokens, n) bfloat16 as fp8 and (tokens, 1) scales."""
    rows, scales = _quantised_shape(x)
    _launch_norm(x, x, weight, rows, scales, x, epsilon, add=False)
    return rows, scales


def add_norm(
    x: torch.Tensor, residual: torch.Tensor, weight: torch.Tensor, epsilon: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The RMS norm of x + residual as fp8 and scales, and the sum itself."""
    rows, scales = _quantised_shape(x)
    total = torch.empty_like(residual)
    _launch_norm(x, residual, weight, rows, scales, total, epsilon, add=True)
    return rows, scales, total


def _launch_norm(
    x: torch.Tensor,
    residual: torch.Tensor,
    weight: torch.Tensor,
    rows: torch.Tensor,
    scales: torch.Tensor,
    total: torch.Tensor,
    epsilon: float,
    *,
    add: bool,
) -> None:
    width = x.shape[1]
    block = triton.next_power_of_2(width)
    given = (x, residual, weight, rows, scales, total, epsilon)
    _norm[(x.shape[0],)](*given, width, block, add, num_warps=8)


def _quantised_shape(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    rows = torch.empty(x.shape, dtype=FP8, device=x.device)
    return rows, torch.empty((x.shape[0], 1), dtype=torch.float32, device=x.device)


def _norm_shape(
    x: torch.Tensor,
    weight: torch.Tensor,  # noqa: ARG001 - the operator's signature
    epsilon: float,  # noqa: ARG001
) -> tuple[torch.Tensor, torch.Tensor]:
    return _quantised_shape(x)


def _add_norm_shape(
    x: torch.Tensor,
    residual: torch.Tensor,
    weight: torch.Tensor,  # noqa: ARG001
    epsilon: float,  # noqa: ARG001
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    return (*_quantised_shape(x), torch.empty_like(residual))


for _name, _function, _shape in (
    ("quantise", quantise, _quantised_shape),
    ("norm", norm, _norm_shape),
    ("add_norm", add_norm, _add_norm_shape),
):
    direct_register_custom_op(
        _name, _function, fake_impl=_shape, target_lib=library, dispatch_key="CUDA"
    )
