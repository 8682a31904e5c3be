"""What an engine needs of the process that starts it, refused in a sentence where it lacks."""

from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig
from harness.engine import process_needs
from harness.errors import UsageError


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("VLLM_CPU_KVCACHE_SPACE", "much", "invalid literal for int"),
        ("VLLM_WORKER_MULTIPROC_METHOD", "frok", "Valid options: ['spawn', 'fork']"),
    ],
)
def test_a_variable_that_vllm_cannot_read_is_refused(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(UsageError) as refused:
        process_needs.check_variables()

    text = str(refused.value)
    assert text.startswith(f"{name}={value}: vLLM cannot read this variable (")
    assert said in text
    assert text.endswith("); correct or unset it.")


def test_a_variable_that_vllm_does_not_know_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "ERROR")
    monkeypatch.setenv("VLLM_LOGING_LEVEL", "ERROR")

    process_needs.check_variables()
    note = process_needs.note_on_variables()

    assert note is not None
    assert "does not know VLLM_LOGING_LEVEL and ignores it" in note
    monkeypatch.delenv("VLLM_LOGING_LEVEL")
    assert process_needs.note_on_variables() is None


@pytest.mark.parametrize(
    ("flags", "model", "device", "noted"),
    [
        ("fpu avx avx2 fma", "small", "cpu", True),
        ("fpu avx avx2 avx512f avx512bw", "small", "cpu", False),
        ("fpu avx avx2 fma", "demo", "cpu", False),
        ("fpu avx avx2 fma", "small", "gpu", False),
        (None, "small", "cpu", False),  # no x86
    ],
)
def test_a_processor_without_bf16_is_told_of(
    flags: str | None, model: str, device: str, noted: bool, tmp_path: Path
) -> None:
    (tmp_path / "proc").mkdir()
    line = "Features : fp asimd" if flags is None else f"flags\t\t: {flags}"
    (tmp_path / "proc" / "cpuinfo").write_text(f"model name\t: a CPU\n{line}\n\n")

    note = process_needs.note_on_bf16(RunConfig(model=model), device, tmp_path)

    assert (note is not None and "multiplies bf16 slowly" in note) == noted


def test_without_vllm_nothing_is_said_of_its_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_LOGING_LEVEL", "ERROR")
    monkeypatch.setattr(process_needs, "module_of", lambda _library, _file: None)

    process_needs.check_variables()
    assert process_needs.note_on_variables() is None


def limited(soft: int, hard: int) -> subprocess.CompletedProcess[str]:
    code = (
        "import resource\n"
        f"resource.setrlimit(resource.RLIMIT_NOFILE, ({soft}, {hard}))\n"
        "from harness.engine import process_needs\n"
        "process_needs.check_open_files()\n"
        "print(resource.getrlimit(resource.RLIMIT_NOFILE)[0])\n"
    )
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)


def test_a_low_limit_on_open_files_is_raised_where_that_suffices() -> None:
    most = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 4096)

    assert limited(64, most).stdout == f"{most}\n"
    assert limited(1024, most).stdout == "1024\n"


def test_too_few_open_files_are_refused_with_the_way_out() -> None:
    done = limited(64, 128)

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == (
        "harness.errors.UsageError: This process may have 128 files open, and an engine needs up "
        "to 256; allow it more: ulimit -n 1024 (docker: --ulimit nofile=1024)."
    )


@pytest.mark.parametrize(
    ("device", "settings"),
    [("cpu", {"enforce_eager": True}), ("gpu", {"enforce_eager": False}), ("gpu", {})],
)
def test_no_compiler_is_asked_for_where_none_is_needed(
    device: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CXX", "/nowhere/c++")

    process_needs.check_compiler(settings, device)


def test_a_model_is_not_compiled_on_a_cpu_without_a_compiler(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CXX", "/nowhere/c++")

    with pytest.raises(UsageError, match=r"enforce_eager=false: .* no /nowhere/c\+\+ here"):
        process_needs.check_compiler({"enforce_eager": False}, "cpu")


def test_a_compiler_that_is_there_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", sys.executable)

    process_needs.check_compiler({"enforce_eager": False}, "cpu")
