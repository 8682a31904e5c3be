"""MLCommons' own files of articles: downloads that go well or do not, and files known again."""

from __future__ import annotations

import errno
import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.errors import UsageError
from harness.inputs import downloads, official_files
from harness.inputs.official_files import OFFICIAL_FILES, ensure, verify
from harness.rounds import V5_1
from tests.inputs.file_server import FileServer, serving

FLAG = "fetch dataset"
NAME = "sample_cnn_eval_5000.json"
CONTENT = b'[{"input": "A story."}]' * 1000


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "mlperf-llama31-vllm"


@pytest.fixture
def storage(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Iterator[FileServer]:
    """MLCommons' storage on this machine, whose edge file is another one."""
    file = replace(OFFICIAL_FILES["edge"], sha256=hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setitem(OFFICIAL_FILES, "edge", file)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    cache.mkdir()
    with serving() as server:
        server.content = CONTENT
        monkeypatch.setattr(official_files, "FOLDER", server.url)
        yield server


def refusal() -> str:
    with pytest.raises(UsageError) as refused:
        ensure("edge", FLAG)
    assert str(refused.value).startswith(f"{FLAG}: ")
    return str(refused.value)


def shown(folder: Path) -> list[str]:
    """What a person sees in the folder."""
    return [path.name for path in folder.iterdir() if not path.name.startswith(".")]


def test_every_category_has_its_file() -> None:
    assert OFFICIAL_FILES.keys() == {"datacenter", "edge"}
    assert f"{V5_1.edge.dataset_samples}.json" in OFFICIAL_FILES["edge"].name
    assert all(len(bytes.fromhex(file.sha256)) == 32 for file in OFFICIAL_FILES.values())


def test_a_file_is_downloaded_once_and_verified(storage: FileServer, cache: Path) -> None:
    assert ensure("edge", FLAG) == ensure("edge", FLAG) == cache / NAME

    assert (cache / NAME).read_bytes() == CONTENT
    assert storage.ranges_asked == [None]


def test_a_damaged_file_is_downloaded_anew(storage: FileServer, cache: Path) -> None:
    (cache / NAME).write_bytes(CONTENT[:-1])

    assert ensure("edge", FLAG).read_bytes() == CONTENT
    assert storage.ranges_asked == [None]


def test_a_repeated_command_goes_on_where_the_download_broke_off(
    storage: FileServer, cache: Path
) -> None:
    storage.breaks_after = [9000, 0]

    assert "broke off after 0.0 MB of 0.0 MB" in refusal()
    assert shown(cache) == []
    assert ensure("edge", FLAG).read_bytes() == CONTENT
    assert storage.ranges_asked == [None, "bytes=9000-", "bytes=9000-"]


def test_an_interrupted_download_leaves_no_file(
    storage: FileServer, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_url: str, part: Path, *_rest: Any) -> None:
        part.write_bytes(CONTENT[:700])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(downloads, "_append", interrupted)
        ensure("edge", FLAG)

    assert shown(cache) == []
    assert ensure("edge", FLAG).read_bytes() == CONTENT
    assert storage.ranges_asked == ["bytes=700-"]


def test_another_file_than_the_expected_one_is_refused_and_deleted(
    storage: FileServer, cache: Path
) -> None:
    storage.content = CONTENT.replace(b"story", b"STORY")

    assert "is not the file that was expected" in refusal()
    assert [path.name for path in cache.iterdir()] == [f".{NAME}.lock"]


@pytest.mark.usefixtures("storage")
def test_too_small_a_disk_is_refused_before_the_download(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: SimpleNamespace(free=2))

    assert f"{NAME} needs 0.0 MB more in {cache}" in refusal()


@pytest.mark.usefixtures("storage")
def test_a_disk_that_fills_up_on_the_way_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_arguments: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloads, "_append", full)

    assert "the disk is full" in refusal()


@pytest.mark.usefixtures("cache")
def test_a_closed_storage_is_named_with_the_other_ways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(official_files, "FOLDER", "http://127.0.0.1:9")

    said = refusal()

    assert "MLCommons' storage cannot be reached" in said
    assert "llama3-1-8b-sample-cnn-eval-5000.uri" in said
    assert "--dataset-path FILE" in said


def test_a_file_of_the_users_is_known_again_by_its_checksum(
    storage: FileServer, tmp_path: Path
) -> None:
    mine = tmp_path / "mine.json"
    mine.write_bytes(CONTENT)
    verify("edge", mine, "--dataset-path mine.json")
    mine.write_bytes(CONTENT + b"\n")

    with pytest.raises(UsageError, match="this is not MLCommons' sample_cnn"):
        verify("edge", mine, "--dataset-path mine.json")
    with pytest.raises(UsageError, match="the file cannot be read"):
        verify("edge", tmp_path / "nowhere.json", "--dataset-path nowhere.json")
    assert storage.ranges_asked == []
