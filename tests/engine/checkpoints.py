"""How checkpoints of Llama-3.1-8B say that they come quantised, in their config.json."""

from __future__ import annotations

from typing import Any

from benchmarks.one_token_model import GPTQ_SCHEME, INT4_SCHEME

AWQ: dict[str, Any] = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}
GPTQ: dict[str, Any] = GPTQ_SCHEME
# As llm-compressor writes its schemes W4A16 and FP8_DYNAMIC.
INT4_TENSORS: dict[str, Any] = INT4_SCHEME
FP8_TENSORS: dict[str, Any] = {
    "quant_method": "compressed-tensors",
    "format": "float-quantized",
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {
                "num_bits": 8,
                "type": "float",
                "strategy": "channel",
                "symmetric": True,
                "dynamic": False,
            },
            "input_activations": {
                "num_bits": 8,
                "type": "float",
                "strategy": "token",
                "symmetric": True,
                "dynamic": True,
            },
            "output_activations": None,
        }
    },
    "ignore": ["lm_head"],
    "kv_cache_scheme": None,
}
