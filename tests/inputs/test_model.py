"""Finding the model: the demo, folders, and the shipped shape."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.config import RunConfig
from harness.errors import UsageError
from harness.inputs import demo_model, llama3_tokenizer, model, model_source
from harness.inputs.model import resolve_model
from harness.inputs.tokenizer import decode, load_tokenizer
from harness.rounds import OFFICIAL_MODEL
from tests.inputs.model_folders import LFS_POINTER, make_folder, refused


@pytest.fixture(autouse=True)
def no_fetched_tokenizer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the user of this machine has fetched."""
    monkeypatch.setattr(llama3_tokenizer, "fetched", lambda: None)


def test_demo_is_built_and_marked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    llama = resolve_model(RunConfig(model="demo"))

    assert Path(llama.path).is_relative_to(tmp_path)
    assert (llama.vocab_size, llama.max_position_embeddings) == (4096, 8192)
    assert (llama.bos_token_id, llama.eos_token_ids) == (4091, (4092, 4095))
    assert llama.special_token_ids == frozenset(range(4091, 4096))
    assert llama.unofficial_because is not None and "demo" in llama.unofficial_because
    texts = decode(load_tokenizer(llama), [[4091, *load_tokenizer(llama).encode("one")[1:], 4092]])
    assert texts == ["one"]


@pytest.mark.parametrize("name", [OFFICIAL_MODEL, "llama3.1-8b-instruct"])
def test_dummy_weights_of_the_official_model_need_no_hub_and_no_token(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "_hub_source", lambda *_args, **_more: pytest.fail("asked the hub"))

    llama = resolve_model(RunConfig(model=name, weights="dummy"))

    assert llama.path == str(model_source.SHIPPED_CONFIG_FOLDER)
    assert not llama.has_tokenizer
    assert llama.unofficial_because is None
    assert (llama.bos_token_id, llama.eos_token_ids) == (128000, (128001, 128008, 128009))


def test_parameters_of_the_official_shape_are_those_of_llama_3_1_8b() -> None:
    llama = resolve_model(RunConfig(weights="dummy"))

    assert llama.parameter_count == 8_030_261_248
    assert llama.weights_bytes(2) == 16_060_522_496


def test_parameters_of_the_demo_are_those_in_its_file(tmp_path: Path) -> None:
    from safetensors import safe_open

    demo_model.build_demo_model(tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="np") as file:
        sizes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118

    llama = resolve_model(RunConfig(model=str(tmp_path)))

    assert llama.parameter_count == sum(s[0] * (s[1] if len(s) > 1 else 1) for s in sizes)


def test_a_model_without_tokenizer_says_so_when_asked_for_one() -> None:
    with pytest.raises(UsageError, match=r"has no tokenizer here.*--dataset synthetic"):
        load_tokenizer(resolve_model(RunConfig(weights="dummy")))


def test_a_folder_of_the_official_shape_is_taken_at_the_users_word(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "llama", "model.safetensors", "tokenizer.json")

    llama = resolve_model(RunConfig(model=str(folder)))

    assert llama.unofficial_because is None
    assert llama.source == f"the folder {folder}, taken at the user's word to hold {OFFICIAL_MODEL}"
    assert (llama.path, llama.revision, llama.has_tokenizer) == (str(folder), None, True)


@pytest.mark.parametrize(
    "changes",
    [
        {"num_hidden_layers": 16},
        {"vocab_size": 32000},
        {"max_position_embeddings": 8192},  # Llama-3
        {"eos_token_id": 128001},  # the base model
    ],
)
def test_a_folder_of_another_shape_is_unofficial(tmp_path: Path, changes: dict[str, int]) -> None:
    folder = make_folder(tmp_path / "other", "model.safetensors", "tokenizer.json", **changes)

    assert resolve_model(RunConfig(model=str(folder))).unofficial_because == (
        f"The model is {folder}, whose config.json is not that of Llama-3.1-8B-Instruct."
    )


