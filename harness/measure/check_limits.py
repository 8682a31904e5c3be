"""Checks of what a container or a shell allows a run: cores, memory, shared memory, open files."""

from __future__ import annotations

from harness import formatting
from harness.config import RunConfig
from harness.engine import capacity
from harness.engine.plan import Site
from harness.engine.settings import CPU_KV_CACHE_BYTES
from harness.inputs.model_source import ModelSource
from harness.machine import limits
from harness.measure import check_gpus
from harness.measure.check_line import DOUBTFUL, OK, Line

# All processes of a run on a CPU took 4.1 GiB, of which weights and KV cache were 1.3 GiB.
BYTES_OF_THE_PROGRAMS = 3 << 30
# As many as a shell allows where nobody has set anything; a worker of the engine opens a hundred.
USUAL_OPEN_FILES = 1024
# What the parts of a model meet in: NCCL, and vLLM's words to its workers. Docker gives 64 MB.
SHARED_MEMORY_BYTES = 1 << 30
# LoadGen and the process that answers it; each GPU has a third one.
BUSY_PROCESSES = 2


def lines(config: RunConfig, site: Site) -> list[Line]:
    """A line for each limit that is the same whatever the model."""
    allowed = limits.collect()
    return [
        _cores(allowed.cores, config, site),
        _shared_memory(allowed.free_shared_memory_bytes, config, site),
        _open_files(allowed.open_files),
    ]


def memory(source: ModelSource, config: RunConfig, site: Site) -> Line:
    """What the control groups leave of the memory, against what a run of this model takes."""
    name, left = "memory limit", limits.collect().free_memory_bytes
    if left is None:
        return Line(name, OK, "none of a container")
    needed = BYTES_OF_THE_PROGRAMS
    if site.device == "cpu":
        needed += source.loaded_bytes(config.precision) + CPU_KV_CACHE_BYTES
    text = f"a container leaves {formatting.gibibytes(left)}"
    if left >= needed:
        return Line(name, OK, text)
    text += (
        f", and a run may take {formatting.gibibytes(needed)}; the kernel then ends it: allow it "
        "more (docker: --memory)."
    )
    return Line(name, DOUBTFUL, text)


def _cores(given: float | None, config: RunConfig, site: Site) -> Line:
    name, visible = "processor time", site.system.cpu_count or 1
    if given is None or given >= visible:
        return Line(name, OK, "no limit of a container")
    wanted = visible
    if site.device == "gpu":
        wanted = min(visible, BUSY_PROCESSES + (check_gpus.used(config, site) or 1))
    text = f"a container gives that of {given:g} of {visible} cores"
    if given >= wanted:
        return Line(name, OK, text)
    text += (
        "; threads that count on more wait for one another: name whole cores instead (docker: "
        f"--cpuset-cpus), at least {wanted}."
    )
    return Line(name, DOUBTFUL, text)


def _shared_memory(free: int | None, config: RunConfig, site: Site) -> Line:
    name = "shared memory"
    if free is None:
        return Line(name, DOUBTFUL, "there is no /dev/shm, which the engine's processes meet in.")
    text = f"{formatting.gibibytes(free)} free in /dev/shm"
    parts = max(capacity.gpus_of_a_copy(config), check_gpus.used(config, site) or 1)
    if free >= SHARED_MEMORY_BYTES or parts == 1:
        return Line(name, OK, text)
    text += (
        ", which may be too little for a model in several parts; docker gives more with "
        "--shm-size 1g or --ipc host."
    )
    return Line(name, DOUBTFUL, text)


def _open_files(allowed: int | None) -> Line:
    name = "open files"
    if allowed is None:
        return Line(name, OK, "no limit")
    text = f"{formatting.count(allowed)} a process"
    if allowed >= USUAL_OPEN_FILES:
        return Line(name, OK, text)
    text += f", fewer than usual; `ulimit -n {4 * USUAL_OPEN_FILES}` in this shell allows more."
    return Line(name, DOUBTFUL, text)
