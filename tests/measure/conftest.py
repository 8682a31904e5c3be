"""What tests of this package share: prepared runs, machines to check."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.config import RunConfig
from harness.engine import attention
from harness.machine import gpu_state, gpus
from harness.measure import check_software, preparation, runs
from harness.measure.preparation import Prepared
from tests.engine.plans import machine
from tests.inputs.hub_server import point_at
from tests.measure.checked import GIB, OneGpu


@pytest.fixture
def prepared(tmp_path: Path) -> list[Prepared]:
    config = RunConfig(
        model="demo",
        dataset="sample",
        mode="performance",
        total_sample_count=4,
        results_dir=str(tmp_path / "results"),
        keep_all=False,
    )
    first = preparation.prepare(config, lambda _text: None)
    return [
        preparation.prepare(each, lambda _text: None, like=first)
        for each in runs.configs(first.config)
    ]


def give_own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cache and a results folder of the test's own; no token."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    point_at("http://127.0.0.1:9", monkeypatch, tmp_path)


@pytest.fixture
def cpu_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with the CPU build and no GPU, whatever it is in truth."""
    give_own_folders(tmp_path, monkeypatch)
    system = dataclasses.replace(
        machine(), gpu_count=0, gpu_name=None, vllm_version=check_software._listed("cpu")
    )
    monkeypatch.setattr(check_software, "device", lambda: "cpu")
    monkeypatch.setattr("harness.engine.vllm.installed_build", lambda: "cpu")
    monkeypatch.setattr("harness.machine.system.collect", lambda: system)


@pytest.fixture
def gpu_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> OneGpu:
    """A machine with the CUDA build and one H100."""
    give_own_folders(tmp_path, monkeypatch)
    one = OneGpu()
    monkeypatch.setattr(check_software, "device", lambda: "gpu")
    monkeypatch.setattr("harness.engine.vllm.installed_build", lambda: "gpu")
    monkeypatch.setattr(check_software, "_cuda_of_torch", lambda: "13.0")
    monkeypatch.setattr("harness.machine.system.collect", lambda: one.system)
    monkeypatch.setattr(gpu_state, "collect", lambda _first: [one.state])
    monkeypatch.setattr(attention, "compiled", lambda: True)
    monkeypatch.setattr(
        gpus, "free_and_total_memory_bytes", lambda *_first: (one.free_bytes, 80 * GIB)
    )
    return one
