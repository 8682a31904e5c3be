"""The hub's local cache: what of it needs no hub, and what is completed or refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config import RunConfig
from harness.errors import UsageError
from harness.inputs.model import resolve_model
from harness.inputs.model_source import ModelSource
from harness.rounds import OFFICIAL_MODEL, OFFICIAL_MODEL_REVISION
from tests.inputs.hub_server import COMMIT, Hub, point_at
from tests.inputs.model_folders import make_folder, refused


def snapshot(tmp_path: Path, *names: str) -> Path:
    """What the local cache has of the official model."""
    repo = tmp_path / "hub" / "models--meta-llama--Llama-3.1-8B-Instruct"
    return make_folder(repo / "snapshots" / OFFICIAL_MODEL_REVISION, *names)


def cached(tmp_path: Path, *names: str) -> ModelSource:
    snapshot(tmp_path, *names)
    return resolve_model(RunConfig())


def other_snapshot(tmp_path: Path, *names: str) -> Path:
    """What the local cache has of another model, its newest commit."""
    repo = tmp_path / "hub" / "models--someone--llama"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text(COMMIT)
    return make_folder(repo / "snapshots" / COMMIT, *names)


def test_a_model_in_the_cache_needs_no_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_at("http://127.0.0.1:9", monkeypatch, tmp_path)

    llama = cached(tmp_path, "model.safetensors", "tokenizer.json")

    assert Path(llama.path).name == llama.revision == OFFICIAL_MODEL_REVISION
    assert llama.unofficial_because is None
    assert llama.source.endswith("at revision be673f32, from the hub's local cache")


def test_a_model_half_in_the_cache_is_still_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_at("http://127.0.0.1:9", monkeypatch, tmp_path)

    with pytest.raises(UsageError, match="the hub cannot be reached"):
        cached(tmp_path, "tokenizer.json")


def test_a_tokenizer_half_in_the_cache_is_completed_from_the_hub(hub: Hub, tmp_path: Path) -> None:
    hub.files["tokenizer.json"] = b'{"added_tokens": [{"id": 7}]}'

    llama = cached(tmp_path, "model.safetensors", "tokenizer_config.json")

    assert llama.has_tokenizer
    assert 7 in llama.special_token_ids
    assert (llama.path, llama.revision) == (OFFICIAL_MODEL, OFFICIAL_MODEL_REVISION)


def test_a_tokenizer_half_in_the_cache_is_named_where_the_hub_is_not_to_be_had(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_at("http://127.0.0.1:9", monkeypatch, tmp_path)

    with pytest.raises(UsageError, match="is in its local cache without tok"):
        cached(tmp_path, "model.safetensors", "tokenizer_config.json")


def test_damaged_weights_in_the_cache_are_refused_as_no_download_replaces_them(
    hub: Hub, tmp_path: Path
) -> None:
    folder = snapshot(tmp_path, "model.safetensors", "tokenizer.json")
    (folder / "model.safetensors").write_bytes(b"")

    said = refused(RunConfig())
    assert "has damaged weights (model.safetensors is cut short, or no safetensors file)" in said
    assert f"delete {folder}, and they are downloaded again" in said
    assert hub.tokens_seen == []


def test_an_end_token_nobody_has_asked_for_is_asked_for(hub: Hub, tmp_path: Path) -> None:
    other_snapshot(tmp_path, "model.safetensors", "tokenizer.json")
    hub.files["generation_config.json"] = b'{"eos_token_id": [1, 2]}'
    hub.files["tokenizer.json"] = b"{}"

    assert resolve_model(RunConfig(model="someone/llama")).eos_token_ids == (1, 2)


def test_a_file_that_the_hub_said_it_has_not_is_not_asked_for_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_at("http://127.0.0.1:9", monkeypatch, tmp_path)
    folder = other_snapshot(tmp_path, "model.safetensors", "tokenizer.json")
    absent = folder.parents[1] / ".no_exist" / COMMIT
    absent.mkdir(parents=True)
    (absent / "generation_config.json").touch()

    assert resolve_model(RunConfig(model="someone/llama")).path == str(folder)


def test_random_weights_of_a_model_in_the_cache_need_no_hub(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_at("http://127.0.0.1:9", monkeypatch, tmp_path)
    folder = other_snapshot(tmp_path)

    llama = resolve_model(RunConfig(model="someone/llama", weights="dummy"))

    assert (llama.path, llama.has_tokenizer) == (str(folder), False)