def test_generation_config_decides_where_answers_end(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m", "model.safetensors", "tokenizer.json", eos_token_id=7)
    (folder / "generation_config.json").write_text('{"eos_token_id": [5, 6], "bos_token_id": 1}')

    llama = resolve_model(RunConfig(model=str(folder)))

    assert (llama.eos_token_ids, llama.bos_token_id) == ((5, 6), 1)


def test_a_folder_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert refused(RunConfig(model=f"{tmp_path}/none")) == (
        f"--model {tmp_path}/none: there is no such folder; give one with config.json, weights "
        "and tokenizer, or a hub name such as meta-llama/Llama-3.1-8B-Instruct."
    )


def test_a_folder_without_config_is_refused(tmp_path: Path) -> None:
    assert refused(RunConfig(model=str(tmp_path))) == (
        f"--model {tmp_path}: the folder has no config.json; give the folder of a model in the "
        "hub's format."
    )


def test_a_folder_without_weights_is_refused_unless_dummy_weights_are_asked_for(
    tmp_path: Path,
) -> None:
    folder = make_folder(tmp_path / "m")

    assert "has no weights (no *.safetensors and no *.bin)" in refused(RunConfig(model=str(folder)))
    dummy = resolve_model(RunConfig(model=str(folder), weights="dummy"))
    assert not dummy.has_tokenizer


def test_a_download_that_broke_off_is_noticed(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m", "tokenizer.json", "a.safetensors")
    shards = {"weight_map": {"w1": "a.safetensors", "w2": "b.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(shards))

    assert "has no weights (1 of 2 shards missing, the first b.safetensors)" in refused(
        RunConfig(model=str(folder))
    )


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m", "model.safetensors")

    said = "has no tokenizer (tokenizer.json, or tokenizer.model, or vocab.json with merges.txt)"
    assert said in refused(RunConfig(model=str(folder)))
    make_folder(folder, "tokenizer_config.json")
    assert said in refused(RunConfig(model=str(folder))), "a config is no vocabulary"


def test_a_damaged_tokenizer_is_refused_in_a_sentence(tmp_path: Path) -> None:
    demo_model._build_tokenizer(tmp_path)
    path = tmp_path / "tokenizer.json"
    whole = path.read_text()
    make_folder(tmp_path, "model.safetensors")
    llama = resolve_model(RunConfig(model=str(tmp_path)))
    for damaged in (
        whole[: len(whole) // 2],
        "",
        "[]",
        json.dumps({**json.loads(whole), "model": {"type": "of another library"}}),
    ):
        path.write_text(damaged)
        with pytest.raises(
            UsageError, match=r"its tokenizer cannot be loaded \(.+\); give a folder"
        ):
            load_tokenizer(llama)
    path.write_text(whole)
    load_tokenizer(llama)
    config = tmp_path / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_max_length": []}))
    with pytest.raises(UsageError, match="its tokenizer cannot be loaded"):
        load_tokenizer(llama)  # it loads, and no text can be encoded


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("tokenizer.json", '{"added_tokens": [5]}'),
        ("tokenizer.json", '{"added_tokens": [{"content": "<s>"}]}'),
        ("tokenizer_config.json", '{"added_tokens_decoder": {"x": {}}}'),
        ("tokenizer_config.json", '{"added_tokens_decoder": 5}'),
    ],
)
def test_special_tokens_without_ids_are_refused(tmp_path: Path, name: str, content: str) -> None:
    folder = make_folder(tmp_path / "m", "model.safetensors", "tokenizer.json")
    (folder / name).write_text(content)

    assert f"the added tokens in {name} have no ids" in refused(RunConfig(model=str(folder)))


@pytest.mark.parametrize("name", ["config.json", "generation_config.json", "tokenizer.json"])
def test_a_pointer_of_git_lfs_is_named_as_one(tmp_path: Path, name: str) -> None:
    folder = make_folder(tmp_path / "m", "model.safetensors", "tokenizer.json")
    (folder / name).write_bytes(LFS_POINTER)

    assert f"{name} cannot be read (it is a Git LFS pointer, not the file itself)" in refused(
        RunConfig(model=str(folder))
    )


@pytest.mark.parametrize("size", [0, -1, True, "4096", 1.5])
def test_a_size_that_is_none_is_refused(tmp_path: Path, size: object) -> None:
    folder = make_folder(tmp_path / "m", hidden_size=size)

    assert "its config.json has no hidden_size" in refused(
        RunConfig(model=str(folder), weights="dummy")
    )


def test_a_config_that_is_not_json_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("<html>")

    text = refused(RunConfig(model=str(tmp_path), weights="dummy"))

    assert text.startswith(f"--model {tmp_path}: config.json cannot be read (")


def test_a_model_of_another_kind_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m", intermediate_size=None)

    assert "its config.json has no intermediate_size" in refused(
        RunConfig(model=str(folder), weights="dummy")
    )
