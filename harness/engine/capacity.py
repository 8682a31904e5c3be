"""Whether this machine can do what is asked: its GPUs or cores, and its memory."""

from __future__ import annotations

import importlib.util
import os
from typing import Any

from harness import formatting
from harness.config import DEFAULT_GPU_MEMORY_UTILIZATION, RunConfig
from harness.errors import UsageError
from harness.inputs import model as models
from harness.machine import gpus as visible_gpus
from harness.machine import system as system_info


def check_devices(settings: RunConfig, device: str, machine: system_info.SystemInfo) -> RunConfig:
    """Refuses what this machine cannot do, and resolves --tensor-parallel-size auto."""
    gpus = machine.gpu_count or 0
    if device == "gpu" and gpus == 0:
        raise UsageError(
            "No NVIDIA GPU is visible, and the installed vLLM is the CUDA build. Check nvidia-smi "
            "(in docker: --gpus all), or install the CPU build with `make venv VARIANT=cpu`."
        )
    if device == "cpu" and settings.precision == "fp8":
        raise UsageError(
            "--precision fp8 needs a GPU, and the CPU build of vLLM is installed; "
            "use --precision bf16."
        )
    if device == "cpu" and settings.distributed_executor_backend == "ray":
        raise UsageError(
            "--distributed-executor-backend ray: vLLM refuses Ray on a CPU; drop the flag."
        )
    if settings.distributed_executor_backend == "ray" and importlib.util.find_spec("ray") is None:
        raise UsageError(
            "--distributed-executor-backend ray: Ray is not installed, and vLLM does not bring it; "
            "pip install 'ray[default]' on every machine, or drop the flag."
        )
    others = settings.data_parallel_size * settings.pipeline_parallel_size
    across_machines = settings.distributed_executor_backend == "ray"
    places, unit = (gpus, "GPU") if device == "gpu" else (os.cpu_count() or 1, "core")
    tensor = settings.tensor_parallel_size
    if tensor is None:
        tensor = max(1, gpus // others) if device == "gpu" else 1
    if tensor * others > places and not across_machines:
        asked = {
            "--tensor-parallel-size": settings.tensor_parallel_size or 1,
            "--data-parallel-size": settings.data_parallel_size,
            "--pipeline-parallel-size": settings.pipeline_parallel_size,
        }
        flag = max(asked, key=lambda name: asked[name])
        raise UsageError(
            f"{flag} {asked[flag]}: the parallel sizes take {tensor * others} {unit}s together, "
            f"and {places} {'is' if places == 1 else 'are'} here; lower it."
        )
    binding = os.environ.get("VLLM_CPU_OMP_THREADS_BIND", "")
    if device == "cpu" and tensor > 1 and binding.count("|") + 1 != tensor:
        example = "|".join(str(core) for core in range(tensor))
        raise UsageError(
            f"--tensor-parallel-size {tensor}: on a CPU each part needs cores of its own; set "
            f"VLLM_CPU_OMP_THREADS_BIND='{example}', or use --tensor-parallel-size 1."
        )
    return settings.with_values(tensor_parallel_size=tensor)


def copies_here(settings: RunConfig, machine: system_info.SystemInfo) -> int:
    """How many copies of the model the GPUs of this machine hold, of those that are asked for."""
    gpus_of_a_copy = (settings.tensor_parallel_size or 1) * settings.pipeline_parallel_size
    return min(settings.data_parallel_size, max(1, machine.gpu_count // gpus_of_a_copy))


def fit_heads(settings: RunConfig, asked: int | None, model: models.ModelSource) -> RunConfig:
    """Tensor parallel shares the attention heads out evenly; auto takes the most that does.

    `asked` is --tensor-parallel-size as given, None for auto. Raises UsageError.
    """
    heads = model.config["num_attention_heads"]
    tensor = settings.tensor_parallel_size or 1
    if heads % tensor == 0:
        return settings
    best = max(size for size in range(1, tensor + 1) if heads % size == 0)
    if asked is None:
        return settings.with_values(tensor_parallel_size=best)
    raise UsageError(
        f"--tensor-parallel-size {tensor}: the model's {heads} attention heads cannot be shared "
        f"out to {tensor}; use {best}."
    )


def check_memory(
    settings: RunConfig, device: str, model: models.ModelSource, engine_settings: dict[str, Any]
) -> None:
    """Free memory against what the engine will ask for, before minutes are spent on loading."""
    utilization = engine_settings.get("gpu_memory_utilization")
    weights = model.weights_bytes(1 if settings.precision == "fp8" else 2)
    if device == "cpu":
        import psutil

        memory = psutil.virtual_memory()
        if utilization is not None and utilization * memory.total > memory.available:
            raise UsageError(
                f"--gpu-memory-utilization {utilization:g}: on a CPU this is a share of the "
                f"machine's memory, and {formatting.gibibytes(memory.available)} of "
                f"{formatting.gibibytes(memory.total)} are free; leave the flag out, or lower it."
            )
        if weights > memory.available:
            raise UsageError(
                f"--model {settings.model}: its weights take {formatting.gibibytes(weights)}, and "
                f"{formatting.gibibytes(memory.available)} of memory are free; use --model demo."
            )
        return
    free, total = visible_gpus.free_and_total_memory_bytes()
    if free is None or total is None:
        return
    share = utilization or DEFAULT_GPU_MEMORY_UTILIZATION
    if share * total > free:
        raise UsageError(
            f"--gpu-memory-utilization {share:g} asks for {formatting.gibibytes(share * total)}, "
            f"and only {formatting.gibibytes(free)} of the GPU's {formatting.gibibytes(total)} "
            "are free; end the program that uses it (nvidia-smi lists them), or lower the flag."
        )
    parts = (settings.tensor_parallel_size or 1) * settings.pipeline_parallel_size
    if weights / parts > share * total:
        raise UsageError(
            f"--model {settings.model}: its weights take {formatting.gibibytes(weights / parts)} "
            f"on each GPU, and the engine may use {formatting.gibibytes(share * total)}; "
            "use more GPUs or --precision fp8."
        )
