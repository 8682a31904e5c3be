"""What cuBLASLt's fp8 products and the activation compute, beside vLLM's own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

from harness.engine import fp8

PROJECT = Path(__file__).resolve().parents[2]
H100 = "NVIDIA H100 80GB HBM3"


def in_a_worker(program: str) -> dict[str, Any]:
    """What the program prints last, run beside vLLM with Triton's interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        cwd=PROJECT,
        env=os.environ | {"TRITON_INTERPRET": "1", "VLLM_LOGGING_LEVEL": "ERROR"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def test_the_activation_computes_what_vllms_two_steps_do() -> None:
    """To a step of fp8, but for what the interpreter gets wrong: it cuts bfloat16 off instead of
    rounding it, and what rounds up to a power of two comes out as half of it.
    """
    found = in_a_worker(
        """
        import json, torch
        from harness.engine import cublas_fp8 as fp8_products
        from vllm.model_executor.layers.activation import SiluAndMul

        torch.manual_seed(0)
        x = torch.randn(9, 2 * 224, dtype=torch.bfloat16) * 3
        x[4] = 0
        rows, scales = fp8_products.silu_mul(x)
        value = SiluAndMul.forward_native(x).float()
        wanted = (value.abs().amax(1, keepdim=True) / 448).clamp(min=1 / (448 * 512))
        off = (rows.float() * scales - value).abs()
        print(json.dumps({
            "dtype": str(rows.dtype),
            "scale": ((scales - wanted).abs() / wanted).max().item(),
            "near": (off <= value.abs() / 8 + wanted / 64).float().mean().item(),
            "half": (off <= value.abs() / 1.9 + wanted / 64).all().item(),
            "zero_row": rows[4].float().abs().sum().item(),
        }))
        """
    )

    assert found["dtype"] == "torch.float8_e4m3fn"
    assert found["scale"] < 4 / 256
    assert found["near"] > 0.9
    assert found["half"]
    assert found["zero_row"] == 0


# Kernels ahead of ours in vLLM's list that take other scales, or no Hopper GPU.
OTHER_SCALES = {
    "MarlinFP8ScaledMMLinearKernel",
    "FlashInferFP8ScaledMMLinearKernel",
    "PerTensorTorchFP8ScaledMMLinearKernel",
    "B12xTensorFP8ScaledMMLinearKernel",  # not in 0.26
}


def test_the_layers_of_a_block_meet_in_fp8() -> None:
    """Traced as vLLM traces them: two products by _scaled_mm, and one activation between them."""
    found = in_a_worker(
        """
        import json, torch
        from harness.engine import cublas_fp8 as fp8_products, fp8
        from vllm.config import VllmConfig, set_current_vllm_config
        from vllm.model_executor.kernels.linear import _POSSIBLE_FP8_KERNELS
        from vllm.model_executor.kernels.linear.scaled_mm import FP8ScaledMMLinearLayerConfig
        from vllm.model_executor.layers.activation import SiluAndMul
        from vllm.model_executor.layers.quantization.utils.quant_utils import (
            kFp8DynamicTokenSym, kFp8StaticChannelSym, kFp8StaticTensorSym)
        from vllm.platforms import PlatformEnum

        def asked(weight, shape=(64, 96)):
            return FP8ScaledMMLinearLayerConfig(
                weight_quant_key=weight, activation_quant_key=kFp8DynamicTokenSym,
                weight_shape=shape, input_dtype=torch.bfloat16, out_dtype=torch.bfloat16)

        Kernel = fp8_products.CublasFP8LinearKernel
        names = ["weight", "weight_scale", "input_scale", "input_scale_ub"]

        class Layer(torch.nn.Module):
            def __init__(self, outputs, inputs, prefix):
                super().__init__()
                self.prefix = prefix
                self.weight = torch.zeros(outputs, inputs).to(torch.float8_e4m3fn).t()
                self.weight_scale = torch.ones(outputs, 1)
                self.kernel = Kernel(asked(kFp8StaticChannelSym), names)

            def forward(self, x):
                return self.kernel.apply_weights(self, x)

        with set_current_vllm_config(VllmConfig()):
            up, down = Layer(192, 64, "0.gate_up_proj"), Layer(64, 96, "0.down_proj")
            act = SiluAndMul()
            graph = torch._dynamo.export(lambda x: down(act(up(x))))(
                torch.zeros(5, 64, dtype=torch.bfloat16)).graph_module.code
            listed = _POSSIBLE_FP8_KERNELS[PlatformEnum.CUDA]
            print(json.dumps({
                "products": graph.count("_scaled_mm"),
                "activations": graph.count("mlperf_fp8.silu_mul"),
                "quantised": graph.count("float8_e4m3fn"),
                "whole_matrix": Kernel.can_implement(asked(kFp8StaticTensorSym))[0],
                "odd_shape": Kernel.can_implement(asked(kFp8StaticChannelSym, (64, 100)))[0],
                "before": [kernel.__name__ for kernel in listed[: listed.index(Kernel)]],
            }))
        """
    )

    assert (found["products"], found["activations"], found["quantised"]) == (2, 1, 1)
    assert not found["whole_matrix"]
    assert not found["odd_shape"]
    # The list of vLLM 0.32, which has all of 0.26's.
    off = set(fp8.environment()["VLLM_DISABLED_KERNELS"].split(","))
    assert off <= set(found["before"])
    assert set(found["before"]) - off <= OTHER_SCALES


def test_a_product_is_that_of_what_was_quantised() -> None:
    """With PyTorch's product, which has no scale for each row on a CPU, written out."""
    found = in_a_worker(
        """
        import json, torch
        from harness.engine import cublas_fp8 as fp8_products
        from vllm.config import VllmConfig, set_current_vllm_config
        from vllm.model_executor.kernels.linear.scaled_mm import FP8ScaledMMLinearLayerConfig
        from vllm.model_executor.layers.quantization.utils.quant_utils import (
            kFp8DynamicTokenSym, kFp8StaticChannelSym)

        def quantised(x, use_per_token_if_dynamic=True):
            scales = x.float().abs().amax(1, keepdim=True) / 448
            return (x.float() / scales).to(torch.float8_e4m3fn), scales

        def scaled_mm(a, b, *, scale_a, scale_b, bias, out_dtype, use_fast_accum):
            assert scale_a.shape == (len(a), 1) and scale_b.shape == (1, b.shape[1])
            product = (a.float() * scale_a) @ (b.float() * scale_b)
            return (product if bias is None else product + bias).to(out_dtype)

        asked = []
        torch._scaled_mm = scaled_mm
        fp8_products.ops.scaled_fp8_quant = lambda x, **given: (
            asked.append(tuple(x.shape)), quantised(x))[1]
        config = FP8ScaledMMLinearLayerConfig(
            weight_quant_key=kFp8StaticChannelSym, activation_quant_key=kFp8DynamicTokenSym,
            weight_shape=(96, 64), input_dtype=torch.bfloat16, out_dtype=torch.bfloat16)
        torch.manual_seed(0)
        weight = torch.randn(96, 64) * torch.logspace(-3, 3, 96)[:, None]
        x = (torch.randn(5, 64) * torch.logspace(-3, 3, 5)[:, None]).to(torch.bfloat16)
        layer = torch.nn.Module()
        layer.weight, layer.weight_scale = quantised(weight)
        layer.weight = layer.weight.t()
        layer.input_scale = layer.input_scale_ub = None
        off = {}
        with set_current_vllm_config(VllmConfig()):
            kernel = fp8_products.CublasFP8LinearKernel(
                config, ["weight", "weight_scale", "input_scale", "input_scale_ub"])
            for layer.prefix in ("0.self_attn.qkv_proj", "0.self_attn.o_proj"):
                got, wanted = kernel.apply_weights(layer, x).float(), x.float() @ weight.t()
                most = x.float().abs() @ weight.abs().t()
                off[layer.prefix[-6:]] = ((got - wanted).abs() / most).max().item()
        print(json.dumps({"off": off, "asked": asked}))
        """
    )

    assert all(share < 0.05 for share in found["off"].values()), found
    assert found["asked"] == [[5, 64]]  # attention's result alone, by vLLM's kernel
