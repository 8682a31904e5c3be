"""A run says with which flags it would be faster, where GPUs share a model needlessly."""

from __future__ import annotations

from harness.config import DEFAULT_GPU_MEMORY_UTILIZATION, RunConfig, Scenario
from harness.engine import kernels
from harness.engine.weights import FP8
from harness.inputs.model_source import ModelSource
from harness.machine.system import SystemInfo

# Of the weights: what a GPU should hold to run a copy well, as much again for the KV cache.
_ROOM_TO_WORK = 2
# GPUs of which it is known that one alone answers a query sooner: p90 356 and 416 ms in fp8. In
# bf16 two are the faster: 456 and 539 ms.
_SLOWER_THAN_ONE = 2


def note(
    config: RunConfig, asked: int | None, device: str, system: SystemInfo, model: ModelSource
) -> str | None:
    """Returns a sentence with the flags that would be faster; None where none are known.

    The sizes in `config` are resolved; `asked` is --tensor-parallel-size as given: who names a size
    gets it without a word.
    """
    sharing = config.tensor_parallel_size or 1
    if (
        device != "gpu"
        or asked is not None
        or sharing == 1
        or not _fits_on_one(config, system, model)
    ):
        return None
    shared = f"{sharing} GPUs share one model, which fits on one of them; "
    if config.scenario is not Scenario.SINGLESTREAM:
        copies = sharing * config.data_parallel_size
        return (
            f"{shared}copies answered 1.2 times as much in fp8 on two H200: "
            f"--tensor-parallel-size 1 --data-parallel-size {copies}"
        )
    if sharing != _SLOWER_THAN_ONE:
        return None
    alone = kernels.choose(config.with_values(tensor_parallel_size=1), model, device, system)
    if not alone.one_token or alone.kind != FP8:
        return None
    return (
        f"{shared}alone it has kernels for one query at a time, and an H200 answered sooner than "
        "two (p90 356 and 416 ms): --tensor-parallel-size 1"
    )


def _fits_on_one(config: RunConfig, system: SystemInfo, model: ModelSource) -> bool:
    """Whether one GPU, or one of each group of layers, holds the model with room to work."""
    share = config.gpu_memory_utilization or DEFAULT_GPU_MEMORY_UTILIZATION
    needed = _ROOM_TO_WORK * model.loaded_bytes(config.precision) // config.pipeline_parallel_size
    return system.gpu_memory_bytes is not None and needed <= share * system.gpu_memory_bytes
