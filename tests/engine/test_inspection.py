"""What vLLM asks about a model's class is found out beside its import, and left to vLLM else."""

from __future__ import annotations

import sys
from pathlib import Path

import psutil
import pytest

from harness.engine.inspection import Inspection, beside

LLAMA = "LlamaForCausalLM"
KEPT = f"vllm-model_executor-models-llama-{LLAMA}.json"


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where vLLM keeps what it found out; nothing is there yet."""
    monkeypatch.setenv("VLLM_CACHE_ROOT", str(tmp_path))
    return tmp_path / "modelinfos"


def test_vllm_takes_what_was_found_out(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from vllm.model_executor.models import registry

    inspection = Inspection()
    inspection.begin(["NoSuchModel", LLAMA])  # what vLLM does not know is left to it
    inspection.wait()

    assert [file.name for file in kept.iterdir()] == [KEPT]

    def started_again(_look: object) -> None:
        raise AssertionError("vLLM starts a process of its own")

    monkeypatch.setattr(registry, "_run_in_subprocess", started_again)
    assert registry.ModelRegistry.models[LLAMA].inspect_model_cls().is_text_generation_model


def test_nothing_is_started_for_what_vllm_has_kept(kept: Path) -> None:
    kept.mkdir()
    (kept / KEPT).write_text("{}")
    before = psutil.Process().children(recursive=True)

    inspection = Inspection()
    inspection.begin([LLAMA])
    inspection.begin([])

    assert psutil.Process().children(recursive=True) == before
    inspection.wait()
    inspection.end()


def test_a_first_import_has_it_beside_itself(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with beside([LLAMA]):
        pass
    assert not kept.exists()  # it is not the first

    monkeypatch.delitem(sys.modules, "vllm")
    with beside([LLAMA]):
        pass
    assert [file.name for file in kept.iterdir()] == [KEPT]


def test_it_ends_when_loading_is_given_up(kept: Path) -> None:
    before = psutil.Process().children(recursive=True)
    running, late = Inspection(), Inspection()
    running.begin([LLAMA])
    assert len(psutil.Process().children(recursive=True)) > len(before)

    running.end()
    running.wait()
    late.end()
    late.begin([LLAMA])

    assert not kept.exists()  # it had no time to find anything out
    left = psutil.Process().children(recursive=True)
    assert [child for child in left if child not in before and _is_ours(child)] == []


def _is_ours(child: psutil.Process) -> bool:
    """Not multiprocessing's resource tracker, which goes on."""
    return "resource_tracker" not in " ".join(child.cmdline())
