"""FlashInfer's attention kernels on a Hopper GPU: whether they are there, and what they ask for.

FlashAttention 3, vLLM's own choice, handles a step that holds prompts and answers with the tiles
made for prompts, of which an answer fills a thirty-second. FlashInfer runs the two apart, and the
answers by XQA, which reads an fp8 KV cache at the speed of memory. The kernels are compiled when
the program is installed (tools/compile_attention.py), never in a run.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

GPUS = ("H100", "H200")  # and GH200; an H20, of the same generation, computes far more slowly
BACKEND = "FLASHINFER"
BLOCK_SIZE = 16  # tokens of a block of the KV cache
# The kernels that are compiled are those of one shape: Llama-3.1-8B's.
HEAD_DIM = 128
HEADS_OF_A_GROUP = 4  # query heads that share a key and value head
# What vLLM has no engine argument for. XQA comes as source, so NVIDIA's server of ready-made
# kernels, which vLLM would ask first, is not needed. vLLM's second model runner waits for the GPU
# in every step to tell FlashInfer how long the sequences are; the first one knows. With heads
# before tokens XQA reads 2.94 instead of 2.81 TB/s (one H100, 1,000 answers).
_ENVIRONMENT = {
    "VLLM_HAS_FLASHINFER_CUBIN": "1",
    "VLLM_USE_V2_MODEL_RUNNER": "0",
    "VLLM_KV_CACHE_LAYOUT": "HND",
}
# Engine arguments that ask for kernels which are not compiled.
_DECIDE = {"attention_backend", "block_size"}
VERSION_FILE = "flashinfer_version.txt"  # beside the kernels: for which release they are
_KERNELS = (
    f"xqa_*_kv_cache_e4m3_*_page_size_{BLOCK_SIZE}_head_dim_{HEAD_DIM}"
    f"_head_group_ratio_{HEADS_OF_A_GROUP}_*/*.so",
    f"batch_prefill_*_q_e4m3_*_kv_e4m3_*_head_dim_qk_{HEAD_DIM}_*_sm90/*.so",
)


def suits(
    gpu_name: str | None,
    model_config: Mapping[str, Any],
    given: Mapping[str, Any],
    tensor_parallel_size: int = 1,
) -> bool:
    """Whether the kernels are made for this GPU, this model (its config.json) and these settings.

    `given` are the engine arguments of the user. The KV cache has to be in fp8 besides. GPUs that
    share the model have to divide its key and value heads evenly.
    """
    if _DECIDE & given.keys():
        return False
    hopper = any(name in (gpu_name or "") for name in GPUS)
    heads, groups = (model_config.get(f"num_{kind}_heads") for kind in ("attention", "key_value"))
    if not hopper or not heads or not groups or groups % tensor_parallel_size:
        return False
    head_dim = model_config.get("head_dim") or model_config.get("hidden_size", 0) // heads
    return (head_dim, heads / groups) == (HEAD_DIM, HEADS_OF_A_GROUP)


def compiled() -> bool:
    """Whether the kernels are there, for the release of FlashInfer that is installed."""
    spec = importlib.util.find_spec("flashinfer")
    packages = (spec.submodule_search_locations if spec else None) or ()
    return any(_are_in(Path(root) / "data" / "aot") for root in packages)


def _are_in(folder: Path) -> bool:
    if not all(any(folder.glob(kernel)) for kernel in _KERNELS):
        return False
    try:
        installed = importlib.metadata.version("flashinfer-python")
        return (folder / VERSION_FILE).read_text(encoding="utf-8").strip() == installed
    except (importlib.metadata.PackageNotFoundError, OSError):
        return False


def environment(engine_settings: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, str]:
    """vLLM's variables for an engine with these settings; what the user has set wins.

    Who asks for a backend in an engine argument (`given`) gets what vLLM makes of it.
    """
    if engine_settings.get("attention_backend") != BACKEND or "attention_backend" in given:
        return {}
    return {name: os.environ.get(name, value) for name, value in _ENVIRONMENT.items()}
