"""A hub that answers in every way, or not at all, and a local cache that needs none."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from harness.config import RunConfig
from harness.errors import UsageError
from harness.inputs import hub as model_hub
from harness.inputs.model import ModelSource, resolve_model
from harness.rounds import OFFICIAL_MODEL, OFFICIAL_MODEL_REVISION
from tests.inputs.model_folders import SHIPPED, make_folder, refused

COMMIT = "0123456789abcdef0123456789abcdef01234567"


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

    llama = resolve_model(RunConfig())

    assert (llama.path, llama.revision) == (OFFICIAL_MODEL, OFFICIAL_MODEL_REVISION)
    assert (llama.eos_token_ids, llama.has_tokenizer) == ((1, 2), True)
    assert llama.unofficial_because is None


def test_another_model_of_the_hub_is_unofficial_and_pinned_to_the_commit_found(hub: Hub) -> None:
    llama = resolve_model(RunConfig(model="someone/llama", weights="dummy"))

    assert (llama.path, llama.revision, llama.has_tokenizer) == ("someone/llama", COMMIT, False)
    assert llama.unofficial_because == f"The model is someone/llama, not {OFFICIAL_MODEL}."
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
    monkeypatch.setattr(model_hub, "TIMEOUT_S", 0.2)
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
