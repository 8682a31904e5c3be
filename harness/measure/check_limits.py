"""Checks of what a container or a shell allows a run: cores, memory, shared memory, open files."""

from __future__ import annotations

import os

from harness import formatting
from harness.config import RunConfig
from harness.engine import capacity, process_needs
from harness.engine.plan import Site
from harness.engine.settings import CPU_KV_CACHE_BYTES
from harness.inputs.model_source import ModelSource
from harness.machine import cgroup, process_limits
from harness.machine.system import SystemInfo
from harness.measure import check_gpus
from harness.measure.check_line import DOUBTFUL, OK, Line, asked

# All processes of a run on a CPU took 4.1 GiB, of which weights and KV cache were 1.3 GiB.
BYTES_OF_THE_PROGRAMS = 3 << 30
# What the parts of a model meet in: NCCL, and vLLM's words to its workers. Docker gives 64 MB.
SHARED_MEMORY_BYTES = 1 << 30
# LoadGen and the process that answers it; each GPU has a third one.
BUSY_PROCESSES = 2
_MIB = 1 << 20


def lines(config: RunConfig, site: Site) -> list[Line]:
    """A line for each limit that is the same whatever the model."""
    return [
        # Without a GPU the cores are what the flags are held against, in a line before this.
        *([Line("cores", OK, cores(site.system))] if site.device == "gpu" else []),
        _processor_time(config, site),
        asked("shared memory", lambda: _shared_memory(config, site)),
        asked("open files", _open_files),
    ]


def cores(system: SystemInfo) -> str:
    """ "1 of the machine's 2, AMD EPYC"."""
    usable, of_machine = process_limits.core_count(), os.cpu_count()
    if usable is None:
        return f"{formatting.NOT_KNOWN} how many, {system.cpu}"
    part = "" if of_machine is None or usable >= of_machine else f" of the machine's {of_machine}"
    return f"{usable}{part}, {system.cpu}"


def memory(source: ModelSource, config: RunConfig, site: Site) -> Line:
    """What the control groups leave of the memory, against what a run of this model takes."""
    name, group = "memory limit", cgroup.memory()
    if group.limit_bytes is None or group.free_bytes is None:
        return Line(name, OK, "none of a container")
    needed = BYTES_OF_THE_PROGRAMS
    if site.device == "cpu":
        needed += source.loaded_bytes(config.precision) + CPU_KV_CACHE_BYTES
    text = f"a container leaves {formatting.gibibytes(group.free_bytes)}"
    text += f" of {formatting.gibibytes(group.limit_bytes)}"
    if group.free_bytes >= needed:
        return Line(name, OK, text)
    text += (
        f", and a run may take {formatting.gibibytes(needed)}; the kernel then ends it: allow it "
        "more (docker: --memory)."
    )
    return Line(name, DOUBTFUL, text)


def _processor_time(config: RunConfig, site: Site) -> Line:
    name, visible = "processor time", site.system.cpu_count or 1
    given = cgroup.cpu_quota()
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


def _shared_memory(config: RunConfig, site: Site) -> str | Line:
    name, room = "shared memory", process_limits.shared_memory()
    if room is None:
        return Line(name, DOUBTFUL, "there is no /dev/shm, which the engine's processes meet in.")
    process_needs.check_shared_memory(config, site.device)
    text = f"{room.free_bytes // _MIB:,} MiB free in /dev/shm"
    if needed := process_needs.shared_memory_bytes(config, site.device):
        text += f", {-(-needed // _MIB)} needed"
    parts = max(capacity.gpus_of_a_copy(config), check_gpus.used(config, site) or 1)
    if room.free_bytes >= SHARED_MEMORY_BYTES or parts == 1:
        return text
    text += (
        ", which may be too little for a model in several parts; docker gives more with "
        "--shm-size 1g or --ipc host."
    )
    return Line(name, DOUBTFUL, text)


def _open_files() -> str | Line:
    """A run raises the limit by itself, as far as it may."""
    allowed, most = process_limits.open_files(), process_limits.most_open_files()
    if allowed is None:
        return "no limit"
    text = f"{formatting.count(allowed)} a process"
    if allowed >= process_needs.USUAL_OPEN_FILES:
        return text
    process_needs.refuse_few_files(most)
    if most is None or most >= process_needs.USUAL_OPEN_FILES:
        return f"{text}, which a run raises, as it may"
    text += (
        f", fewer than usual; `ulimit -n {process_needs.USUAL_OPEN_FILES}` in this shell allows "
        "more (docker: --ulimit nofile=...)."
    )
    return Line("open files", DOUBTFUL, text)
