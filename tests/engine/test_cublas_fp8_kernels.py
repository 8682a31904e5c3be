"""What cuBLASLt's fp8 products and the activation compute, beside vLLM's own."""

from __future__ import annotations

from typing import Any

from harness.engine import fp8
from tests.engine import interpreted


def in_a_worker(program: str, row_kernels: str = "1") -> dict[str, Any]:
    """What the program prints last, with the row kernels on or off."""
    return interpreted.last_line(program, **{fp8.ROW_KERNELS: row_kernels})


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
    """Traced as vLLM traces them: norm, product, activation, product, with or without a residual.

    Nothing is quantised in between; the norm after the last layer stays bfloat16.
    """
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
            norm, last = (fp8_products.RMSNorm(64, dtype=torch.bfloat16) for _ in range(2))
            norm.leaves_fp8 = True

            def block(x, residual):
                rows, residual = norm(x, residual)
                x = down(act(up(rows)))
                return last(x, residual)[0], down(act(up(norm(x))))

            given = [torch.zeros(5, 64, dtype=torch.bfloat16) for _ in range(2)]
            graph = torch._dynamo.export(block)(*given).graph_module.code
            listed = _POSSIBLE_FP8_KERNELS[PlatformEnum.CUDA]
            print(json.dumps({
                "products": graph.count("_scaled_mm"),
                "activations": graph.count("mlperf_fp8.silu_mul"),
                "norms": graph.count("mlperf_fp8.norm") + graph.count("mlperf_fp8.add_norm"),
                "class": type(norm).__name__,
                "quantised": graph.count("float8_e4m3fn"),
                "whole_matrix": Kernel.can_implement(asked(kFp8StaticTensorSym))[0],
                "odd_shape": Kernel.can_implement(asked(kFp8StaticChannelSym, (64, 100)))[0],
                "before": [kernel.__name__ for kernel in listed[: listed.index(Kernel)]],
            }))
        """
    )

    assert (found["products"], found["activations"], found["norms"]) == (4, 2, 2)
    assert found["class"] == "NormFP8"
    assert found["quantised"] == 0
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

        def quantised(x):
            scales = x.float().abs().amax(1, keepdim=True) / 448
            return (x.float() / scales).to(torch.float8_e4m3fn), scales

        def scaled_mm(a, b, *, scale_a, scale_b, bias, out_dtype, use_fast_accum):
            assert scale_a.shape == (len(a), 1) and scale_b.shape == (1, b.shape[1])
            product = (a.float() * scale_a) @ (b.float() * scale_b)
            return (product if bias is None else product + bias).to(out_dtype)

        asked = []
        torch._scaled_mm = scaled_mm
        torch.ops.mlperf_fp8.quantise = lambda x: (asked.append(tuple(x.shape)), quantised(x))[1]
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
    assert found["asked"] == [[5, 64]]  # attention's result alone, by a kernel for it


def test_without_the_switch_norms_and_attentions_result_are_vllms() -> None:
    found = in_a_worker(
        """
        import json, torch
        from harness.engine import cublas_fp8
        from vllm.config import VllmConfig, set_current_vllm_config
        from vllm.model_executor.models import ModelRegistry

        with set_current_vllm_config(VllmConfig()):
            norm = cublas_fp8.RMSNorm(64)
        print(json.dumps({
            "norm": type(norm).__name__,
            "model": "Fp8Llama" in str(ModelRegistry.models["LlamaForCausalLM"]),
        }))
        """,
        row_kernels="0",
    )
    assert found == {"norm": "RMSNorm", "model": False}


def test_what_was_compiled_without_the_switch_is_not_loaded_with_it() -> None:
    found = in_a_worker(
        """
        import json
        from harness.engine import cublas_fp8
        from vllm.config import VllmConfig

        def make(self, *, vllm_config, prefix, layer_type):
            self.made_of = vllm_config

        cublas_fp8.LlamaForCausalLM.__init__ = make
        config = VllmConfig(additional_config={"of": "the user"})
        before = config.compute_hash()
        made_of = cublas_fp8.Fp8Llama(vllm_config=config).__dict__["made_of"]
        print(json.dumps({
            "same": made_of.compute_hash() == before,
            "of": made_of.additional_config["of"],
        }))
        """
    )

    assert found == {"same": False, "of": "the user"}


def test_norms_and_attentions_result_are_read_once_and_left_in_fp8() -> None:
    """To a step of fp8, but for what the interpreter rounds otherwise."""
    found = in_a_worker(
        """
        import json, torch
        from harness.engine import fp8_rows

        torch.manual_seed(0)
        x = torch.randn(9, 224).bfloat16() * torch.logspace(-2, 2, 9)[:, None].bfloat16()
        residual, weight = torch.randn(9, 224).bfloat16(), torch.rand(224).bfloat16() + 0.5
        x[4], residual[4] = 0, 0

        def normed(x):
            value = x * torch.rsqrt((x * x).mean(1, keepdim=True) + 1e-5)
            return value.bfloat16().float() * weight.float()

        def off(rows, scales, wanted):
            return ((rows.float() * scales - wanted).norm() / wanted.norm()).item()

        rows, scales, total = fp8_rows.add_norm(x, residual, weight, 1e-5)
        print(json.dumps({
            "result": off(*fp8_rows.quantise(x), x.float()),
            "norm": off(*fp8_rows.norm(x, weight, 1e-5), normed(x.float())),
            "add": off(rows, scales, normed(x.float() + residual.float())),
            "total": ((total.float() - (x.float() + residual.float())).abs().max()
                      / x.abs().max()).item(),
            "strided": bool((fp8_rows.quantise(torch.cat([x, x], 1)[:, :224])[0].float()
                             == fp8_rows.quantise(x)[0].float()).all()),
            "zero": rows[4].float().abs().sum().item(),
            "least": scales[4].item() * 448 * 512,
        }))
        """
    )

    assert max(found[name] for name in ("result", "norm", "add")) < 0.1, found
    assert found["total"] < 0.01
    assert found["strided"]
    assert (found["zero"], round(found["least"], 3)) == (0, 1)


def test_keys_and_values_go_where_their_slots_say() -> None:
    found = in_a_worker(
        """
        import json, torch
        from types import SimpleNamespace
        from harness.engine import fp8_cache

        torch.manual_seed(0)
        tokens, heads, dim, block = 7, 2, 64, 16
        qkv = torch.randn(tokens, 3 * heads * dim).bfloat16()
        keys = qkv[:, heads * dim : 2 * heads * dim].view(tokens, heads, dim)
        values = qkv[:, 2 * heads * dim :].view(tokens, heads, dim)
        slots = torch.tensor([3, 40, 17, -1, 63, 0, 16])
        layer = SimpleNamespace(_k_scale=torch.tensor(0.5), _v_scale=torch.tensor(2.0))
        offs = []
        for order in ("HND", "NHD"):
            cache = torch.zeros(4, heads, block, 2 * dim, dtype=torch.uint8)
            if order == "NHD":
                cache = torch.zeros(4, block, heads, 2 * dim, dtype=torch.uint8).transpose(1, 2)
            fp8_cache.into_cache(keys, values, slots, cache, layer)
            pages = cache.view(torch.float8_e4m3fn).float()
            wanted = torch.zeros_like(pages)
            for row, slot in enumerate(slots.tolist()):
                if slot >= 0:
                    where = wanted[slot // block, :, slot % block]
                    where[:, :dim], where[:, dim:] = keys[row] / 0.5, values[row] / 2
            offs.append(((pages - wanted).norm() / wanted.norm()).item())
            offs.append(pages[wanted == 0].abs().sum().item())
        print(json.dumps({"offs": offs}))
        """
    )

    assert max(found["offs"]) < 0.1, found
