"""The other machines of an engine while it works: what their GPUs do, and whether all are there.

Neither vLLM nor Ray says in time that a machine is gone: Ray waits for over a minute where a cable
is cut, and vLLM 0.26 does not hear that a worker of a copy has ended.
"""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import threading
import time
from collections.abc import Iterable, Sequence
from typing import Any

from harness import processes
from harness.engine import ray_causes, ray_cluster
from harness.engine.ray_cluster import Machine
from harness.engine.ray_lookout import Lookout
from harness.errors import EngineError, UsageError, first_line
from harness.language import phrase
from harness.machine.gpu_readings import GpuReadings

log = logging.getLogger("harness")

LOOK_EVERY_S = 1.0
SILENT_AFTER_S = 15.0  # a machine that is asked every second
STALE_AFTER_S = 3.0  # what a machine said of its GPUs
LAST_WORDS_S = 8.0  # until it is known which machine is gone
START_WITHIN_S = 30.0  # a Python there
_REACH_WITHIN_S = 3.0


class Post:
    """Another machine, and what watches there."""

    def __init__(self, machine: Machine, actor: Any) -> None:
        self.machine = machine
        self.readings: GpuReadings | None = None
        self.is_silent = False  # for good: nothing watches there any more
        self._actor = actor
        self._asked: Any = actor.look.remote()
        self._answered_at = time.monotonic()

    def look(self, within_s: float = 0) -> None:
        """Takes the answer that has come, and asks anew; waits for it so long."""
        for answer in [] if self.is_silent else ray_cluster.arrived([self._asked], within_s):
            if isinstance(answer, Exception):
                self.is_silent = True
                address = self.machine.address
                log.warning("nothing watches %s any more: %s", address, first_line(answer))
                return
            self.readings = answer
            self._answered_at = time.monotonic()
            self._asked = self._actor.look.remote()

    def end(self) -> None:
        """Ends what watches there."""
        ray_cluster.end(self._actor)

    def recent(self) -> GpuReadings | None:
        """What its GPUs did just now."""
        return self.readings if self._quiet_s() < STALE_AFTER_S else None

    def loss(self) -> str | None:
        """Why the machine is no longer part of the run; None: it is, as far as is known."""
        if self.is_silent or self._quiet_s() > SILENT_AFTER_S:
            return absence(self.machine)
        return None

    def _quiet_s(self) -> float:
        """How long it has said nothing."""
        return time.monotonic() - self._answered_at


def absence(machine: Machine) -> str | None:
    """Why a machine's Ray cannot be spoken to; None: it can."""
    address = machine.address
    try:
        socket.create_connection((address, machine.port), _REACH_WITHIN_S).close()
    except ConnectionRefusedError:
        return phrase("Ray on {address} has ended", address=address)
    except OSError as error:
        return phrase("{address} cannot be reached any more: {error}", address=address, error=error)
    return None


class Watch:
    """Asks the other machines every second, in a thread of its own, from `start` to `stop`.

    When part of the engine is gone, it fails all that waits for an answer. Not started, it knows
    of no other machine.
    """

    def __init__(self) -> None:
        self.pids_here: Sequence[int] = ()  # the engine's on this machine, which belong to Ray
        self._expected = 0
        self._core: Any = None  # vLLM's client of its engine
        self._posts: list[Post] = []
        self._reason: str | None = None
        self._connection = contextlib.ExitStack()
        self._ended = threading.Event()
        self._known = threading.Event()  # why part of the engine is gone
        self._thread = threading.Thread(target=self._look_on, name="machines", daemon=True)

    def start(self, expected: int, core: Any) -> None:
        """Begins to watch those machines whose GPUs the engine has; there should be so many."""
        self._expected, self._core = expected, core
        try:
            machines = self._connection.enter_context(ray_cluster.connected())
        except UsageError as error:
            log.warning("the other machines are not watched: %s", error)
            return
        taken = [m for m in machines if not m.is_here and m.free_gpus < m.gpus]
        pids = ray_cluster.actors_of({os.getpid(), *processes.children()})
        self.pids_here = [pid for m in machines if m.is_here for pid in pids.get(m.node, [])]
        for machine in taken:
            gpus, mine = machine.gpus - machine.free_gpus, pids.get(machine.node, [])
            self._posts.append(Post(machine, ray_cluster.place(Lookout, machine, gpus, mine)))
        give_up = time.monotonic() + START_WITHIN_S
        for post in self._posts:
            post.look(max(0, give_up - time.monotonic()))
        log.info("watching %s", ", ".join(m.address for m in taken) or "no other machine")
        self._thread.start()

    def stop(self) -> None:
        """Ends it, with what it has on the machines."""
        self._ended.set()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout=2 * _REACH_WITHIN_S)
        for post in self._posts:
            post.end()
        self._connection.close()

    def readings(self) -> list[GpuReadings | None]:
        """What the GPUs of each other machine did just now; None of one that says nothing."""
        if self._reason is not None:  # nobody is asked any more
            return [None] * max(self._expected, len(self._posts))
        missing = max(0, self._expected - len(self._posts))
        return [*(post.recent() for post in self._posts), *[None] * missing]

    def reason(self) -> str | None:
        """Why part of the engine is gone, once that is known; blocks. None: nothing is."""
        if self._thread.is_alive():
            self._known.wait(LAST_WORDS_S)
        return self._reason

    def _look_on(self) -> None:
        while not self._ended.wait(LOOK_EVERY_S):
            for post in self._posts:
                post.look()
            reason = _first(post.loss() for post in self._posts) or self._ended_copy()
            if reason is not None and not self._ended.is_set():
                log.error("part of the engine is gone: %s", reason)
                self._reason = reason
                self._known.set()
                self._fail()
                return

    def _fail(self) -> None:
        """Has vLLM fail all requests, as it does when it sees for itself that an engine is dead."""
        resources = self._core.resources
        resources.engine_dead = True
        if resources.output_queue_task is not None:  # somebody waits for answers
            loop = resources.output_queue_task.get_loop()
            loop.call_soon_threadsafe(self._core.outputs_queue.put_nowait, EngineError("gone"))

    def _ended_copy(self) -> str | None:
        """Why a copy of the model has ended; None: none has."""
        runs = list(getattr(self._core.resources.engine_manager, "run_refs", ()))
        ends = [str(end) for end in ray_cluster.arrived(runs)]
        if not ends:
            return None
        # Once one has ended, vLLM ends the others.
        first = min(ends, key=ray_causes.was_asked_to_end)
        # A machine that is gone has taken its copies along, and not each error names it.
        gone = _first(absence(post.machine) for post in self._posts)
        return gone or ray_causes.of_ray(first) or f"a copy of the model has ended ({first})"


def _first(reasons: Iterable[str | None]) -> str | None:
    return next(filter(None, reasons), None)
