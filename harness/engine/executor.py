"""Whether an engine's scheduler and its workers share a process, and the memory they talk through.

On one GPU vLLM schedules steps and launches their kernels in one process, on one core, and a GPU as
fast as an H200 waits for it (docs/performance.md). In two processes it does not, but each of them
keeps a core busy all the time.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from harness.config import DEMO_MODEL, RunConfig, Scenario
from harness.engine import capacity
from harness.errors import UsageError
from harness.installed import source_of
from harness.machine import process_limits

APART = "mp"  # vLLM's name for workers in processes of their own
RAY = "ray"  # the same, by way of Ray
# One that schedules, one that launches, LoadGen, and the client between them.
LEAST_CORES = 4
IN_TWO = (
    "steps are scheduled and launched in two processes, as the GPU waits for the one that would do "
    "both"
)
_MIB = 1 << 20
# vLLM's workers answer through ten chunks of 24 MiB, and are asked through ten of a size that a
# variable tells (vllm/distributed/device_communicators/shm_broadcast.py). It reserves nothing: it
# wants that much to be free at the start of each worker, and fills a small part of it.
_CHUNKS = 10
_ANSWERING_MIB = 24
_ASKING_VARIABLE, _ASKING_MIB = "VLLM_MQ_MAX_CHUNK_BYTES_MB", 16
_FLAGS_OF_A_CHUNK_BYTES = 64
# Where a CPU's parts of a model add up what each has computed. Two parts of a core each had taken
# 8 MiB when the second asked for its 240, and did not start with 241.
_BYTES_OF_A_THREAD = 4 << 20
_OTHER_BYTES = 1 << 20  # what else is there by then: 228 to 288 KiB were seen


def choose(config: RunConfig, device: str, *, short_steps: bool = False) -> str | None:
    """vLLM's name of the executor; None leaves it to vLLM. The parallel sizes are resolved.

    `short_steps`: a step of one token takes the GPU less time than one process needs for it.
    """
    if config.distributed_executor_backend is not None:
        return config.distributed_executor_backend
    if device != "gpu" or _gpus(config) > 1:  # where vLLM keeps them apart by itself
        return None
    if config.model == DEMO_MODEL:
        return None
    # A query that has the engine to itself waits for every message between the two.
    if config.scenario is Scenario.SINGLESTREAM and not short_steps:
        return None
    cores = process_limits.core_count()
    if cores is not None and cores < LEAST_CORES:
        return None
    room = process_limits.shared_memory()
    return APART if room is None or _bytes_of_workers() <= room.free_bytes else None


def reasons(config: RunConfig, settings: Mapping[str, Any]) -> list[str]:
    """Why these settings name an executor, a sentence; nothing where a flag named it."""
    given = config.distributed_executor_backend is not None
    return [] if given or settings.get("distributed_executor_backend") != APART else [IN_TWO]


def check_shared_memory(config: RunConfig, device: str) -> None:
    """Raises UsageError where /dev/shm is too small for the engine's workers."""
    room = process_limits.shared_memory()
    needed = shared_memory_bytes(config, device)
    if room is None or needed <= room.free_bytes:
        return
    raise UsageError(
        f"/dev/shm has {room.free_bytes // _MIB} MiB free of {room.total_bytes // _MIB}, and the "
        f"engine's workers need {-(-needed // _MIB)} MiB; give it more (docker: --shm-size 1g), or "
        "remove what other programs have left there."
    )


def shared_memory_bytes(config: RunConfig, device: str) -> int:
    """How much of /dev/shm vLLM wants to be free for its workers; 0: it does not look."""
    backend = choose(config, device)
    by_itself = backend is None and _gpus(config) > 1
    has_workers = device == "cpu" or backend in (APART, RAY) or by_itself
    needed = _bytes_of_workers() if has_workers else 0
    parts = capacity.gpus_of_a_copy(config)
    if needed and device == "cpu" and parts > 1:
        threads = max(parts, len(capacity.cores_named()))
        needed += threads * _BYTES_OF_A_THREAD + _OTHER_BYTES
    return needed


def _gpus(config: RunConfig) -> int:
    return capacity.gpus_of_a_copy(config) * config.data_parallel_size


def _bytes_of_workers() -> int:
    if not _vllm_looks():
        return 0
    largest = max(_ANSWERING_MIB, _asking_mib())
    return _CHUNKS * (largest * _MIB + _FLAGS_OF_A_CHUNK_BYTES)


def _asking_mib() -> int:
    text = os.environ.get(_ASKING_VARIABLE, "")
    return int(text) if text.isdecimal() else _ASKING_MIB


def _vllm_looks() -> bool:
    """Whether the installed vLLM refuses a small /dev/shm; earlier ones took what there was."""
    source = source_of("vllm", "distributed/device_communicators/shm_broadcast.py")
    return source is not None and "check_shm_free_space" in source
