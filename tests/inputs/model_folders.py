"""Folders of models, as a person might have them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig
from harness.errors import UsageError
from harness.inputs import model
from harness.inputs.model import resolve_model

SHIPPED = json.loads((model.SHIPPED_CONFIG_FOLDER / "config.json").read_text())


def make_folder(folder: Path, *names: str, **changes: Any) -> Path:
    """A model folder with the official config.json, changed as given, and some empty files."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {key: value for key, value in {**SHIPPED, **changes}.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config))
    for name in names:
        (folder / name).write_text("{}")
    return folder


def refused(settings: RunConfig) -> str:
    """The sentence with which a model is refused."""
    with pytest.raises(UsageError) as caught:
        resolve_model(settings)
    return str(caught.value)
