"""Whether the engine's processes can meet."""

from __future__ import annotations

import socket
import tempfile
import uuid
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.machine import sockets


@pytest.fixture(autouse=True)
def no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(sockets.VARIABLE_OF_VLLM, raising=False)
    monkeypatch.setattr(tempfile, "tempdir", None)  # so that TMPDIR is looked at anew


def folder_of_bytes(root: Path, length: int) -> Path:
    """A folder whose whole path is so long."""
    folder = root / ("x" * (length - len(str(root)) - 1))
    folder.mkdir()
    return folder


@pytest.fixture
def short_root() -> Path:
    return Path(tempfile.mkdtemp(dir="/tmp"))


@pytest.mark.parametrize("variable", ["TMPDIR", sockets.VARIABLE_OF_VLLM])
def test_a_folder_with_a_path_too_long_for_sockets_is_refused(
    monkeypatch: pytest.MonkeyPatch, short_root: Path, variable: str
) -> None:
    longest = folder_of_bytes(short_root, 70)
    monkeypatch.setenv(variable, str(longest))
    sockets.check()
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(f"{longest}/{uuid.uuid4()}")  # that is no byte too many

    too_long = folder_of_bytes(short_root, 71)
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setenv(variable, str(too_long))
    with pytest.raises(UsageError) as refused:
        sockets.check()
    assert str(refused.value) == (
        f"{variable}={too_long}: this path has 71 bytes, and the sockets of the engine allow 70 at "
        f"most; use a shorter one, for example {variable}=/tmp."
    )
    with (
        socket.socket(socket.AF_UNIX) as one,
        pytest.raises(OSError, match="AF_UNIX path too long"),
    ):
        one.bind(f"{too_long}/{uuid.uuid4()}")


def test_a_folder_for_sockets_that_is_not_there_is_refused(
    monkeypatch: pytest.MonkeyPatch, short_root: Path
) -> None:
    monkeypatch.setenv(sockets.VARIABLE_OF_VLLM, str(short_root / "none"))

    with pytest.raises(UsageError, match="there is no such folder that can be written, and the en"):
        sockets.check()


def test_a_machine_without_a_temporary_folder_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/no/such/folder"])

    with pytest.raises(UsageError, match="There is no temporary folder that can be written"):
        sockets.check()
