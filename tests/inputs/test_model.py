"""Finding the model: the demo, folders, the shipped shape, and a hub that answers in every way."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig
from harness.errors import UsageError
from harness.inputs import demo_model, model
from harness.inputs.model import ModelSource, decode, load_tokenizer, resolve_model
from harness.rounds import OFFICIAL_MODEL, OFFICIAL_MODEL_REVISION

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SHIPPED = json.loads((model.SHIPPED_CONFIG_FOLDER / "config.json").read_text())


def refused(settings: RunConfig) -> str:
    with pytest.raises(UsageError) as caught:
        resolve_model(settings)
    return str(caught.value)


def make_folder(folder: Path, *names: str, **changes: Any) -> Path:
    """A model folder with the official config.json, changed as told, and some empty files."""
    folder.mkdir(parents=True, exist_ok=True)
    config = {key: value for key, value in {**SHIPPED, **changes}.items() if value is not None}
    (folder / "config.json").write_text(json.dumps(config))
    for name in names:
        (folder / name).write_text("{}")
    return folder


# The demo and the shipped shape


def test_demo_is_built_and_marked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

    found = resolve_model(RunConfig(model="demo"))

    assert Path(found.path).is_relative_to(tmp_path)
    assert (found.vocab_size, found.max_position_embeddings) == (4096, 8192)
    assert (found.bos_token_id, found.eos_token_ids) == (4091, (4092, 4095))
    assert found.special_token_ids == frozenset(range(4091, 4096))
    assert found.unofficial_because is not None and "demo" in found.unofficial_because
    texts = decode(load_tokenizer(found), [[4091, *load_tokenizer(found).encode("one")[1:], 4092]])
    assert texts == ["one"]


@pytest.mark.parametrize("name", [OFFICIAL_MODEL, "llama3.1-8b-instruct"])
def test_dummy_weights_of_the_official_model_need_no_hub_and_no_token(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model, "_hub_source", lambda *_args, **_more: pytest.fail("asked the hub"))

    found = resolve_model(RunConfig(model=name, weights="dummy"))

    assert found.path == str(model.SHIPPED_CONFIG_FOLDER)
    assert not found.has_tokenizer
    assert found.unofficial_because is None
    assert (found.bos_token_id, found.eos_token_ids) == (128000, (128001, 128008, 128009))


def test_parameters_of_the_official_shape_are_those_of_llama_3_1_8b() -> None:
    found = resolve_model(RunConfig(weights="dummy"))

    assert found.parameter_count == 8_030_261_248
    assert found.weights_bytes(2) == 16_060_522_496


def test_parameters_of_the_demo_are_those_in_its_file(tmp_path: Path) -> None:
    from safetensors import safe_open

    demo_model.build_demo_model(tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="np") as file:
        sizes = [file.get_slice(name).get_shape() for name in file.keys()]  # noqa: SIM118

    found = resolve_model(RunConfig(model=str(tmp_path)))

    assert found.parameter_count == sum(s[0] * (s[1] if len(s) > 1 else 1) for s in sizes)


def test_a_model_without_tokenizer_says_so_when_asked_for_one() -> None:
    with pytest.raises(UsageError, match=r"has no tokenizer here.*--dataset synthetic"):
        load_tokenizer(resolve_model(RunConfig(weights="dummy")))


# Folders


def test_a_folder_of_the_official_shape_is_taken_at_the_users_word(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "llama", "model.safetensors", "tokenizer.json")

    found = resolve_model(RunConfig(model=str(folder)))

    assert found.unofficial_because is None
    assert found.source == f"the folder {folder}, taken at the user's word to hold {OFFICIAL_MODEL}"
    assert (found.path, found.revision, found.has_tokenizer) == (str(folder), None, True)


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

    found = resolve_model(RunConfig(model=str(folder)))

    assert (found.eos_token_ids, found.bos_token_id) == ((5, 6), 1)


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

    assert "has no weights (1 of 2 shards missing)" in refused(RunConfig(model=str(folder)))


def test_a_folder_without_tokenizer_is_refused(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "m", "model.safetensors")

    assert "has no tokenizer (tokenizer.json or tokenizer_config.json)" in refused(
        RunConfig(model=str(folder))
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


# The hub


class Hub(ThreadingHTTPServer):
    """A hub on this machine. It answers with one refusal, or with files."""

    refusal: tuple[int, str] | None = None
    files: dict[str, bytes]
    tokens_seen: list[str | None]


class HubHandler(BaseHTTPRequestHandler):
    server: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        self.server.tokens_seen.append(self.headers.get("Authorization"))
        status, code = self.server.refusal or (200, "")
        body = self.server.files.get(self.path.rsplit("/", 1)[-1])
        if status == 200 and body is None:
            status, code = 404, "EntryNotFound"
        self.send_response(status)
        if code:
            self.send_header("X-Error-Code", code)
        revision = self.path.split("/resolve/")[-1].split("/")[0]
        self.send_header("X-Repo-Commit", COMMIT if revision == "main" else revision)
        self.send_header("ETag", f'"{abs(hash(body)):040x}"')
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        if with_body and status == 200 and body:
            self.wfile.write(body)

    def log_message(self, *_args: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    server = Hub(("127.0.0.1", 0), HubHandler)
    server.files = {"config.json": json.dumps(SHIPPED).encode()}
    server.tokens_seen = []
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    point_at(f"http://127.0.0.1:{server.server_port}", monkeypatch, tmp_path)
    yield server
    server.shutdown()
    server.server_close()


def point_at(endpoint: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The hub's client reads its settings once, at import."""
    from huggingface_hub import constants

    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    for name in ("HF_TOKEN", "HUGGINGFACE_HUB_TOKEN", "HUGGING_FACE_HUB_TOKEN"):
        monkeypatch.delenv(name, raising=False)


