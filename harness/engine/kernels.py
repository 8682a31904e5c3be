"""Which kernels an engine takes instead of vLLM's own choice, and what vLLM is given for them."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness.config import RunConfig, Scenario
from harness.engine import attention, fp8, one_query, weights
from harness.engine_args import beyond_tuning
from harness.inputs.model_source import ModelSource
from harness.machine.system import SystemInfo

# Where FlashInfer's attention is the faster one, in fp8; in bf16 it brings nothing.
_BY_FLASHINFER = (Scenario.OFFLINE, Scenario.SERVER, Scenario.INTERACTIVE)
# Where several GPUs share one model and FlashInfer is installed, vLLM 0.26 takes FlashInfer's
# all-reduce fused with the norm after it (compilation_config.pass_config). No kernel of it is
# compiled: nvcc does that while CUDA graphs are captured, for over four minutes on two H100, and
# where there is no nvcc the engine would not start. Multicast over NVLink, which that kernel and
# those below rely on, is left alone as well: a machine shared with others may not allow it.
_FUSION = "fuse_allreduce_rms"
_WITHOUT_FUSION = {
    "VLLM_ALLREDUCE_USE_FLASHINFER": "0",
    "VLLM_ALLREDUCE_USE_SYMM_MEM": "0",
    "NCCL_NVLS_ENABLE": "0",
    "TORCH_SYMM_MEM_DISABLE_MULTICAST": "1",
    "NVSHMEM_DISABLE_NVLS": "1",
}
_FUSION_IS_OFF = (
    "FlashInfer's fused all-reduce is off, as nvcc would compile it while CUDA graphs are "
    "captured, and with it NVLink multicast"
)
_NOT_COMPILED = (
    "fp8 runs on FlashAttention 3 here; FlashInfer's kernels were 2 to 4 % faster on "
    "an H100: python tools/compile_attention.py makes them, once, in some minutes"
)

_CACHE_IN_BF16 = (
    "the KV cache is in bf16, as this checkpoint does not ask for another; --engine-arg "
    "kv_cache_dtype=fp8 halves it and takes the faster attention kernels"
)

# Engine arguments that name the kernels for a kind of weights.
_OF_WEIGHTS = ("worker_extension_cls", "quantization")


@dataclass(frozen=True)
class Kernels:
    """The kernels chosen for an engine."""

    flashinfer: bool = False  # attention by FlashInfer
    products: bool = False  # fp8 matrix products by cuBLASLt
    one_token: bool = False  # steps of one token by kernels made for them
    kind: str | None = None  # of the weights, by weights.py; None: none that kernels are made for
    from_checkpoint: bool = False  # whether the weights come quantised
    note: str | None = None  # what would make it faster, for the person at the terminal

    @property
    def settings(self) -> dict[str, Any]:
        """vLLM's engine arguments that ask for them."""
        settings: dict[str, Any] = {}
        if self.flashinfer:
            settings |= {
                "attention_backend": attention.BACKEND,
                "block_size": attention.BLOCK_SIZE,
                "kv_cache_dtype": "fp8",
            }
        if self.products:
            settings |= fp8.settings(from_checkpoint=self.from_checkpoint)
        if self.one_token and self.kind:
            settings |= one_query.settings(self.kind, from_checkpoint=self.from_checkpoint)
        return settings


OF_VLLM = Kernels()


def choose(config: RunConfig, model: ModelSource, device: str, system: SystemInfo) -> Kernels:
    """The kernels for this model on this machine's GPUs, by the flags of a run."""
    if device == "cpu":
        return OF_VLLM
    kind, quantised = weights.kind(config, model), model.quantization is not None
    one_token = _suits_one_token(config, model, system, kind)
    if kind != weights.FP8:
        return Kernels(one_token=one_token, kind=kind, from_checkpoint=quantised)
    suited = _suits_flashinfer(config, model, system)
    in_fp8 = suited and weights.cache_in_fp8(config, model)
    compiled = in_fp8 and attention.compiled()
    return Kernels(
        flashinfer=compiled,
        products=one_token or _suits_products(config, model, system),
        one_token=one_token,
        kind=kind,
        from_checkpoint=quantised,
        note=_note(config, suited=suited, in_fp8=in_fp8, compiled=compiled),
    )


