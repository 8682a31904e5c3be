"""One query at a time on a Hopper GPU: whether the kernels for one token suit, and what they need.

An answer is then written in steps of one token, and such a step takes as long as reading the
weights. Compiled by Inductor, a layer is some ten kernels, and the time between them was a fifth of
all; one_token_products.py has five, which overlap. Nothing is compiled by torch.compile for them,
and the whole step is one CUDA graph, for prompts as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from harness.engine import fp8
from harness.engine.weights import BF16, FP8, INT4

_EXTENSIONS = {
    BF16: "harness.engine.one_token.WorkerExtension",
    FP8: "harness.engine.one_token_fp8.WorkerExtension",
    INT4: "harness.engine.one_token_int4.WorkerExtension",
}
# The kernels that come before one_token_int4.py's in vLLM's list and would take its place.
_OTHERS_OF_INT4 = (
    "MacheteLinearKernel",
    "MarlinLinearKernel",
    "ConchLinearKernel",
    "ExllamaLinearKernel",
    "TritonW4A16LinearKernel",
    "HummingLinearKernel",
)
# The model that the kernels were written and measured for: Llama-3.1-8B.
_SHAPE = {
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
}
_BIASES = ("attention_bias", "mlp_bias", "tie_word_embeddings")
# Engine arguments of the user under which the step would be another one.
_DECIDE = {
    "attention_backend",
    "compilation_config",
    "cudagraph_capture_sizes",
    "enforce_eager",
    "max_cudagraph_capture_size",
    "max_num_seqs",
    "optimization_level",
    "performance_mode",
}
# vLLM's names of the KV caches that the kernels read.
_CACHES = ("auto", "bfloat16", "fp8", "fp8_e4m3")
# Prompts run at one of these lengths, so a prompt is padded by 63 tokens at most.
_GRAPH_EVERY = 64


def suits(model_config: Mapping[str, Any], given: Mapping[str, Any]) -> bool:
    """Whether the kernels are made for this model (its config.json) and this step.

    `given` are the engine arguments of the user. GPU, vLLM and layers have to suit fp8.py besides,
    whose products take the prompts in fp8.
    """
    if _DECIDE & given.keys() or given.get("kv_cache_dtype", "auto") not in _CACHES:
        return False
    if any(model_config.get(name) for name in _BIASES):
        return False
    return all(model_config.get(name) == size for name, size in _SHAPE.items())


def settings(kind: str, *, from_checkpoint: bool) -> dict[str, Any]:
    """vLLM's engine arguments for these kernels and weights of this kind."""
    scheme = fp8.settings(from_checkpoint=from_checkpoint) if kind == FP8 else {}
    return {
        **scheme,
        "worker_extension_cls": _EXTENSIONS[kind],
        "compilation_config": {"mode": 0, "cudagraph_mode": "FULL"},
        # In a CUDA graph FlashAttention splits a prompt's attention for more programs than it
        # needs, and it runs prompts alone here.
        "attention_config": {"flash_attn_max_num_splits_for_cuda_graph": 1},
    }


def environment(engine_settings: Mapping[str, Any]) -> dict[str, str]:
    """vLLM's variables beside these engine arguments."""
    if engine_settings.get("worker_extension_cls") == _EXTENSIONS[INT4]:
        return fp8.without(*_OTHERS_OF_INT4)
    return {}


def is_asked_for(engine_settings: Mapping[str, Any]) -> bool:
    """Whether engine arguments ask for these kernels."""
    return engine_settings.get("worker_extension_cls") in _EXTENSIONS.values()


def multiplies_in_fp8(engine_settings: Mapping[str, Any]) -> bool:
    """Whether cuBLASLt's products come with them."""
    return engine_settings.get("worker_extension_cls") == _EXTENSIONS[FP8]


def has_short_steps(engine_settings: Mapping[str, Any]) -> bool:
    """Whether an H200 is done with a step sooner than one process that schedules and launches it.

    In two processes SingleStream's p90 was 326 ms with weights of 4 bits, in one 344; in fp8, whose
    steps are longer, two did not help. An H100 has not been tried.
    """
    return engine_settings.get("worker_extension_cls") == _EXTENSIONS[INT4]


def graph_sizes(tokens: int) -> list[int]:
    """The lengths of a step that become CUDA graphs, where no step is longer than `tokens`."""
    return [1, *range(_GRAPH_EVERY, tokens, _GRAPH_EVERY), tokens]
