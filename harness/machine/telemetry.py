"""What the GPUs and the processes of this run do, looked at once a second while a test runs.

A thread of its own looks, and the driver's calls let other threads go on meanwhile.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from harness.machine import gpu_readings, gpus
from harness.machine.gpu_readings import GpuReadings
from harness.metrics import EngineState, TelemetryPoint
from harness.processes import is_of_vllm

LOOK_EVERY_S = 1.0
FAMILY_EVERY_S = 10.0  # asking who our processes are reads all of /proc
_MIB = 2**20
# What the GPUs of each other machine do; None for one that does not answer.
Elsewhere = Callable[[], Sequence[GpuReadings | None]]


class Telemetry:
    """Looks at the machine from `start` to `stop`; `points` holds a row for each second.

    `since` gives the moment of the first query (time.monotonic), None before it: earlier seconds
    are not noted. `engine` gives what the engine last said of itself; it takes the first
    `gpu_count` GPUs (None: all), and `elsewhere` gives what those of other machines do. `of_ray`
    are processes of this run that are not below this one.
    """

    def __init__(
        self,
        since: Callable[[], float | None],
        engine: Callable[[], EngineState | None],
        gpu_count: int | None = None,
        elsewhere: Elsewhere = list,
        of_ray: Callable[[], Sequence[int]] = tuple,
    ) -> None:
        self.points: list[TelemetryPoint] = []
        self._gpu_count = gpu_count
        self._elsewhere = elsewhere
        self._of_ray = of_ray
        self._since = since
        self._engine = engine
        self._before: EngineState | None = None
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on, name="telemetry", daemon=True)

    def start(self) -> None:
        """Begins to look; the engine's counts are from now on."""
        self._before = self._engine()
        self._thread.start()

    def stop(self) -> None:
        """Ends it; a call to the driver that hangs is not waited for."""
        self._ended.set()
        self._thread.join(timeout=3 * LOOK_EVERY_S)

    def _look_on(self) -> None:
        processes = _Processes(self._of_ray())
        with gpus.opened(self._gpu_count) as (nvml, devices):
            while not self._ended.wait(LOOK_EVERY_S):
                began_at = self._since()
                usage = processes.usage()  # a share of the time since the last look
                if began_at is None:
                    continue
                here = gpu_readings.read(nvml, devices, processes.pids)
                point = TelemetryPoint(
                    time_s=time.monotonic() - began_at,
                    **gpu_readings.columns([here, *self._elsewhere()]),
                    **usage,
                    **_engine_columns(self._engine(), self._before),
                )
                if not self._ended.is_set():
                    self.points.append(point)


@contextlib.contextmanager
def watching(
    since: Callable[[], float | None],
    engine: Callable[[], EngineState | None],
    gpu_count: int | None = None,
    elsewhere: Elsewhere = list,
    of_ray: Callable[[], Sequence[int]] = tuple,
) -> Iterator[Telemetry]:
    """Telemetry of what happens in the block."""
    telemetry = Telemetry(since, engine, gpu_count, elsewhere, of_ray)
    telemetry.start()
    try:
        yield telemetry
    finally:
        telemetry.stop()


def _engine_columns(state: EngineState | None, before: EngineState | None) -> dict[str, Any]:
    if state is None:
        return {}
    return {
        "engine_steps": state.steps - (before.steps if before else 0),
        "engine_tokens": state.tokens - (before.tokens if before else 0),
        "engine_preemptions": state.preemptions - (before.preemptions if before else 0),
        "engine_running": state.running,
        "engine_waiting": state.waiting,
        "kv_cache_percent": state.kv_cache_percent,
    }


class _Processes:
    """CPU time and memory of this process, all below it, and those of the engine's at Ray."""

    def __init__(self, of_ray: Sequence[int] = ()) -> None:
        import psutil

        self._psutil = psutil
        self._own = psutil.Process()
        self._of_ray = []
        for pid in of_ray:
            with contextlib.suppress(psutil.Error):
                self._of_ray.append(psutil.Process(pid))
        self._family = [self._own]
        self._of_engine: list[int] = []
        self._asked_at = float("-inf")
        self._last: dict[int, float] = {}
        self._last_at = time.monotonic()

    @property
    def pids(self) -> set[int]:
        """The processes of this run, as last seen."""
        return {process.pid for process in self._family}

    def usage(self) -> dict[str, Any]:
        """CPU time since the last look as a share of one core, and the memory held."""
        now = time.monotonic()
        if now - self._asked_at > FAMILY_EVERY_S:
            self._asked_at = now
            below = self._own.children(recursive=True)
            self._family = [self._own, *below, *self._of_ray]
            self._of_engine = [p.pid for p in below if is_of_vllm(p)]
            self._of_engine += [p.pid for p in self._of_ray]
        seconds: dict[int, float] = {}
        memory_bytes = 0
        for process in self._family:
            with contextlib.suppress(self._psutil.Error), process.oneshot():
                times = process.cpu_times()
                seconds[process.pid] = times.user + times.system
                memory_bytes += process.memory_info().rss
        passed_s, before = now - self._last_at, self._last
        self._last, self._last_at = seconds, now
        spent = {pid: seconds[pid] - before[pid] for pid in seconds if pid in before}
        own = spent.get(self._own.pid)
        of_engine = [spent[pid] for pid in self._of_engine if pid in spent]
        return {
            "client_cpu_percent": None if own is None else 100 * own / passed_s,
            "processes_cpu_percent": 100 * sum(spent.values()) / passed_s if spent else None,
            "engine_cpu_percent": 100 * max(of_engine) / passed_s if of_engine else None,
            "processes_memory_mib": memory_bytes / _MIB,
        }
