"""A hub that answers in every way, or not at all."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest

from harness.config import RunConfig
from harness.errors import UsageError
from harness.inputs import hub as model_hub
from harness.inputs import hub_dataset
from harness.inputs.model import resolve_model
from harness.rounds import OFFICIAL_MODEL, OFFICIAL_MODEL_REVISION
from tests.inputs.hub_server import COMMIT, Hub, point_at
from tests.inputs.model_folders import refused


def test_the_official_model_is_asked_for_at_the_official_revision(hub: Hub) -> None:
    hub.files["generation_config.json"] = b'{"eos_token_id": [1, 2]}'
    hub.files["tokenizer_config.json"] = hub.files["tokenizer.json"] = b"{}"

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


@pytest.mark.parametrize("name", ["generation_config.json", "tokenizer_config.json"])
def test_no_answer_is_not_taken_for_the_word_that_a_file_does_not_exist(
    hub: Hub, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _seconds: None)  # between the client's five tries
    hub.files["tokenizer.json"] = b"{}"
    hub.refused_files[name] = (503, "")

    said = refused(RunConfig())

    assert said.startswith(
        f"--model {OFFICIAL_MODEL}: {name} of {OFFICIAL_MODEL} could not be downloaded ("
    )
    assert "503" in said
    assert said.endswith("; try again.")


@pytest.mark.parametrize("vocabulary", [["tokenizer.model"], ["vocab.json", "merges.txt"]])
def test_a_tokenizer_of_another_kind_is_downloaded(hub: Hub, vocabulary: list[str]) -> None:
    hub.files |= dict.fromkeys(vocabulary, b"{}")

    assert resolve_model(RunConfig(weights="real")).has_tokenizer


@pytest.mark.parametrize(
    ("token", "said"),
    [
        ("\u201chf_secret\u201d", "U+201C (left double quotation mark)"),
        ("hf\u00a0secret", "U+00A0 (no-break space)"),
        ("'hf_secret'", "U+0027 (apostrophe)"),
        ("hf_sec\x07ret", "U+0007 (a control character)"),
        ("hf_\udce9", "U+DCE9 (a control character)"),
    ],
)
def test_what_cannot_be_a_token_is_named_and_not_shown(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, token: str, said: str
) -> None:
    monkeypatch.setenv("HF_TOKEN", token)

    text = refused(RunConfig())

    assert text.startswith(f"HF_TOKEN holds {said}, which no token does; write it")
    assert "secret" not in text
    assert hub.tokens_seen == []
    with pytest.raises(UsageError, match="HF_TOKEN holds"):
        hub_dataset.hub_answers("abisee/cnn_dailymail")


def test_a_disk_without_room_for_the_weights_is_found(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub.files["tokenizer.json"] = b"{}"
    usage = shutil.disk_usage(tmp_path)._replace(free=3 * 2**30)
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage)

    assert refused(RunConfig()) == (
        f"--model {OFFICIAL_MODEL}: its weights take 15.0 GiB, and 3.0 GiB are free in the hub's "
        f"local cache ({tmp_path / 'hub'}); free some, or point HF_HOME to a larger disk."
    )


@pytest.mark.parametrize(
    ("endpoint", "proxy", "said"),
    [
        ("\u201chttp://hub\u201d", "", "the hub cannot be reached (UnsupportedProtocol)"),
        ("http://hub:x", "", "the hub cannot be reached (InvalidURL)"),
        ("http://hub", "foo://proxy", "there is no way to the hub (Unknown scheme for proxy URL"),
    ],
)
def test_an_address_that_is_none_is_refused_in_a_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, endpoint: str, proxy: str, said: str
) -> None:
    import huggingface_hub

    point_at(endpoint, monkeypatch, tmp_path)
    monkeypatch.setenv("HTTP_PROXY", proxy)
    huggingface_hub.close_session()  # the next one reads the proxy
    try:
        assert said in refused(RunConfig())
        assert not hub_dataset.hub_answers("abisee/cnn_dailymail")
    finally:
        huggingface_hub.close_session()
