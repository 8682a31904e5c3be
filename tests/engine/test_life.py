"""An engine's loading: given up where it would never end."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
from typing import Any

import pytest

from harness.engine import life
from harness.errors import EngineError


class StoppedEngine:
    """Its one process is stopped before it is up."""

    def load(self) -> None:
        self.process = subprocess.Popen(["sleep", "60"])
        self.process.send_signal(signal.SIGSTOP)
        self.process.wait()
        raise EngineError("The engine did not start: its process is gone")

    def abandon(self) -> bool:
        return True


def test_an_engine_whose_process_is_stopped_while_it_loads_is_given_up(
    caplog: pytest.LogCaptureFixture,
) -> None:
    engine: Any = StoppedEngine()

    with pytest.raises(EngineError, match=r"its process \d+ has been stopped for 0.2 s"):
        asyncio.run(life.load(engine, stall_timeout_s=0.2))

    assert engine.process.poll() is not None
    gc.collect()  # asyncio complains of an error that nobody asked for
    assert caplog.records == []
