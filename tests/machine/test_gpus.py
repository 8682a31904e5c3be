"""GPUs by a driver of three, with some of them hidden, and without any driver."""

from __future__ import annotations

import sys

import pytest

from harness.machine import gpus
from harness.machine import system as system_info
from tests.machine.nvml_doubles import GIB, FakeNvml


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> FakeNvml:
    fake = FakeNvml()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return fake


def test_gpus_are_described(nvml: FakeNvml) -> None:
    info = system_info.collect()
    assert (info.gpu_count, info.gpu_name, info.gpu_memory_bytes) == (3, "NVIDIA H200", 80 * GIB)
    assert (info.driver_version, info.cuda_version) == ("580.65.06", "13.1")
    assert nvml.open == 0


def test_the_energy_is_that_of_all_visible_gpus(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert gpus.energy_joules() == 1 + 2 + 3
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,2")
    assert gpus.energy_joules() == 2 + 3
    assert nvml.open == 0


@pytest.mark.parametrize(
    ("visible", "count", "free_gib"),
    [("0,1,2", 3, 4), ("0, 2", 2, 7), ("2", 1, 7), ("GPU-two", 1, 7), ("0,9,1", 1, 10)],
)
def test_only_the_gpus_cuda_shows_count(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, visible: str, count: int, free_gib: int
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus.collect().count == count
    assert gpus.free_and_total_memory_bytes() == (free_gib * GIB, 80 * GIB)
    assert nvml.open == 0


@pytest.mark.parametrize("visible", ["", "-1", "GPU-unknown", "1,1"])
def test_a_process_without_visible_gpus_has_none(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert gpus.collect().count == 0
    assert gpus.free_and_total_memory_bytes() == (None, None)
    assert nvml.open == 0


@pytest.mark.parametrize("module", [FakeNvml(broken=True), None])
def test_without_driver_or_pynvml_there_are_no_gpus(
    monkeypatch: pytest.MonkeyPatch, module: FakeNvml | None
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", module)
    info = system_info.collect()
    assert (info.gpu_count, info.gpu_name, info.gpu_memory_bytes) == (0, None, None)
    assert (info.driver_version, info.cuda_version) == (None, None)
    assert gpus.free_and_total_memory_bytes() == (None, None)
    assert gpus.energy_joules() is None
