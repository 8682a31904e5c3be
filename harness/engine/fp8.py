"""fp8 on a Hopper GPU: whose matrix products vLLM uses, and what it is told for it.

vLLM multiplies fp8 matrices by CUTLASS. cuBLASLt is faster there in the steps that count for every
scenario but SingleStream (docs/performance.md); cublas_fp8.py brings it in. A weight then has a
scale for each output instead of one for its matrix, so it is nearer to what it was.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from harness.engine.attention import GPUS

QUANTIZATION = "fp8_per_channel"  # vLLM's name for it
EXTENSION = "harness.engine.cublas_fp8.WorkerExtension"
SCENARIOS = ("offline", "server", "interactive")  # SingleStream has one_query.py
# cublas_fp8.py uses names of vLLM's that other releases may have given up.
_RELEASE = "0.26."
# The kernels that come before a registered one in vLLM's list and would take its place.
_DISABLED = "VLLM_DISABLED_KERNELS"
_OTHERS = (
    "CutlassFP8ScaledMMLinearKernel",
    "ChannelWiseTorchFP8ScaledMMLinearKernel",
    "HummingFP8ScaledMMLinearKernel",
)
# Variables of vLLM's under which the products it expects are its own.
_OTHER_PRODUCTS = ("VLLM_BATCH_INVARIANT", "VLLM_TEST_FORCE_FP8_MARLIN")
_ARCHITECTURE = "LlamaForCausalLM"  # whose activation has nothing behind it but a product
# At 0, norms, attention's result and the KV cache are vLLM's own instead of kernels that read each
# row once: 2.8 and 3.3 % of Offline on two H200 (docs/performance.md).
ROW_KERNELS = "MLPERF_FP8_ROW_KERNELS"
_TAKEN_ALONG = "VLLM_RAY_EXTRA_ENV_VARS_TO_COPY"
ALIGNED_TO = 16  # cuBLASLt takes rows of a multiple of 16 bytes


def suits(
    gpu_name: str | None,
    vllm_version: str | None,
    model_config: Mapping[str, Any],
    given: Mapping[str, Any],
    *,
    tensor_parallel_size: int = 1,
    pipeline_parallel_size: int = 1,
) -> bool:
    """Whether the products are made for this GPU, vLLM, model (its config.json) and run.

    `given` are the engine arguments of the user, of those that tune. Its weights have to be of a
    kind in weights.py besides. With its layers in groups (pipeline parallel) they have not been
    tried.
    """
    if pipeline_parallel_size > 1 or "linear_backend" in given:
        return False
    if any(os.environ.get(name, "0") not in ("", "0") for name in _OTHER_PRODUCTS):
        return False
    sizes = [model_config.get(name) or 1 for name in ("hidden_size", "intermediate_size")]
    if _ARCHITECTURE not in (model_config.get("architectures") or ()):
        return False
    hopper = any(name in (gpu_name or "") for name in GPUS)
    known = (vllm_version or "").startswith(_RELEASE)
    aligned = tensor_parallel_size * ALIGNED_TO  # each GPU has its share of such rows
    return hopper and known and not any(size % aligned for size in sizes)


def settings(*, from_checkpoint: bool = False) -> dict[str, Any]:
    """vLLM's engine arguments for these products; a checkpoint in fp8 says itself what it is."""
    scheme = {} if from_checkpoint else {"quantization": QUANTIZATION}
    return {**scheme, "worker_extension_cls": EXTENSION}


def environment(*, over_ray: bool = False) -> dict[str, str]:
    """vLLM's variables for these products; kernels that the user has switched off stay off.

    `over_ray`: engines on other machines are told as well.
    """
    variables = {
        **without(*_OTHERS),
        ROW_KERNELS: "1" if row_kernels() else "0",
    }
    # vLLM takes variables of its own along to Ray's other machines, and those it is told of.
    return variables | ({_TAKEN_ALONG: _listed(_TAKEN_ALONG, ROW_KERNELS)} if over_ray else {})


def without(*linear_kernels: str) -> dict[str, str]:
    """vLLM's variable under which these kernels, and those that the user names, are left out."""
    return {_DISABLED: _listed(_DISABLED, *linear_kernels)}


def _listed(variable: str, *more: str) -> str:
    """The names that a variable holds, and more."""
    there = [name for name in os.environ.get(variable, "").split(",") if name]
    return ",".join(dict.fromkeys([*there, *more]))


def row_kernels() -> bool:
    """Whether the kernels that read each row once are left on."""
    return os.environ.get(ROW_KERNELS) != "0"
