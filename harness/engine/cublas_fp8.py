"""fp8 matrix products by cuBLASLt, and layers that leave their results in fp8 for them.

vLLM's worker processes import this module by the name that harness/engine/fp8.py gives them, and in
a run nothing else does: importing it changes vLLM. It uses vLLM 0.26's places for kernels from
outside, a registered linear kernel, a layer in place of vLLM's, and the quantised activation that
one hands to the other. CUTLASS, vLLM's own choice, took 1.11 times as long for a layer's products
in steps of 5,120 tokens, and 1.33 times in steps of 1,408, and was no more exact
(docs/performance.md).
"""

import importlib.util
from typing import Any

import torch
import triton
import triton.language as tl
from vllm import _custom_ops as ops
from vllm.model_executor.kernels.linear import register_linear_kernel
from vllm.model_executor.kernels.linear.scaled_mm import (
    FP8ScaledMMLinearKernel,
    FP8ScaledMMLinearLayerConfig,
)
from vllm.model_executor.layers.activation import SiluAndMul
from vllm.model_executor.layers.fusion.quant_activation import QuantizedActivation
from vllm.model_executor.layers.layernorm import RMSNorm
from vllm.model_executor.layers.quantization.utils.quant_utils import (
    QuantKey,
    kFp8DynamicTokenSym,
    kFp8StaticChannelSym,
)
from vllm.model_executor.models import ModelRegistry
from vllm.model_executor.models.llama import LlamaDecoderLayer, LlamaForCausalLM
from vllm.platforms import PlatformEnum
from vllm.utils.torch_utils import direct_register_custom_op

from harness.engine import fp8_cache
from harness.engine.fp8 import ALIGNED_TO, ROW_KERNELS, row_kernels
from harness.engine.fp8_rows import FP8, library


class WorkerExtension:
    """What vLLM asks for, to import this module in its workers; adds nothing to them."""


