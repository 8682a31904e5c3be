"""What the fp8 matrix products of one layer take by CUTLASS and by cuBLASLt, and its activation.

  python benchmarks/fp8.py                       (one Hopper GPU; no model)
  python benchmarks/fp8.py --tokens 1 1408 5120

The four matrices of a layer of Llama-3.1-8B, random numbers, a scale for each token and each
output, one after the other and each alone, and how far a product is from an exact one; the
activation that leaves fp8 for the last of them, as vLLM compiles it and as
harness/engine/cublas_fp8.py has it. Each is repeated for --seconds, since a GPU at its power limit
multiplies more slowly than in a single call. Prints a line for each, and JSON last.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import command
from harness import flags

# Outputs and inputs.
MATRICES = {
    "query, key, value": (6144, 4096),
    "attention's output": (4096, 4096),
    "gate and up": (28672, 4096),
    "down": (4096, 14336),
}
LARGEST = 448.0  # of e4m3
WARM_UP = 3
CHECKED_TOKENS = 64


@dataclass(frozen=True)
class Operands:
    """What one product takes, on the GPU."""

    rows: Any  # (tokens, inputs), fp8
    of_rows: Any  # (tokens, 1) scales
    weight: Any  # (inputs, outputs), fp8, column after column
    of_weight: Any  # (outputs, 1) scales

    def exactly(self, tokens: int) -> Any:
        """The first `tokens` rows of the product, in float32."""
        rows = self.rows[:tokens].float() * self.of_rows[:tokens]
        return rows @ (self.weight.float() * self.of_weight.view(1, -1))


def quantised(values: Any) -> tuple[Any, Any]:
    """(rows, columns) bfloat16 as fp8 and (rows, 1) scales."""
    import torch

    scales = values.float().abs().amax(1, keepdim=True) / LARGEST
    return (values.float() / scales).to(torch.float8_e4m3fn), scales


def time_us(call: Callable[[], Any], seconds: float) -> float:
    """The mean of calls one after another for about `seconds`."""
    import torch

    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    repeats = WARM_UP
    for _ in range(2):  # the first round tells how many calls fill the time
        begin.record()
        for _ in range(repeats):
            call()
        end.record()
        torch.cuda.synchronize()
        mean_ms = float(begin.elapsed_time(end)) / repeats
        last, repeats = repeats, max(WARM_UP, int(1000 * seconds / mean_ms))
    return 1000 * float(begin.elapsed_time(end)) / last


def operands(tokens: int, outputs: int, inputs: int) -> Operands:
    """Random ones."""
    import torch

    values = (
        torch.randn(count, inputs, device="cuda", dtype=torch.bfloat16)
        for count in (tokens, outputs)
    )
    (rows, of_rows), (weight, of_weight) = map(quantised, values)
    return Operands(rows, of_rows, weight.t(), of_weight)


def cutlass(given: Operands) -> Any:
    """(tokens, outputs) bfloat16, as vLLM multiplies."""
    import torch
    from vllm import _custom_ops as ops

    return ops.cutlass_scaled_mm(
        given.rows, given.weight, given.of_rows, given.of_weight, torch.bfloat16
    )


def cublas(given: Operands) -> Any:
    """(tokens, outputs) bfloat16, as harness/engine/cublas_fp8.py multiplies."""
    import torch

    return torch._scaled_mm(
        given.rows, given.weight, scale_a=given.of_rows, scale_b=given.of_weight.view(1, -1),
        out_dtype=torch.bfloat16, use_fast_accum=True,
    )  # fmt: skip


def vllms_activation() -> Callable[[Any], tuple[Any, Any]]:
    """(tokens, 2n) bfloat16 to (tokens, n) fp8 and (tokens, 1) scales, as vLLM has it compiled."""
    from vllm.config import VllmConfig, set_current_vllm_config
    from vllm.model_executor.layers.activation import SiluAndMul
    from vllm.model_executor.layers.quantization.input_quant_fp8 import QuantFP8
    from vllm.model_executor.layers.quantization.utils.quant_utils import GroupShape

    with set_current_vllm_config(VllmConfig()):
        quantise = QuantFP8(static=False, group_shape=GroupShape.PER_TOKEN)

    def activation(gate_and_up: Any) -> tuple[Any, Any]:
        rows, scales = quantise.forward_native(SiluAndMul.forward_native(gate_and_up))
        return rows, scales

    return activation


def measure(tokens: int, seconds: float) -> dict[str, float]:
    """Every figure under its name: microseconds, or a share of the norm."""
    import torch

    from harness.engine.cublas_fp8 import silu_mul

    layer = {name: operands(tokens, *shape) for name, shape in MATRICES.items()}
    exact = layer["down"].exactly(CHECKED_TOKENS)
    figures = {}
    for name, product in (("CUTLASS", cutlass), ("cuBLASLt", cublas)):
        figures[f"layer, {name}, us"] = time_us(partial(_multiply_all, product, layer), seconds)
        for matrix, given in layer.items():
            figures[f"{matrix}, {name}, us"] = time_us(partial(product, given), seconds)
        got = product(layer["down"])[:CHECKED_TOKENS].float()
        figures[f"down, {name}, off by"] = float((got - exact).norm() / exact.norm())
    gate_and_up = torch.randn(tokens, 2 * MATRICES["down"][1], device="cuda", dtype=torch.bfloat16)
    compiled = torch.compile(vllms_activation(), fullgraph=True, dynamic=True)
    for name, activation in (("compiled", compiled), ("silu_mul", silu_mul)):
        figures[f"activation, {name}, us"] = time_us(partial(activation, gate_and_up), seconds)
    (rows, scales), (other, of_other) = compiled(gate_and_up), silu_mul(gate_and_up)
    wanted = rows.float() * scales
    off = (other.float() * of_other - wanted).norm() / wanted.norm()
    figures["activations differ by"] = float(off)
    for name, value in figures.items():
        print(f"{tokens:>6} tokens  {name:<34}{value:12,.4g}", flush=True)
    return figures


def _multiply_all(product: Callable[[Operands], Any], layer: Mapping[str, Operands]) -> None:
    for given in layer.values():
        product(given)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line for each figure and JSON last."""
    parser = flags.Parser(__doc__ or "")
    parser.add_argument(
        "--tokens",
        type=command.count,
        nargs="+",
        default=[1024, 1408, 5120, 8192],
        help="in a step",
    )
    parser.add_argument("--seconds", type=command.above_zero, default=0.5, help="for each figure")
    values = parser.parse_args(arguments)

    gpu = command.hopper_gpu()
    print(gpu)
    figures = {tokens: measure(tokens, values.seconds) for tokens in values.tokens}
    print(json.dumps({"gpu": gpu, "by_tokens": figures}))
    return 0


if __name__ == "__main__":
    sys.exit(command.carry_out(main))
