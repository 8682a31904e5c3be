"""Where the tokenizer of a finished run is found: its folder, the hub's cache, or the hub."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config import RunConfig
from harness.errors import UsageError
from harness.inputs.recorded_model import recorded_model
from harness.rounds import OFFICIAL_MODEL, OFFICIAL_MODEL_REVISION
from tests.inputs.hub_server import Hub, point_at
from tests.inputs.model_folders import make_folder

OF_THE_HUB = {"path": OFFICIAL_MODEL, "revision": OFFICIAL_MODEL_REVISION}


def test_a_folder_needs_no_weights_any_more(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model", "tokenizer.json")

    model = recorded_model(RunConfig(), {"path": str(folder), "revision": None})

    assert (model.path, model.has_tokenizer, model.vocab_size) == (str(folder), True, 128256)


def test_a_folder_without_its_tokenizer_is_named(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model", "model.safetensors")

    with pytest.raises(UsageError, match=f"is gone: {folder} lacks it"):
        recorded_model(RunConfig(), {"path": str(folder), "revision": None})


def test_a_model_of_the_hub_is_taken_from_the_cache_at_its_revision(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_at("http://127.0.0.1:9", monkeypatch, tmp_path)
    repo = tmp_path / "hub" / "models--meta-llama--Llama-3.1-8B-Instruct"
    cached = make_folder(repo / "snapshots" / OFFICIAL_MODEL_REVISION, "tokenizer.json")

    assert recorded_model(RunConfig(), OF_THE_HUB).path == str(cached)


def test_what_left_the_cache_is_asked_of_the_hub(hub: Hub) -> None:
    hub.files["tokenizer.json"] = b'{"added_tokens": [{"id": 7}]}'

    model = recorded_model(RunConfig(), OF_THE_HUB | {"path": "/gone"})

    assert model.has_tokenizer and 7 in model.special_token_ids


def test_where_the_hub_gives_nothing_the_revision_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_at("http://127.0.0.1:9", monkeypatch, tmp_path)

    with pytest.raises(UsageError, match=r"at revision be673f32, .* the hub cannot be reached"):
        recorded_model(RunConfig(), OF_THE_HUB)


@pytest.mark.parametrize("settings", [RunConfig(model="demo"), RunConfig(weights="dummy")])
def test_what_is_built_here_is_built_again(settings: RunConfig) -> None:
    recorded = {"path": "/gone", "revision": None}

    assert recorded_model(settings, recorded).requested == settings.model
