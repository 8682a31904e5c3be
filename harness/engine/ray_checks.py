"""Refuses what a Ray cluster cannot do, before minutes are spent on loading."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from harness.config import DEFAULT_GPU_MEMORY_UTILIZATION, RunConfig
from harness.engine import attention, capacity, ray_cluster, ray_probe, weights
from harness.engine.ray_cluster import FLAG, Machine
from harness.engine.ray_probe import Answer, Question
from harness.errors import UsageError, first_line
from harness.formatting import gibibytes
from harness.inputs.model_source import ModelSource
from harness.installed import source_of
from harness.language import joined, phrase
from harness.machine import gpus
from harness.machine import system as system_info
from harness.machine.system import SystemInfo

PROJECT = Path(__file__).resolve().parents[2]
_LEAST_RAY = re.compile(r'required_version = version\.parse\("([\d.]+)"\)')
_SAME = phrase("the same environment and the same source belong at the same paths on every machine")


def with_others(config: RunConfig, system: SystemInfo, model: ModelSource) -> SystemInfo:
    """This machine together with the others that a run with Ray takes, all of them checked.

    The parallel sizes are resolved. Raises UsageError.
    """
    if config.distributed_executor_backend != "ray":
        return system
    check_release(ray_cluster.release(), least_ray())
    with ray_cluster.connected() as machines:
        check_address(machines[0], address_of_vllm())
        taken = placement(config, machines, capacity.copies_here(config, system))
        others = [machine for machine in taken if not machine.is_here]
        asked = question(model)
        own = ray_probe.look(asked)
        answers = ray_cluster.on_each(others, ray_cluster.by_value(ray_probe).look, asked)
        for machine, answer in zip(others, answers, strict=True):
            check_alike(machine.address, own, answer)
        beside = {machine: taken[machine] for machine in others}
        systems = _systems(config, model, system, beside)
    return replace(system, others=systems)


def check_release(installed: str, least: str | None) -> None:
    """Raises UsageError for a Ray older than the installed vLLM takes."""
    if least is not None and _numbers(installed) < _numbers(least):
        raise UsageError(
            f"{FLAG}: Ray {installed} is installed, and this vLLM wants {least} or newer; "
            "pip install -U 'ray[default]' on every machine."
        )


def least_ray() -> str | None:
    """The oldest Ray that the installed vLLM says it takes; None: it does not say."""
    source = source_of("vllm", "v1/executor/ray_executor.py")
    named = None if source is None else _LEAST_RAY.search(source)
    return None if named is None else named[1]


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", release)[:3])


def address_of_vllm() -> str:
    """The address of this machine that vLLM asks Ray for (vllm/utils/network_utils.py, get_ip).

    vLLM itself would take seconds to be imported, and this is asked before it is needed.
    """
    if given := os.environ.get("VLLM_HOST_IP"):
        return given
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out,
    ):
        out.connect(("8.8.8.8", 80))  # sends nothing: it only chooses the network
        return str(out.getsockname()[0])
    return "0.0.0.0"


def check_address(here: Machine, of_vllm: str) -> None:
    """Raises UsageError where vLLM would ask Ray for a machine that Ray does not know."""
    if here.address != of_vllm:
        raise UsageError(
            f"{FLAG}: Ray knows this machine as {here.address}, and vLLM would take it for "
            f"{of_vllm} and wait without end; set VLLM_HOST_IP={here.address}, or begin Ray with "
            f"`ray start --node-ip-address {of_vllm}`."
        )


def placement(
    config: RunConfig, machines: Sequence[Machine], copies_here: int
) -> dict[Machine, int]:
    """How many GPUs of each machine the run takes, as vLLM places it. Raises UsageError.

    vLLM puts as many copies on each of the others as on this one, and passes a machine by that has
    fewer GPUs free.
    """
    of_a_copy = capacity.gpus_of_a_copy(config)
    asked = left = of_a_copy * config.data_parallel_size
    taken: dict[Machine, int] = {}
    each = copies_here * of_a_copy
    for machine in machines:
        if each <= machine.free_gpus and left:
            taken[machine] = min(each, left)
            left -= taken[machine]
    if left or not any(machine.is_here for machine in taken):
        raise UsageError(_too_few(asked, each, machines))
    return taken


def _too_few(asked: int, each: int, machines: Sequence[Machine]) -> str:
    return phrase(
        "{flag}: the parallel sizes take {asked} GPUs together and vLLM takes {each} of every "
        "machine; of the cluster's machines {there}. Lower the sizes, end what holds the others "
        "(`ray status`), or join more machines.",
        flag=FLAG, asked=asked, each=each, there=joined(", ", map(_gpus_of, machines)),
    )  # fmt: skip


def _gpus_of(machine: Machine) -> str:
    here = phrase(" (this machine)") if machine.is_here else ""
    values = {"address": machine.address, "here": here, "gpus": machine.gpus}
    if machine.free_gpus == machine.gpus:
        return phrase("{address}{here} has {gpus}", **values)
    return phrase(
        "{address}{here} has {gpus}, {free} of them free", **values, free=machine.free_gpus
    )


def question(model: ModelSource) -> Question:
    """What every machine has to have for this model."""
    if model.revision is None or Path(model.path).exists():
        return Question(str(PROJECT), (str(Path(model.path).resolve()),))
    snapshot = f"models--{model.path.replace('/', '--')}/snapshots/{model.revision}"
    return Question(str(PROJECT), (), snapshot, os.environ.get("HF_HUB_CACHE"))


def check_alike(address: str, own: Answer, answer: Answer | Exception) -> None:
    """Raises UsageError where a machine differs from this one in what an engine needs."""
    if isinstance(answer, Exception):
        raise UsageError(
            f"{FLAG}: {address} did not answer ({first_line(answer)}); see `ray status` and its "
            "logs below /tmp/ray/session_latest/logs."
        )
    for name, there in {"Python": answer.python, **answer.releases}.items():
        here = own.python if name == "Python" else own.releases.get(name)
        if here != there:
            raise UsageError(
                phrase(
                    "{flag}: {address} has {there}, and this machine {here}; {same}.",
                    flag=FLAG, address=address, there=_named(name, there),
                    here=_named(name, here), same=_SAME,
                )
            )  # fmt: skip
    if answer.source != own.source:
        if answer.source is None:
            raise UsageError(
                f"{FLAG}: {address} has no copy of this project at {PROJECT}; {_SAME}."
            )
        raise UsageError(
            f"{FLAG}: {address} has another version of this project at {PROJECT}; {_SAME}."
        )
    if answer.missing:
        raise UsageError(
            f"{FLAG}: {address} has no {answer.missing[0]}, where the model is to be loaded from; "
            "put it there, or give --model a folder that every machine sees."
        )
    if answer.host_address not in (None, "", address):
        raise UsageError(
            f"{FLAG}: Ray knows a machine as {address}, whose VLLM_HOST_IP is "
            f"{answer.host_address}; set it to {address} there before `ray start`."
        )


def _named(part: str, release: str | None) -> str:
    return phrase("no {part}", part=part) if release is None else f"{part} {release}"


def _systems(
    config: RunConfig, model: ModelSource, own: SystemInfo, taken: Mapping[Machine, int]
) -> tuple[SystemInfo, ...]:
    """What the other machines are; they run the same source by now. Raises UsageError."""
    share = config.gpu_memory_utilization or DEFAULT_GPU_MEMORY_UTILIZATION
    in_fp8 = weights.kind(config, model) == weights.FP8 and weights.cache_in_fp8(config, model)
    wants_kernels = in_fp8 and attention.compiled()
    systems = []
    seen = ray_cluster.on_each(list(taken), see)
    for (machine, used), there in zip(taken.items(), seen, strict=True):
        if isinstance(there, Exception):
            raise UsageError(
                f"{FLAG}: {machine.address} could not be looked at ({first_line(there)})."
            )
        system, free, compiled = there
        check_gpus(machine.address, own, system, free, share)
        if wants_kernels and not compiled:
            raise UsageError(
                f"{FLAG}: FlashInfer's attention is compiled on this machine and not on "
                f"{machine.address}; compile or install it there as here."
            )
        systems.append(replace(system, gpu_count=used))
    return tuple(systems)


def see() -> tuple[SystemInfo, tuple[int | None, int | None], bool]:
    """What a machine is, the memory of its fullest GPU, and whether FlashInfer is compiled."""
    memory = gpus.free_and_total_memory_bytes()
    return system_info.collect(), memory, attention.compiled()


def check_gpus(
    address: str,
    own: SystemInfo,
    system: SystemInfo,
    memory: tuple[int | None, int | None],
    share: float,
) -> None:
    """Raises UsageError for other GPUs than here, or one that another program holds."""
    if own.gpu_name is not None and system.gpu_name != own.gpu_name:
        no_name = phrase("no GPU that its driver names")
        raise UsageError(
            f"{FLAG}: {address} has {system.gpu_name or no_name}, and this "
            f"machine {own.gpu_name}; what is measured of both would be of neither."
        )
    free, total = memory
    if free is not None and total is not None and share * total > free:
        raise UsageError(
            f"{FLAG}: a GPU of {address} is used by another program, {gibibytes(free)} of its "
            f"{gibibytes(total)} are free and the engine would take {gibibytes(share * total)}; "
            "end that program (nvidia-smi there lists it), or lower --gpu-memory-utilization."
        )