def test_the_official_model_is_asked_for_at_the_official_revision(hub: Hub) -> None:
    hub.files["generation_config.json"] = b'{"eos_token_id": [1, 2]}'
    hub.files["tokenizer_config.json"] = b"{}"

    found = resolve_model(RunConfig())

    assert (found.path, found.revision) == (OFFICIAL_MODEL, OFFICIAL_MODEL_REVISION)
    assert (found.eos_token_ids, found.has_tokenizer) == ((1, 2), True)
    assert found.unofficial_because is None


def test_another_model_of_the_hub_is_unofficial_and_pinned_to_the_commit_found(hub: Hub) -> None:
    found = resolve_model(RunConfig(model="someone/llama", weights="dummy"))

    assert (found.path, found.revision, found.has_tokenizer) == ("someone/llama", COMMIT, False)
    assert found.unofficial_because == f"The model is someone/llama, not {OFFICIAL_MODEL}."
    assert hub.tokens_seen == [None] * len(hub.tokens_seen)


def test_a_gated_model_without_a_token_says_how_to_get_one(hub: Hub) -> None:
    hub.refusal = (401, "GatedRepo")

    assert refused(RunConfig()) == (
        "--model meta-llama/Llama-3.1-8B-Instruct: meta-llama/Llama-3.1-8B-Instruct is gated and "
        "there is no token; accept the licence at "
        "https://huggingface.co/meta-llama/Llama-3.1-8B-Instruct and set HF_TOKEN in .env, or use "
        "--model demo."
    )


@pytest.mark.parametrize("variable", ["HF_TOKEN", "HUGGINGFACE_HUB_TOKEN"])
def test_a_gated_model_with_a_token_without_access_says_what_to_do(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    hub.refusal = (403, "GatedRepo")
    monkeypatch.setenv("HF_TOKEN", "")  # so that the variable is restored, whoever sets it
    monkeypatch.setenv(variable, "hf_secret")

    text = refused(RunConfig())

    assert text.startswith(
        "--model meta-llama/Llama-3.1-8B-Instruct: the token given has no access to "
        "meta-llama/Llama-3.1-8B-Instruct; accept the licence at "
    )
    assert "hf_secret" not in text
    assert hub.tokens_seen == ["Bearer hf_secret"]


def test_an_unknown_model_is_named(hub: Hub) -> None:
    hub.refusal = (404, "RepoNotFound")

    assert refused(RunConfig(model="nobody/nothing")) == (
        "--model nobody/nothing: the hub has no model nobody/nothing (or it is private and "
        "HF_TOKEN does not open it), and there is no such folder; correct the name."
    )


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        ((404, "RevisionNotFound"), f"has no config.json at revision {OFFICIAL_MODEL_REVISION}"),
        ((503, ""), "(HTTP 503); try again later, or give --model FOLDER"),
        ((401, ""), "(HTTP 401); check HF_TOKEN, or give --model FOLDER"),
    ],
)
def test_other_refusals_are_told_apart(hub: Hub, refusal: tuple[int, str], said: str) -> None:
    hub.refusal = refusal

    assert said in refused(RunConfig())


def test_without_network_the_way_out_is_a_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    point_at(f"http://127.0.0.1:{port}", monkeypatch, tmp_path)

    assert refused(RunConfig()) == (
        "--model meta-llama/Llama-3.1-8B-Instruct: the hub cannot be reached (ConnectError) and "
        f"meta-llama/Llama-3.1-8B-Instruct at revision {OFFICIAL_MODEL_REVISION} is not in its "
        "local cache; download it elsewhere and give --model FOLDER, or use --model demo."
    )


def test_a_hub_that_never_answers_is_given_up_within_seconds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(model, "HUB_TIMEOUT_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # accepts, and says nothing
        point_at(f"http://127.0.0.1:{silent.getsockname()[1]}", monkeypatch, tmp_path)

        assert "the hub cannot be reached (ReadTimeout)" in refused(RunConfig())


def test_offline_mode_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    point_at("http://127.0.0.1:9", monkeypatch, tmp_path)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)

    assert "HF_HUB_OFFLINE is set; unset it, or give --model FOLDER" in refused(RunConfig())


def test_what_is_neither_folder_nor_hub_name_is_refused() -> None:
    assert refused(RunConfig(model="llama 8b?")) == (
        "--model llama 8b?: neither a folder nor a hub name such as "
        "meta-llama/Llama-3.1-8B-Instruct."
    )


def cached(tmp_path: Path, *names: str) -> ModelSource:
    repo = tmp_path / "hub" / "models--meta-llama--Llama-3.1-8B-Instruct"
    make_folder(repo / "snapshots" / OFFICIAL_MODEL_REVISION, *names)
    return resolve_model(RunConfig())


def test_a_model_in_the_cache_needs_no_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_at("http://127.0.0.1:9", monkeypatch, tmp_path)

    found = cached(tmp_path, "model.safetensors", "tokenizer.json")

    assert Path(found.path).name == found.revision == OFFICIAL_MODEL_REVISION
    assert found.unofficial_because is None
    assert found.source.endswith("at revision be673f32, from the hub's local cache")


def test_a_model_half_in_the_cache_is_still_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    point_at("http://127.0.0.1:9", monkeypatch, tmp_path)

    with pytest.raises(UsageError, match="the hub cannot be reached"):
        cached(tmp_path, "tokenizer.json")
