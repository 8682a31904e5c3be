"""Which files of weights are there, and which of them are whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.config import RunConfig
from harness.errors import UsageError
from harness.inputs import weight_files
from tests.inputs.model_folders import LFS_POINTER, SMALLEST, make_folder, refused

WHOLE = SMALLEST[".safetensors"]


@pytest.mark.parametrize(
    "names",
    [
        ["model.safetensors"],
        ["pytorch_model.bin"],
        ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"],
        ["model-00000-of-00001.safetensors"],
        ["model.safetensors", "training_args.bin"],
    ],
)
def test_whole_weights_lack_nothing(tmp_path: Path, names: list[str]) -> None:
    folder = make_folder(tmp_path, *names)

    assert (weight_files.missing(folder), weight_files.damaged(folder)) == (None, None)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ([], "no *.safetensors and no *.bin"),
        (
            ["model-00001-of-00003.safetensors", "model-00003-of-00003.safetensors"],
            "1 of 3 shards missing, the first model-00002-of-00003.safetensors",
        ),
        (
            ["pytorch_model-00002-of-00002.bin"],
            "1 of 2 shards missing, the first pytorch_model-00001-of-00002.bin",
        ),
    ],
)
def test_a_missing_shard_is_found_without_an_index(
    tmp_path: Path, names: list[str], said: str
) -> None:
    assert weight_files.missing(make_folder(tmp_path, *names)) == said


def test_a_link_to_a_file_that_is_gone_is_a_missing_shard(tmp_path: Path) -> None:
    folder = make_folder(tmp_path)
    (folder / "model.safetensors").symlink_to(tmp_path / "blob")

    assert weight_files.missing(folder) == "1 of 1 shards missing, the first model.safetensors"


@pytest.mark.parametrize("index", ["{}", '{"weight_map": {}}', '{"weight_map": {"w": 5}}'])
def test_an_index_that_names_nothing_is_refused(tmp_path: Path, index: str) -> None:
    (tmp_path / "model.safetensors.index.json").write_text(index)

    with pytest.raises(UsageError, match=r"model\.safetensors\.index\.json names no weights"):
        weight_files.missing(tmp_path)


def header(**part: object) -> bytes:
    text = json.dumps({"w": part}).encode()
    return len(text).to_bytes(8, "little") + text


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("model.safetensors", LFS_POINTER, "is a Git LFS pointer, not the file itself; git lfs"),
        ("model.safetensors", b"", "is cut short, or no safetensors file"),
        ("model.safetensors", b"<html>no</html>", "is cut short, or no safetensors file"),
        ("model.safetensors", WHOLE[:20], "is cut short, or no safetensors file"),
        ("model.safetensors", WHOLE[:-1], "has 61 bytes of 62"),
        ("model.safetensors", WHOLE + b"x", "has 63 bytes of 62"),
        ("model.safetensors", b"\2" + bytes(7) + b"{}", "holds no weights"),
        ("model.safetensors", b"\2" + bytes(7) + b"[]", "is cut short, or no safetensors file"),
        ("model.safetensors", header(data_offsets=5), "is cut short, or no safetensors file"),
        ("pytorch_model.bin", LFS_POINTER, "is a Git LFS pointer, not the file itself; git lfs"),
        ("pytorch_model.bin", b"PK\3\4 and no end", "is cut short, or no file of torch"),
    ],
    ids=str,
)
def test_damaged_weights_are_refused_in_a_sentence(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    folder = make_folder(tmp_path, "tokenizer.json")
    (folder / name).write_bytes(content)

    assert f"the folder has damaged weights ({name} {said}" in refused(RunConfig(model=str(folder)))


def test_the_shards_of_an_index_are_looked_into(tmp_path: Path) -> None:
    folder = make_folder(tmp_path, "a.safetensors", "old.safetensors")
    shards = {"weight_map": {"w1": "a.safetensors", "w2": "b.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(shards))
    (folder / "b.safetensors").write_bytes(LFS_POINTER)
    (folder / "old.safetensors").write_bytes(b"which nobody loads")

    assert str(weight_files.damaged(folder)).startswith("b.safetensors is a Git LFS pointer")
