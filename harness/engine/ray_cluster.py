"""A Ray cluster as a run sees it: its machines, and work that is done on each of them.

The one import of Ray. vLLM connects to the same cluster by itself when the engine is loaded.
"""

from __future__ import annotations

import contextlib
import ctypes
import importlib.metadata
import importlib.util
import os
import re
import signal
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import UsageError, first_line
from harness.language import phrase
from harness.terminal import output_to

_T = TypeVar("_T")
FLAG = "--distributed-executor-backend ray"
ADDRESS = "RAY_ADDRESS"
ANSWER_WITHIN_S = 60.0  # a machine's first task starts a Python there
_CONNECT_WITHIN_S = 5.0
# Ray looks for what workers have said every half a second, and then sends it.
_LAST_WORDS_S = 1.5
_SIGACTION_BYTES = 512  # more than sigaction(2) fills on any Linux
# Ray would wrap each worker's line in colours, and fold lines that workers have in common.
_WORDS = {"RAY_COLOR_PREFIX": "0", "RAY_DEDUP_LOGS": "0", "RAY_USAGE_STATS_ENABLED": "0"}
# Ray would hide all GPUs from work that asks for none, and this work asks about them.
_SEES_GPUS = {"env_vars": {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0"}}
_STARTED_WITH = re.compile(r"Ray: (\S+)\s+Python: (\S+)")


@dataclass(frozen=True)
class Machine:
    """A machine of the cluster, by the address that Ray knows it by."""

    node: str  # Ray's name of it
    address: str
    gpus: int
    free_gpus: int  # that Ray has not promised to anybody
    is_here: bool  # whether it is the one that this runs on
    port: int = 0  # where its Ray listens


@contextlib.contextmanager
def connected() -> Iterator[Sequence[Machine]]:
    """The machines of the cluster, this one first, for as long as the block lasts.

    Raises UsageError where there is none. A connection that is there already is taken and stays.
    """
    _quieten()
    import ray

    if ray.is_initialized():
        yield _machines()
        return
    address = _address()
    try:
        with output_to(Path(os.devnull)), sigterm_handler_kept():  # Ray talks while it connects
            ray.init(address=address, logging_level="error", log_to_driver=False)
    except Exception as error:  # whatever Ray raises here, vLLM would meet while loading
        raise UsageError(_not_connected(address, error)) from error
    # vLLM goes by this; without it, it would start a cluster of this machine alone.
    os.environ[ADDRESS] = address
    try:
        yield _machines()
    finally:
        disconnect(last_words_s=0.0)  # none are asked for here


def _quieten() -> None:
    """Before Ray is imported, which reads them then; the user's own values win."""
    for name, value in _WORDS.items():
        os.environ.setdefault(name, value)


def disconnect(last_words_s: float = _LAST_WORDS_S) -> None:
    """Ends the connection to Ray, whoever made it; the cluster stays up.

    What its workers have said is written by then, in as far as it comes within so long.
    """
    if importlib.util.find_spec("ray") is None:
        return
    import ray

    if ray.is_initialized():
        time.sleep(last_words_s)
        with sigterm_handler_kept():
            ray.shutdown()


@contextlib.contextmanager
def sigterm_handler_kept() -> Iterator[None]:
    """Keeps what this process does when it is terminated.

    Ray, connecting, has the process aborted three seconds after a SIGTERM, and takes all handlers
    away when it disconnects. Python's own `signal` works in the main thread alone.
    """
    if threading.current_thread() is threading.main_thread():
        before = signal.getsignal(signal.SIGTERM)
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, before)
        return
    libc, action = ctypes.CDLL(None), ctypes.create_string_buffer(_SIGACTION_BYTES)
    libc.sigaction(signal.SIGTERM, None, action)
    try:
        yield
    finally:
        libc.sigaction(signal.SIGTERM, action, None)


def on_each(
    machines: Sequence[Machine], function: Callable[..., _T], *arguments: Any
) -> list[_T | Exception]:
    """What `function` returns on each machine, or why there is no answer.

    What it returns has to be of a class that the machine knows.
    """
    import ray

    work = ray.remote(function)
    references = [
        work.options(scheduling_strategy=_on(machine), num_cpus=0, runtime_env=_SEES_GPUS).remote(
            *arguments
        )
        for machine in machines
    ]
    ray.wait(references, num_returns=len(references), timeout=ANSWER_WITHIN_S)
    return [_answer(reference) for reference in references]


def place(kind: type, machine: Machine, *arguments: Any) -> Any:
    """An actor of that class on a machine, which knows the class; returns before it is there."""
    import ray

    actor = ray.remote(kind).options(
        scheduling_strategy=_on(machine), num_cpus=0, runtime_env=_SEES_GPUS
    )
    return actor.remote(*arguments)


def end(actor: Any) -> None:
    """Ends an actor, where it and Ray are still there."""
    import ray

    with contextlib.suppress(Exception):
        ray.kill(actor)


def arrived(references: Sequence[Any], within_s: float = 0) -> list[Any]:
    """What those of the references hold that have come in: a value, or the error instead of it."""
    import ray

    if not references:
        return []
    done, _ = ray.wait(list(references), num_returns=len(references), timeout=within_s)
    return [_answer(reference) for reference in done]


def actors_of(programs: Collection[int]) -> dict[str, list[int]]:
    """The processes of the actors that programs of this machine have started, by `Machine.node`."""
    import ray
    from ray._private import state

    here = ray.util.get_node_ip_address()
    jobs = {
        job["JobID"]
        for job in state.jobs()
        if job["DriverPid"] in programs and job["DriverIPAddress"] == here
    }
    pids: dict[str, list[int]] = {}
    for actor in state.actors(actor_state_name="ALIVE").values():
        if actor["JobID"] in jobs:
            pids.setdefault(actor["Address"]["NodeID"], []).append(actor["Pid"])
    return pids


def by_value(module: Any) -> Any:
    """The module, whose functions and classes Ray carries to the others as they stand here."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(module)
    return module


def _answer(reference: Any) -> Any:
    import ray

    try:
        return ray.get(reference, timeout=0)
    except Exception as error:  # the caller says what it means
        return error


def _on(machine: Machine) -> Any:
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return NodeAffinitySchedulingStrategy(machine.node, soft=False)


def _machines() -> list[Machine]:
    import ray
    from ray._private.state import available_resources_per_node  # as vLLM does

    here = ray.get_runtime_context().get_node_id()
    free = available_resources_per_node()
    machines = [
        Machine(
            node=node["NodeID"],
            address=node["NodeManagerAddress"],
            gpus=int(node["Resources"].get("GPU", 0)),
            free_gpus=int(free.get(node["NodeID"], {}).get("GPU", 0)),
            is_here=node["NodeID"] == here,
            port=node["NodeManagerPort"],
        )
        for node in ray.nodes()
        if node["Alive"]
    ]
    return sorted(machines, key=lambda machine: (not machine.is_here, machine.address))


def _address() -> str:
    """Where the cluster is to be found. Raises UsageError where nobody answers there."""
    from ray._private import services  # what `ray status` goes by

    given = os.environ.get(ADDRESS, "").strip()
    address = (
        given if given not in ("", "auto") else services.canonicalize_bootstrap_address("auto")
    )
    if address in (None, "local"):
        raise UsageError(
            f"{FLAG}: no Ray cluster runs here; begin one on this machine with "
            "`ray start --head --port 6379`, and join the others with `ray start --address "
            "FIRST:6379`."
        )
    if "://" in address:
        raise UsageError(
            f"{ADDRESS}={address}: vLLM needs the address of the cluster itself, such as "
            f"{ADDRESS}=10.0.0.1:6379."
        )
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_WITHIN_S).close()
    except (OSError, ValueError) as error:
        whence = ADDRESS if given else phrase("the last `ray start` on this machine")
        raise UsageError(
            f"{FLAG}: no Ray cluster answers at {address} ({first_line(error)}), which {whence} "
            "names; begin it with `ray start`, or correct the address."
        ) from error
    return str(address)


def _not_connected(address: str, error: Exception) -> str:
    versions = _STARTED_WITH.findall(str(error))
    if len(versions) == 2 and versions[0] != versions[1]:
        (ray_there, python_there), (ray_here, python_here) = versions
        return (
            f"{FLAG}: the cluster at {address} was started with Ray {ray_there} on Python "
            f"{python_there}, and here are Ray {ray_here} and Python {python_here}; start it with "
            "the `ray` of this Python's environment, on every machine."
        )
    return (
        f"{FLAG}: Ray at {address} does not take this machine ({first_line(error)}); `ray status` "
        "must list it: join it with `ray start`."
    )


def release() -> str:
    """Ray's, as installed here."""
    return importlib.metadata.version("ray")
