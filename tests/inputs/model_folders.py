"""Folders of models, as a person might have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig
from harness.errors import UsageError
from harness.inputs import model_source
from harness.inputs.model import resolve_model

SHIPPED = json.loads((model_source.SHIPPED_CONFIG_FOLDER / "config.json").read_text())
LFS_POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 9\n"
# One weight of one byte.
_HEADER = b'{"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}'
SMALLEST = {
    ".safetensors": len(_HEADER).to_bytes(8, "little") + _HEADER + b"w",
    ".bin": b"PK\5\6" + bytes(18),  # an archive of nothing
}


def make_folder(folder: Path, *names: str, **changes: Any) -> Path:
    """A model folder with the official config.json, changed as given, and some small files."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {key: value for key, value in {**SHIPPED, **changes}.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config))
    for name in names:
        (folder / name).write_bytes(SMALLEST.get(Path(name).suffix, b"{}"))
    return folder


def refused(settings: RunConfig) -> str:
    """The sentence with which a model is refused."""
    with pytest.raises(UsageError) as caught:
        resolve_model(settings)
    return str(caught.value)