def _note(config: RunConfig, *, suited: bool, in_fp8: bool, compiled: bool) -> str | None:
    if compiled or not suited:
        return None
    if in_fp8:
        return _NOT_COMPILED
    return None if "kv_cache_dtype" in config.engine_args else _CACHE_IN_BF16


def without_compiling(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Engine arguments for GPUs under which no CUDA code is compiled when the engine starts.

    Who sets the fusion of the all-reduce in an --engine-arg keeps it.
    """
    if settings["tensor_parallel_size"] == 1:
        return dict(settings)
    compilation = settings.get("compilation_config")
    if not isinstance(compilation, Mapping | None):  # an optimisation level alone, such as 2
        compilation = {"mode": compilation}
    passes = (compilation or {}).get("pass_config") or {}
    merged = {**(compilation or {}), "pass_config": {_FUSION: False, **passes}}
    return {**settings, "compilation_config": merged}


def reasons(settings: Mapping[str, Any]) -> list[str]:
    """Why settings are as they are, a sentence each, where a reader would wonder."""
    return [_FUSION_IS_OFF] if _is_without_fusion(settings) else []


def _is_without_fusion(settings: Mapping[str, Any]) -> bool:
    compilation = settings.get("compilation_config")
    passes = compilation.get("pass_config") if isinstance(compilation, Mapping) else None
    return isinstance(passes, Mapping) and passes.get(_FUSION) is False


def environment(settings: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, str]:
    """Variables for an engine with these settings, `given` being the user's --engine-arg.

    A value that the user has set in the environment stays.
    """
    exchange = _WITHOUT_FUSION if _is_without_fusion(settings) else {}
    over_ray = settings.get("distributed_executor_backend") == "ray"
    return {
        **attention.environment(settings, given),
        **(fp8.environment(over_ray=over_ray) if multiplies_by_cublas(settings) else {}),
        **one_query.environment(settings),
        **{name: os.environ.get(name, value) for name, value in exchange.items()},
    }


def are_those_of(settings: Mapping[str, Any], kernels: Kernels) -> bool:
    """Whether engine arguments found by a search ask for kernels that are still the ones chosen."""
    if any(settings.get(name) != kernels.settings.get(name) for name in _OF_WEIGHTS):
        return False
    flashinfer = settings.get("attention_backend") == attention.BACKEND
    return kernels.flashinfer or not flashinfer


def multiplies_by_cublas(settings: Mapping[str, Any]) -> bool:
    """Whether engine arguments ask for cuBLASLt's products."""
    extension = settings.get("worker_extension_cls")
    return extension == fp8.EXTENSION or one_query.multiplies_in_fp8(settings)


def _suits_flashinfer(config: RunConfig, model: ModelSource, system: SystemInfo) -> bool:
    return config.scenario in _BY_FLASHINFER and attention.suits(
        system.gpu_kind, model.config, config.engine_args, config.tensor_parallel_size or 1
    )


def _suits_products(config: RunConfig, model: ModelSource, system: SystemInfo) -> bool:
    """Whether cuBLASLt can multiply for many queries at a time."""
    return config.scenario.value in fp8.SCENARIOS and _suits_fp8(config, model, system)


def _suits_one_token(
    config: RunConfig, model: ModelSource, system: SystemInfo, kind: str | None
) -> bool:
    """Whether a query has the engine to itself, on kernels that were made for that."""
    # Layers in groups over GPUs are refused with the fp8 products.
    gpus = (config.tensor_parallel_size or 1) * config.data_parallel_size
    if config.scenario is not Scenario.SINGLESTREAM or gpus > 1 or kind is None:
        return False
    return one_query.suits(model.config, config.engine_args) and _suits_fp8(config, model, system)


def _suits_fp8(config: RunConfig, model: ModelSource, system: SystemInfo) -> bool:
    """Whether GPU, vLLM and model are those of fp8.py, whatever the precision.

    An engine argument beyond tuning may change the layers.
    """
    if beyond_tuning(config.engine_args):
        return False
    return fp8.suits(
        system.gpu_kind,
        system.vllm_version,
        model.config,
        config.engine_args,
        tensor_parallel_size=config.tensor_parallel_size or 1,
        pipeline_parallel_size=config.pipeline_parallel_size,
    )
