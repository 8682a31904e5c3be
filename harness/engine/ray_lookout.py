"""What watches over an engine on another machine, as an actor of Ray's there.

It looks at the GPUs once a second and says what it last saw when it is asked. When nobody has
asked for long, the cable to the first machine is cut or that machine is gone: the run is over, and
nobody else is left who could end the engine here.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Sequence

import psutil

from harness.machine import gpu_readings, gpus
from harness.machine.gpu_readings import GpuReadings

LOOK_EVERY_S = 1.0
ALONE_AFTER_S = 40.0


class Lookout:
    """Watches over the processes `pids` and the first `gpu_count` GPUs of its machine."""

    def __init__(
        self, gpu_count: int, pids: Sequence[int], alone_after_s: float = ALONE_AFTER_S
    ) -> None:
        self._gpu_count = gpu_count
        self._engine = [process for pid in pids if (process := _process(pid)) is not None]
        self._alone_after_s = alone_after_s
        self._seen: GpuReadings | None = None
        self._asked_at = time.monotonic()
        threading.Thread(target=self._look_on, name="lookout", daemon=True).start()

    def look(self) -> GpuReadings | None:
        """What it last saw; returns at once. None: nothing yet."""
        self._asked_at = time.monotonic()
        return self._seen

    def _look_on(self) -> None:
        pids = {process.pid for process in self._engine}
        threading.Thread(target=self._read, args=(pids,), name="gpus", daemon=True).start()
        while time.monotonic() - self._asked_at < self._alone_after_s:
            time.sleep(LOOK_EVERY_S)
        for process in self._engine:
            with contextlib.suppress(psutil.Error):  # a number that is another's by now is spared
                process.kill()
        os._exit(0)

    def _read(self, pids: set[int]) -> None:
        """Apart from the watch, as a call to a driver may hang."""
        with gpus.opened(self._gpu_count) as (nvml, devices):
            while True:
                self._seen = gpu_readings.read(nvml, devices, pids)
                time.sleep(LOOK_EVERY_S)


def _process(pid: int) -> psutil.Process | None:
    with contextlib.suppress(psutil.Error):
        return psutil.Process(pid)
    return None
