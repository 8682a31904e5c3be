"""An engine's loading: given up where it would never end, and the limits it loads under."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import types
from typing import Any

import pytest

from harness import variables
from harness.engine import life
from harness.engine.settings import Sampling
from harness.engine.vllm import Engine
from harness.errors import EngineError
from tests.engine.plans import plan_for


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


class LookingEngine(Engine):
    """Notes the limit on a step that its processes would take over."""

    limit: str | None = None

    def _load(self) -> None:
        self.limit = os.environ.get("VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS")


def test_an_engine_that_may_be_slow_is_not_given_up_by_vllm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS", raising=False)
    monkeypatch.setattr(variables, "set_those_of_vllm", lambda: None)
    engine = LookingEngine(plan_for(stall_timeout_s=3600.0), Sampling(128, 2))
    monkeypatch.setitem(sys.modules, "vllm", types.ModuleType("vllm"))  # nothing to inspect beside

    engine.load()

    assert engine.limit == "7260"  # of two steps that are handed out at once
    assert "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS" not in os.environ


class NotedInspection:
    """Does nothing, and notes what it was told."""

    def __init__(self) -> None:
        self.told: list[object] = []

    def begin(self, architectures: object) -> None:
        self.told.append(architectures)

    def end(self) -> None:
        self.told.append("end")


@pytest.mark.parametrize("imported", [False, True])
def test_the_models_class_is_inspected_beside_an_import_of_vllm(
    imported: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(variables, "set_those_of_vllm", lambda: None)
    monkeypatch.setattr("harness.engine.vllm.Inspection", NotedInspection)
    engine: Any = LookingEngine(plan_for(), Sampling(128, 2))
    monkeypatch.setitem(sys.modules, "vllm", types.ModuleType("vllm"))
    if not imported:
        monkeypatch.delitem(sys.modules, "vllm")

    engine.load()

    begun = [] if imported else [["LlamaForCausalLM"]]
    assert engine._inspection.told == [*begun, "end"]