class CublasFP8LinearKernel(FP8ScaledMMLinearKernel):
    """x @ w for fp8 x with a scale for each token and fp8 w with a scale for each output."""

    @classmethod
    def is_supported(cls, _compute_capability: int | None = None) -> tuple[bool, str | None]:
        """harness/engine/fp8.py has looked at the GPU already."""
        return True, None

    @classmethod
    def can_implement(cls, c: FP8ScaledMMLinearLayerConfig) -> tuple[bool, str | None]:
        """Whether the scales and the shape are those that cuBLASLt takes, and why not."""
        if c.activation_quant_key != kFp8DynamicTokenSym:
            return False, "needs a scale for each token"
        if c.weight_quant_key != kFp8StaticChannelSym:
            return False, "needs a scale for each output"
        if c.out_dtype != torch.bfloat16 or any(size % ALIGNED_TO for size in c.weight_shape):
            return False, f"needs bfloat16 results and sizes that are multiples of {ALIGNED_TO}"
        return True, None

    def input_quant_key(self) -> QuantKey:
        """The layer before may leave its result in fp8."""
        return kFp8DynamicTokenSym

    def apply_weights(
        self,
        layer: torch.nn.Module,
        x: torch.Tensor | QuantizedActivation,
        bias: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """x: (tokens, inputs), bfloat16 or fp8 with its scales. Returns (tokens, outputs)."""
        if isinstance(x, torch.Tensor) and layer.prefix.endswith("o_proj"):
            # What comes from attention cannot be fused with anything: vLLM's own kernel reads it
            # once, where a compiled one reads it twice.
            if row_kernels():
                rows, scales = torch.ops.mlperf_fp8.quantise(x)
            else:
                rows, scales = ops.scaled_fp8_quant(x, use_per_token_if_dynamic=True)
            x = QuantizedActivation(rows, scales, x.dtype, x.shape, kFp8DynamicTokenSym)
        return super().apply_weights(layer, x, bias)

    def apply_scaled_mm(
        self,
        *,
        A: torch.Tensor,
        B: torch.Tensor,
        out_dtype: torch.dtype,
        As: torch.Tensor,
        Bs: torch.Tensor,
        bias: torch.Tensor | None,
        output_shape: list[int],
    ) -> torch.Tensor:
        """A: (tokens, inputs), B: (inputs, outputs); As: (tokens, 1), Bs: (outputs, 1)."""
        product = torch._scaled_mm(
            A,
            B,
            scale_a=As,
            scale_b=Bs.view(1, -1),
            bias=bias,
            out_dtype=out_dtype,
            use_fast_accum=True,  # sums as CUTLASS does in vLLM
        )
        return product.view(*output_shape)


class SiluMulFP8(SiluAndMul):
    """silu(gate) * up, left in fp8 for the product that follows; gate and up are read once."""

    def forward(self, x: torch.Tensor) -> QuantizedActivation:
        """x: (tokens, 2n) bfloat16, gate before up. Returns (tokens, n) fp8 and its scales."""
        tokens, width = x.shape
        rows, scales = torch.ops.mlperf_fp8.silu_mul(x)
        shape = torch.Size((tokens, width // 2))
        return QuantizedActivation(rows, scales, x.dtype, shape, kFp8DynamicTokenSym)


class NormFP8(RMSNorm):
    """RMS norm, left in fp8 where the layer behind it multiplies; see Fp8DecoderLayer."""

    leaves_fp8 = False

    def forward(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> Any:
        """x, residual: (tokens, n) bfloat16. Returns the norm of the sum, and the sum."""
        if not self.leaves_fp8:
            return super().forward(x, residual)
        total = None
        if residual is None:
            rows, scales = torch.ops.mlperf_fp8.norm(x, self.weight, self.variance_epsilon)
        else:
            rows, scales, total = torch.ops.mlperf_fp8.add_norm(
                x, residual, self.weight, self.variance_epsilon
            )
        normed = QuantizedActivation(rows, scales, x.dtype, x.shape, kFp8DynamicTokenSym)
        return normed if total is None else (normed, total)


class Fp8DecoderLayer(LlamaDecoderLayer):
    """vLLM's, whose two norms are each read by one product alone."""

    def __init__(self, *given: Any, **named: Any) -> None:
        """As vLLM's."""
        super().__init__(*given, **named)
        for norm in (self.input_layernorm, self.post_attention_layernorm):
            norm.leaves_fp8 = isinstance(norm, NormFP8)


class Fp8Llama(LlamaForCausalLM):
    """vLLM's, of those layers."""

    def __init__(self, *, vllm_config: Any, prefix: str = "") -> None:
        """As vLLM makes its own."""
        # vLLM stores what it has compiled under a hash of its configuration and of its own model's
        # forward, which are the same without these layers; it would load the code of the others.
        vllm_config.additional_config = {**vllm_config.additional_config, ROW_KERNELS: "1"}
        super().__init__(vllm_config=vllm_config, prefix=prefix, layer_type=Fp8DecoderLayer)


@triton.jit
def _silu_mul_rows(x, rows, scales, WIDTH: tl.constexpr, BLOCK: tl.constexpr):
    token = tl.program_id(0).to(tl.int64)
    column = tl.arange(0, BLOCK)
    inside = column < WIDTH
    gate = tl.load(x + token * 2 * WIDTH + column, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(x + token * 2 * WIDTH + WIDTH + column, mask=inside, other=0.0).to(tl.float32)
    # Rounded to bfloat16 where vLLM's own layers store bfloat16.
    silu = (gate / (1.0 + tl.exp(-gate))).to(tl.bfloat16).to(tl.float32)
    value = (silu * up).to(tl.bfloat16).to(tl.float32)
    scale = tl.maximum(tl.max(tl.abs(value), 0) / 448.0, 1.0 / (448.0 * 512.0))
    quantised = tl.minimum(tl.maximum(value * (1.0 / scale), -448.0), 448.0)
    tl.store(rows + token * WIDTH + column, quantised.to(tl.float8e4nv), mask=inside)
    tl.store(scales + token, scale)


def silu_mul(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """silu(x[:, :n]) * x[:, n:] of (tokens, 2n) bfloat16: (tokens, n) fp8 and (tokens, 1) scales.

    A scale is max |row| / 448, the largest number of e4m3, and at least 1 / (448 * 512), as vLLM's.
    """
    rows, scales = _silu_mul_shape(x)
    width = rows.shape[1]
    block = triton.next_power_of_2(width)
    _silu_mul_rows[(len(x),)](x, rows, scales, width, block, num_warps=16)
    return rows, scales


def _silu_mul_shape(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    tokens, width = x.shape
    rows = torch.empty((tokens, width // 2), dtype=FP8, device=x.device)
    return rows, torch.empty((tokens, 1), dtype=torch.float32, device=x.device)


direct_register_custom_op(
    "silu_mul", silu_mul, fake_impl=_silu_mul_shape, target_lib=library, dispatch_key="CUDA"
)
SiluAndMul.register_oot(SiluMulFP8)
if row_kernels():
    RMSNorm.register_oot(NormFP8)
    ModelRegistry.register_model("LlamaForCausalLM", Fp8Llama)
    if importlib.util.find_spec("flashinfer") is not None:
        fp8_cache.write_it_here()
register_linear_kernel(CublasFP8LinearKernel, PlatformEnum.CUDA, "fp8")
