"""A small model of random weights with Llama-3.1-8B's layers, as checkpoints of each kind hold it.

For one_token.py, whose kernels have to agree with vLLM's on weights that come from files.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.engine.weights import BF16, FP8, INT4, INT4_GROUP

LLAMA = (
    Path(__file__).resolve().parent.parent / "harness/inputs/data/llama3_1_8b_instruct/config.json"
)
WIDTH, INNER, HEADS, HEAD_DIM = 4096, 14336, 8, 128
SMALL_LAYERS, SMALL_WORDS = 4, 8192
INT4_SCHEME: dict[str, Any] = {
    "quant_method": "compressed-tensors",
    "format": "pack-quantized",
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {
                "num_bits": 4,
                "type": "int",
                "strategy": "group",
                "group_size": INT4_GROUP,
                "symmetric": True,
            },
        }
    },
    "ignore": ["lm_head"],
}
GPTQ_SCHEME = {
    "quant_method": "gptq",
    "bits": 4,
    "group_size": INT4_GROUP,
    "sym": True,
    "desc_act": False,
}
# Ways in which a checkpoint holds weights of 4 bits, by vLLM's names.
PACKINGS = {scheme["quant_method"]: scheme for scheme in (INT4_SCHEME, GPTQ_SCHEME)}
GPTQ_ZEROS = 0x77777777  # eight times the 8 that is nought, less one, as GPTQ writes it


def random_matrix(outputs: int, inputs: int, kind: str) -> tuple[Any, Any]:
    """A matrix as a checkpoint holds it: in bf16, or numbers and their scales."""
    import torch

    w = torch.randn(outputs, inputs, device="cuda", dtype=torch.bfloat16) * inputs**-0.5
    if kind == BF16:
        return w, None
    if kind == FP8:
        scales = w.float().abs().amax(1, keepdim=True) / 448
        return (w.float() / scales).to(torch.float8_e4m3fn), scales
    groups = w.float().view(outputs, -1, INT4_GROUP)
    scales = (groups.abs().amax(2) / 7.5).bfloat16()
    numbers = (groups / scales.float()[:, :, None]).round().clamp(-8, 7).int() + 8
    places = 4 * torch.arange(8, device="cuda", dtype=torch.int32)
    words = (numbers.view(outputs, -1, 8) << places).sum(2, dtype=torch.int32)
    return words, scales


def write_model(folder: Path, kind: str, packing: str = INT4_SCHEME["quant_method"]) -> None:
    """A model of SMALL_LAYERS layers of Llama-3.1-8B's shapes; in fp8 its weights are bf16's."""
    import torch
    from safetensors.torch import save_file

    config = json.loads(LLAMA.read_text(encoding="utf-8"))
    config |= {"num_hidden_layers": SMALL_LAYERS, "vocab_size": SMALL_WORDS}
    if kind == INT4:
        config["quantization_config"] = PACKINGS[packing]
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")

    def made(outputs: int, inputs: int) -> Any:
        return random_matrix(outputs, inputs, BF16)[0].cpu()

    def layer_weights(name: str, outputs: int, inputs: int) -> dict[str, Any]:
        if kind != INT4:  # vLLM makes them fp8
            return {f"{name}.weight": made(outputs, inputs)}
        values = _packed(*random_matrix(outputs, inputs, INT4), packing)
        return {f"{name}.{key}": value for key, value in values.items()}

    ones = torch.ones(WIDTH, dtype=torch.bfloat16)
    tensors = {"model.embed_tokens.weight": made(SMALL_WORDS, WIDTH) * WIDTH**0.5}
    tensors |= {"lm_head.weight": made(SMALL_WORDS, WIDTH), "model.norm.weight": ones.clone()}
    narrow = HEADS * HEAD_DIM
    for number in range(SMALL_LAYERS):
        shapes = {
            "self_attn.q_proj": (WIDTH, WIDTH),
            "self_attn.k_proj": (narrow, WIDTH),
            "self_attn.v_proj": (narrow, WIDTH),
            "self_attn.o_proj": (WIDTH, WIDTH),
            "mlp.gate_proj": (INNER, WIDTH),
            "mlp.up_proj": (INNER, WIDTH),
            "mlp.down_proj": (WIDTH, INNER),
        }
        layer = f"model.layers.{number}."
        for name, shape in shapes.items():
            tensors |= layer_weights(f"{layer}{name}", *shape)
        for name in ("input_layernorm", "post_attention_layernorm"):
            tensors[f"{layer}{name}.weight"] = ones.clone()
    save_file(tensors, str(folder / "model.safetensors"), metadata={"format": "pt"})


def _packed(words: Any, scales: Any, packing: str) -> dict[str, Any]:
    """A matrix as a checkpoint of this packing names and lays its parts."""
    import torch

    outputs, inputs = len(words), 8 * words.shape[1]
    words, scales = words.cpu(), scales.cpu()
    if packing != GPTQ_SCHEME["quant_method"]:
        shape = torch.tensor([outputs, inputs])
        return {"weight_packed": words, "weight_scale": scales, "weight_shape": shape}
    return {
        "qweight": words.t().contiguous(),
        "scales": scales.t().contiguous(),
        "qzeros": torch.full((inputs // INT4_GROUP, outputs // 8), GPTQ_ZEROS, dtype=torch.int32),
        "g_idx": torch.arange(inputs, dtype=torch.int32) // INT4_GROUP,
    }
