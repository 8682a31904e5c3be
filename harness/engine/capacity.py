"""Whether this machine can do what is asked: its GPUs or cores, and its memory."""

from __future__ import annotations

import importlib.util
import os
import re
from collections.abc import Iterable, Mapping
from typing import Any

from harness.config import DEFAULT_GPU_MEMORY_UTILIZATION, DEMO_MODEL, RunConfig
from harness.errors import UsageError
from harness.formatting import gibibytes
from harness.inputs.model_source import ModelSource
from harness.language import phrase
from harness.machine import gpus, process_limits
from harness.machine.system import SystemInfo

_BINDING = "VLLM_CPU_OMP_THREADS_BIND"  # vLLM's variable for the cores of each part, on a CPU
_LISTED = 8  # cores that a sentence names


def check_devices(config: RunConfig, device: str, system: SystemInfo) -> RunConfig:
    """Refuses what this machine cannot do, and resolves --tensor-parallel-size auto."""
    _check_build(config, device, system)
    _check_ray(config, device)
    tensor = config.tensor_parallel_size
    if tensor is None:
        other_sizes = config.data_parallel_size * config.pipeline_parallel_size
        tensor = max(1, system.gpu_count // other_sizes) if device == "gpu" else 1
    _check_parallel_sizes(config, tensor, device, system)
    _check_one_process(config, tensor)
    _check_cores(tensor, device)
    return config.with_values(tensor_parallel_size=tensor)


def _check_build(config: RunConfig, device: str, system: SystemInfo) -> None:
    """The installed build of vLLM against the GPUs and the precision."""
    if device == "gpu" and not system.gpu_count:
        raise UsageError(
            "No NVIDIA GPU is visible, and the installed vLLM is the CUDA build. Check nvidia-smi "
            "(in docker: --gpus all), or install the CPU build with `make venv VARIANT=cpu`."
        )
    if device == "cpu" and config.pipeline_parallel_size > 1:
        raise UsageError(
            f"--pipeline-parallel-size {config.pipeline_parallel_size}: vLLM's build for CPUs ends "
            "at the first request with it; use --tensor-parallel-size, or leave it out."
        )
    if device == "cpu" and config.precision == "fp8":
        raise UsageError(
            "--precision fp8 needs a GPU, and the CPU build of vLLM is installed; "
            "use --precision bf16."
        )


def _check_ray(config: RunConfig, device: str) -> None:
    if config.distributed_executor_backend != "ray":
        return
    if device == "cpu":
        raise UsageError(
            "--distributed-executor-backend ray: vLLM refuses Ray on a CPU; drop the flag."
        )
    if config.data_parallel_size == 1:
        # In a fork of this process, which has asked Ray for its machines, vLLM's engine would ask
        # it in vain, and the parts could lie on any machine of the cluster.
        raise UsageError(
            "--distributed-executor-backend ray: one copy of the model belongs on one machine, "
            "where nothing needs Ray; drop the flag, or give several machines a copy for each GPU: "
            "--tensor-parallel-size 1 --data-parallel-size N."
        )
    if importlib.util.find_spec("ray") is None:
        raise UsageError(
            "--distributed-executor-backend ray: Ray is not installed, and vLLM does not bring it; "
            "pip install 'ray[default]' on every machine, or drop the flag."
        )


def _check_parallel_sizes(config: RunConfig, tensor: int, device: str, system: SystemInfo) -> None:
    """The GPUs or cores that are asked for against those here; Ray may have more machines."""
    if config.distributed_executor_backend == "ray":
        return
    units_here = system.gpu_count if device == "gpu" else process_limits.core_count()
    units_asked = tensor * config.data_parallel_size * config.pipeline_parallel_size
    if units_here is None or units_asked <= units_here:
        return
    sizes = {
        "--tensor-parallel-size": config.tensor_parallel_size or 1,
        "--data-parallel-size": config.data_parallel_size,
        "--pipeline-parallel-size": config.pipeline_parallel_size,
    }
    flag = max(sizes, key=lambda name: sizes[name])
    if device == "cpu":
        raise UsageError(
            f"{flag} {sizes[flag]}: each copy of the model, and each part of one, needs a core of "
            f"its own, {units_asked} together, and this process may use {_cores(units_here)}; "
            "lower the flag, or allow the process more."
        )
    raise UsageError(
        f"{flag} {sizes[flag]}: the parallel sizes take {units_asked} GPUs together, "
        f"and {units_here} {'is' if units_here == 1 else 'are'} here; lower it."
    )


def _check_one_process(config: RunConfig, tensor: int) -> None:
    parts = tensor * config.pipeline_parallel_size
    if config.distributed_executor_backend == "uni" and parts > 1:
        raise UsageError(
            f"--distributed-executor-backend uni: each copy of the model takes {parts} GPUs or "
            "cores, a process for each; leave the flag out."
        )


def _cores(usable: int) -> str:
    """ "1 of the machine's 8 (taskset, docker's --cpus ...)", or "2" where those are all."""
    of_machine = os.cpu_count()
    if of_machine is None or usable >= of_machine:
        return str(usable)
    return (
        f"{usable} of the machine's {of_machine} (taskset, docker's --cpus or --cpuset-cpus, or a "
        "batch system says so)"
    )


def _check_cores(tensor: int, device: str) -> None:
    """On a CPU vLLM wants to know the cores of each tensor-parallel part."""
    if device != "cpu":
        return
    binding = os.environ.get(_BINDING, "")
    allowed = process_limits.allowed_cores()
    if tensor > 1 and binding.count("|") + 1 != tensor:
        cores = range(tensor) if allowed is None else sorted(allowed)[:tensor]
        raise UsageError(
            f"--tensor-parallel-size {tensor}: on a CPU each part needs cores of its own; set "
            f"{_BINDING}='{'|'.join(map(str, cores))}', or use --tensor-parallel-size 1."
        )
    forbidden = _numbers(binding) - allowed if allowed is not None else frozenset[int]()
    if allowed is not None and forbidden:
        raise UsageError(
            f"{_BINDING}={binding} names {_listed(forbidden)}, and this process may run on "
            f"{_listed(allowed)} alone; name of those, or unset the variable."
        )


def cores_named() -> frozenset[int]:
    """The cores that vLLM is told to use on a CPU; none where it chooses them."""
    return _numbers(os.environ.get(_BINDING, ""))


def _numbers(binding: str) -> frozenset[int]:
    """The cores of "0-3,8|4-7"; none of a word ("auto", "nobind") or of what vLLM cannot read."""
    numbers = set[int]()
    for part in re.split(r"[|,]", binding):
        match = re.fullmatch(r"\s*(\d{1,6})(?:-(\d{1,6}))?\s*", part)
        if match is not None:
            numbers.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    return frozenset(numbers)


def _listed(cores: Iterable[int]) -> str:
    numbers = sorted(cores)
    text = ", ".join(map(str, numbers[:_LISTED])) + (", ..." if len(numbers) > _LISTED else "")
    return f"core {text}" if len(numbers) == 1 else f"cores {text}"


def gpus_of_a_copy(config: RunConfig) -> int:
    """GPUs that one copy of the model takes."""
    return (config.tensor_parallel_size or 1) * config.pipeline_parallel_size


def copies_here(config: RunConfig, system: SystemInfo) -> int:
    """How many copies of the model the GPUs of this machine hold, of those that are asked for."""
    return min(config.data_parallel_size, max(1, system.gpu_count // gpus_of_a_copy(config)))


def gpus_here(config: RunConfig, device: str, system: SystemInfo) -> int:
    """How many GPUs of this machine the engine takes."""
    if device == "cpu":
        return 0
    return min(system.gpu_count, copies_here(config, system) * gpus_of_a_copy(config))


def fit_heads(config: RunConfig, asked: int | None, model: ModelSource) -> RunConfig:
    """Makes the tensor parallel size one that shares the attention heads out evenly.

    `asked` is --tensor-parallel-size as given; None is auto, which takes the largest that does.
    Raises UsageError.
    """
    heads = model.config["num_attention_heads"]
    tensor = config.tensor_parallel_size or 1
    if heads % tensor == 0:
        return config
    best = max(size for size in range(1, tensor + 1) if heads % size == 0)
    if asked is None:
        return config.with_values(tensor_parallel_size=best)
    raise UsageError(
        f"--tensor-parallel-size {tensor}: the model's {heads} attention heads cannot be shared "
        f"out to {tensor}; use {best}."
    )


def check_memory(
    config: RunConfig,
    device: str,
    system: SystemInfo,
    model: ModelSource,
    engine_settings: Mapping[str, Any],
) -> None:
    """Free memory against what the engine will ask for, before minutes are spent on loading."""
    utilization = engine_settings.get("gpu_memory_utilization")
    weights_bytes = model.loaded_bytes(config.precision)
    if device == "cpu":
        cache = engine_settings.get("kv_cache_memory_bytes")
        _check_cpu_memory(
            config, utilization, weights_bytes, cache if isinstance(cache, int) else 0
        )
    else:
        share = utilization or DEFAULT_GPU_MEMORY_UTILIZATION
        memory = gpus.free_and_total_memory_bytes(gpus_here(config, device, system))
        _check_gpu_memory(config.model, share, weights_bytes / gpus_of_a_copy(config), memory)


def _check_cpu_memory(
    config: RunConfig, utilization: float | None, weights_bytes: int, cache_bytes: int
) -> None:
    """`weights_bytes` and `cache_bytes` are of one copy; a share of memory holds both."""
    room = process_limits.memory()
    if room is None:
        return
    free = gibibytes(room.free_bytes)
    if utilization is not None and utilization * room.total_bytes > room.free_bytes:
        raise UsageError(
            f"--gpu-memory-utilization {utilization:g}: on a CPU this is a share of the memory "
            f"that this process may use, and {free} of {gibibytes(room.total_bytes)} are free; "
            "leave the flag out, or lower it."
        )
    copies = config.data_parallel_size
    if copies * (weights_bytes + cache_bytes) <= room.free_bytes:
        return
    what = phrase("its weights take {size}", size=gibibytes(copies * weights_bytes))
    if cache_bytes:
        what += f" and the KV cache {gibibytes(copies * cache_bytes)}"
    if copies > 1:
        what += f" in {copies} copies (--data-parallel-size)"
    limit, way_out = "", phrase("use --model demo")
    if config.model == DEMO_MODEL:
        way_out = phrase("end other programs")
    if process_limits.memory_is_limited():
        total = gibibytes(room.total_bytes)
        limit = phrase(" of the {total} that this process may use", total=total)
        way_out = phrase("allow it more (docker: --memory), or {way_out}", way_out=way_out)
    raise UsageError(
        f"--model {config.model}: {what}, and {free} of memory{limit} are free; {way_out}."
    )


def _check_gpu_memory(
    model: str, share: float, weights_bytes: float, memory: tuple[int | None, int | None]
) -> None:
    """`weights_bytes` and `memory`, the free part and the whole, are of one GPU."""
    free, total = memory
    if free is None or total is None:
        return
    if share * total > free:
        raise UsageError(
            f"--gpu-memory-utilization {share:g} asks for {gibibytes(share * total)}, "
            f"and only {gibibytes(free)} of the GPU's {gibibytes(total)} "
            "are free; end the program that uses it (nvidia-smi lists them), or lower the flag."
        )
    if weights_bytes > share * total:
        raise UsageError(
            f"--model {model}: its weights take {gibibytes(weights_bytes)} "
            f"on each GPU, and the engine may use {gibibytes(share * total)}; "
            "use more GPUs or --precision fp8."
        )
