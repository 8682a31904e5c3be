"""Checks of what a container or a shell allows a run: cores, memory, shared memory, open files."""

from __future__ import annotations

import os

from harness import formatting
from harness.config import RunConfig
from harness.engine import capacity, executor, process_needs
from harness.engine.plan import Site
from harness.engine.settings import CPU_KV_CACHE_BYTES
from harness.inputs.model_source import ModelSource
from harness.language import phrase
from harness.machine import cgroup, process_limits
from harness.machine.system import SystemInfo
from harness.measure import check_gpus
from harness.measure.check_line import DOUBTFUL, OK, Line, asked

# All processes of a run on a CPU took 4.1 GiB, of which weights and KV cache were 1.3 GiB.
BYTES_OF_THE_PROGRAMS = 3 << 30
# What the parts of a model meet in: NCCL, and vLLM's words to its workers. Docker gives 64 MB.
SHARED_MEMORY_BYTES = 1 << 30
# LoadGen, the process that answers it, and the engine's scheduler; each GPU has one more.
BUSY_PROCESSES = 3
_MIB = 1 << 20


def lines(config: RunConfig, site: Site) -> list[Line]:
    """A line for each limit that is the same whatever the model."""
    return [
        # Without a GPU the cores are what the flags are held against, in a line before this.
        *([Line(phrase("cores"), OK, cores(site.system))] if site.device == "gpu" else []),
        _processor_time(config, site),
        asked(phrase("shared memory"), lambda: _shared_memory(config, site)),
        asked(phrase("open files"), _open_files),
        asked(phrase("variables"), _variables),
    ]


def cores(system: SystemInfo) -> str:
    """ "1 of the machine's 2, AMD EPYC"."""
    usable, of_machine = process_limits.core_count(), os.cpu_count()
    if usable is None:
        return phrase("not known how many, {cpu}", cpu=system.cpu)
    if of_machine is None or usable >= of_machine:
        return f"{usable}, {system.cpu}"
    return phrase(
        "{usable} of the machine's {count}, {cpu}", usable=usable, count=of_machine, cpu=system.cpu
    )


def memory(source: ModelSource, config: RunConfig, site: Site) -> Line:
    """What the control groups leave of the memory, against what a run of this model takes."""
    name, group = phrase("memory limit"), cgroup.memory()
    if group.limit_bytes is None or group.free_bytes is None:
        return Line(name, OK, phrase("none of a container"))
    needed = BYTES_OF_THE_PROGRAMS
    if site.device == "cpu":
        needed += source.loaded_bytes(config.precision) + CPU_KV_CACHE_BYTES
    text = phrase(
        "a container leaves {free} of {limit}",
        free=formatting.gibibytes(group.free_bytes), limit=formatting.gibibytes(group.limit_bytes),
    )  # fmt: skip
    if group.free_bytes >= needed:
        return Line(name, OK, text)
    text = phrase(
        "{text}, and a run may take {needed}; the kernel then ends it: allow it more (docker: "
        "--memory).",
        text=text, needed=formatting.gibibytes(needed),
    )  # fmt: skip
    return Line(name, DOUBTFUL, text)


def _variables() -> str | Line:
    process_needs.check_variables()
    if note := process_needs.note_on_variables():
        return Line(phrase("variables"), DOUBTFUL, note)
    return phrase("those for vLLM can be read")


def _processor_time(config: RunConfig, site: Site) -> Line:
    name, visible = phrase("processor time"), site.system.cpu_count or 1
    given = cgroup.cpu_quota()
    if given is None or given >= visible:
        return Line(name, OK, phrase("no limit of a container"))
    wanted = visible
    if site.device == "gpu":
        wanted = min(visible, BUSY_PROCESSES + (check_gpus.used(config, site) or 1))
    text = phrase(
        "a container gives that of {given:g} of {visible} cores", given=given, visible=visible
    )
    if given >= wanted:
        return Line(name, OK, text)
    text = phrase(
        "{text}; threads that count on more wait for one another: name whole cores instead "
        "(docker: --cpuset-cpus), at least {wanted}.",
        text=text, wanted=wanted,
    )  # fmt: skip
    return Line(name, DOUBTFUL, text)


def _shared_memory(config: RunConfig, site: Site) -> str | Line:
    name, room = phrase("shared memory"), process_limits.shared_memory()
    if room is None:
        return Line(
            name, DOUBTFUL, phrase("there is no /dev/shm, which the engine's processes meet in.")
        )
    executor.check_shared_memory(config, site.device)
    text = phrase("{free:,} MiB free in /dev/shm", free=room.free_bytes // _MIB)
    if needed := executor.shared_memory_bytes(config, site.device):
        text = phrase("{text}, {needed} needed", text=text, needed=-(-needed // _MIB))
    parts = max(capacity.gpus_of_a_copy(config), check_gpus.used(config, site) or 1)
    if room.free_bytes >= SHARED_MEMORY_BYTES or parts == 1:
        return text
    text = phrase(
        "{text}, which may be too little for a model in several parts; docker gives more with "
        "--shm-size 1g or --ipc host.",
        text=text,
    )
    return Line(name, DOUBTFUL, text)


def _open_files() -> str | Line:
    """A run raises the limit by itself, as far as it may."""
    allowed, most = process_limits.open_files(), process_limits.most_open_files()
    if allowed is None:
        return phrase("no limit")
    text = phrase("{count} a process", count=formatting.count(allowed))
    if allowed >= process_needs.USUAL_OPEN_FILES:
        return text
    process_needs.refuse_few_files(most)
    if most is None or most >= process_needs.USUAL_OPEN_FILES:
        return phrase("{text}, which a run raises, as it may", text=text)
    text = phrase(
        "{text}, fewer than usual; `ulimit -n {usual}` in this shell allows more (docker: --ulimit "
        "nofile=...).",
        text=text, usual=process_needs.USUAL_OPEN_FILES,
    )  # fmt: skip
    return Line(phrase("open files"), DOUBTFUL, text)
