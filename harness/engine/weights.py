"""What kind of weights an engine multiplies by, as far as there are kernels made for it.

A checkpoint that comes quantised has its own scheme. Two of them are those that the kernels here
are made for: fp8 with a scale for each output, whose inputs are quantised token by token, and whole
numbers of 4 bits with a scale for each 128 inputs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.config import RunConfig
from harness.inputs.model_source import ModelSource

BF16 = "bf16"
FP8 = "fp8"
INT4 = "int4"
INT4_GROUP = 128  # inputs that share a scale
_AS_PUBLISHED = (BF16, FP8)  # the precisions whose weights may be made from those as published
_FP8_CACHES = ("fp8", "fp8_e4m3")  # vLLM's names of one number format
# As compressed-tensors writes them (its QuantizationArgs); other fields are not looked at.
_FP8_WEIGHTS = {"num_bits": 8, "type": "float", "strategy": "channel", "symmetric": True}
_FP8_INPUTS = {"num_bits": 8, "type": "float", "strategy": "token", "dynamic": True}
_INT4_WEIGHTS = {
    "num_bits": 4,
    "type": "int",
    "strategy": "group",
    "group_size": INT4_GROUP,
    "symmetric": True,
}
# By these, GPTQ's tools name layers that are quantised otherwise.
_GPTQ_EXCEPTIONS = ("dynamic", "lm_head", "modules_in_block_to_quantize")
# Inputs quantised in another order, "group" or "dynamic", would also lie in another one.
_IN_ORDER = (None, False, "weight", "static")


def kind(config: RunConfig, model: ModelSource) -> str | None:
    """BF16, FP8 or INT4; None: another one."""
    if model.quantization is None:
        return config.precision if config.precision in _AS_PUBLISHED else None
    if config.precision != BF16:  # the arithmetic between the products
        return None
    scheme = model.quantization.config
    if model.quantization.method == "compressed-tensors":
        return _of_compressed_tensors(scheme)
    if model.quantization.method == "gptq":
        return _of_gptq(scheme)
    return None


def cache_in_fp8(config: RunConfig, model: ModelSource) -> bool:
    """Whether the KV cache is in fp8: by the precision, an engine argument, or the checkpoint."""
    by_precision = FP8 if config.precision == FP8 else "auto"
    asked = config.engine_args.get("kv_cache_dtype", by_precision)
    if asked != "auto":
        return asked in _FP8_CACHES
    return model.quantization is not None and model.quantization.kv_cache == FP8


def _of_compressed_tensors(scheme: Mapping[str, Any]) -> str | None:
    groups = list((scheme.get("config_groups") or {}).values())
    if len(groups) != 1 or list(scheme.get("ignore") or ()) != ["lm_head"]:
        return None
    # What a checkpoint rotates while it runs, and scales of the KV cache for each head.
    of_cache = (scheme.get("kv_cache_scheme") or {}).get("strategy")
    if scheme.get("transform_config") or of_cache not in (None, "tensor"):
        return None
    weights, inputs = (groups[0].get(name) or {} for name in ("weights", "input_activations"))
    if groups[0].get("targets") != ["Linear"]:
        return None
    layout = groups[0].get("format") or scheme.get("format")
    if layout == "float-quantized" and _is(weights, _FP8_WEIGHTS) and _is(inputs, _FP8_INPUTS):
        return FP8
    in_order = weights.get("actorder") in _IN_ORDER
    if layout == "pack-quantized" and _is(weights, _INT4_WEIGHTS) and not inputs and in_order:
        return INT4
    return None


def _of_gptq(scheme: Mapping[str, Any]) -> str | None:
    whole = _is(scheme, {"bits": 4, "group_size": INT4_GROUP, "sym": True, "desc_act": False})
    some_differ = any(scheme.get(name) for name in _GPTQ_EXCEPTIONS)
    return INT4 if whole and not some_differ else None


def _is(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    return all(found.get(name) == value for name, value in wanted.items())
