"""A bundle: what is put into it, and how a run lives on it alone."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from harness import bundle
from harness.config import RunConfig
from harness.errors import UsageError
from harness.inputs import demo_model, fetch, fetch_bundle, hub, llama3_tokenizer
from harness.inputs.fetch import Piece
from harness.inputs.model import resolve_model
from harness.inputs.model_source import SHIPPED_CONFIG_FOLDER

DEMO = RunConfig(model="demo", dataset="sample")
FLAGS = ["--model", "demo", "--dataset", "sample"]
COMMIT = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, in which the demo model lies; the environment as it was after."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in (bundle.VARIABLE, "NLTK_DATA", "HF_HUB_CACHE", "HF_HUB_OFFLINE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setattr(demo_model, "build_demo_model", build)
    return tmp_path / "cache" / "mlperf-llama31-vllm"


def build(folder: Path) -> None:
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        text = "{}" if name != "config.json" else CONFIG
        (folder / name).write_text(text)


CONFIG = (SHIPPED_CONFIG_FOLDER / "config.json").read_text()


def fill(folder: Path, config: RunConfig = DEMO, flags: list[str] = FLAGS) -> str:
    return fetch_bundle.fill(folder, config, flags, accepted=False)


def names(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_bundle_holds_what_its_run_needs_and_the_two_lines_to_type(tmp_path: Path) -> None:
    text = fill(tmp_path / "bundle")

    (demo,) = (tmp_path / "bundle").glob("demo-*")
    assert {path.name for path in demo.iterdir()} == {
        "config.json", "model.safetensors", "tokenizer.json",
    }  # fmt: skip
    assert "nltk_data/tokenizers/punkt_tab/english/ortho_context.tab" in names(tmp_path / "bundle")
    assert (tmp_path / "bundle" / "README.txt").read_text() == text
    assert "  export MLPERF_BUNDLE=/the/path/of/this/folder\n" in text
    assert "  python run.py --model demo --dataset sample\n" in text
    assert "Meta" not in text


def test_a_repeated_command_copies_only_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "bundle")
    (demo,) = (tmp_path / "bundle").glob("demo-*")
    (demo / "model.safetensors").unlink()
    copied, copy = list[str](), shutil.copyfile

    def noted(source: Path, target: Path) -> None:
        copied.append(source.name)
        copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", noted)

    fill(tmp_path / "bundle")

    assert copied == ["model.safetensors"]
    assert (demo / "model.safetensors").is_file()


def test_an_interrupted_bundle_is_not_taken_for_a_whole_one_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "bundle")
    monkeypatch.setenv(bundle.VARIABLE, str(tmp_path / "bundle"))

    def interrupted(_config: RunConfig) -> Piece:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.delenv(bundle.VARIABLE)
        patch.setattr(fetch, "model", interrupted)
        fill(tmp_path / "bundle")

    with pytest.raises(UsageError, match=r"there is no whole bundle \(no README.txt\)"):
        bundle.use()
    monkeypatch.delenv(bundle.VARIABLE)
    fill(tmp_path / "bundle")
    monkeypatch.setenv(bundle.VARIABLE, str(tmp_path / "bundle"))
    bundle.use()


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "photo.jpg").write_text("mine")

    with pytest.raises(UsageError, match="holds other files; name a new one"):
        fill(tmp_path)


def test_too_small_a_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    monkeypatch.setattr("shutil.disk_usage", lambda _folder: SimpleNamespace(free=2))

    with pytest.raises(UsageError, match=r"needs 0.2 MB more in .*name another folder"):
        fill(tmp_path / "bundle")
    assert not (tmp_path / "bundle" / "README.txt").exists()


def test_a_run_finds_the_model_in_the_bundle_alone(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(tmp_path / "bundle")
    shutil.rmtree(cache)
    monkeypatch.setenv(bundle.VARIABLE, str(tmp_path / "bundle"))
    bundle.use()

    assert Path(resolve_model(DEMO).path).parent == tmp_path / "bundle"
    assert os.environ["NLTK_DATA"] == str(tmp_path / "bundle" / "nltk_data")
    assert os.environ["HF_HUB_CACHE"] == str(tmp_path / "bundle" / "hub")
    assert os.environ["HF_HUB_OFFLINE"] == "1"
    assert not cache.exists()
    with pytest.raises(UsageError, match="MLPERF_BUNDLE is set"):
        bundle.refuse()


def test_a_model_of_the_hub_is_found_again_without_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub_cache = tmp_path / "hub"
    snapshot = hub_cache / "models--someone--llama" / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (tmp_path / "blob").write_text(CONFIG)
    (snapshot / "config.json").symlink_to(tmp_path / "blob")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(hub_cache))
    monkeypatch.setattr(fetch, "model", lambda _config: Piece("llama", snapshot, "--model"))

    fill(tmp_path / "bundle")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "bundle" / bundle.HUB))
    found = hub.cached_snapshot("someone/llama", None)

    assert found == tmp_path / "bundle" / "hub" / "models--someone--llama" / "snapshots" / COMMIT
    assert not (found / "config.json").is_symlink()


def test_files_of_the_users_own_are_named_by_their_place_in_the_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    articles = tmp_path / "my articles.json"
    articles.write_text("[]")

    def dataset(_config: RunConfig) -> Piece:
        return Piece("articles", articles, "--dataset-path", "--dataset-path")

    monkeypatch.setattr(fetch, "dataset", dataset)
    flags = ["--model", "demo", "--dataset-path", str(articles), "--mode", "both"]

    text = fill(tmp_path / "bundle", RunConfig(model="demo", dataset_path=str(articles)), flags)

    assert '--mode both --dataset-path "$MLPERF_BUNDLE/my articles.json"\n' in text
    assert (tmp_path / "bundle" / "my articles.json").is_file()


@pytest.mark.parametrize(
    ("changes", "needed"),
    [({"dataset": "sample"}, True), ({"dataset": "synthetic", "mode": "performance"}, False)],
)
def test_random_weights_need_metas_tokenizer_for_text_alone(
    changes: dict[str, Any], needed: bool, tmp_path: Path, cache: Path
) -> None:
    (cache / llama3_tokenizer.FOLDER).mkdir(parents=True)
    (cache / llama3_tokenizer.FOLDER / "tokenizer.json").write_text("{}")

    text = fill(tmp_path / "bundle", RunConfig(weights="dummy", **changes), ["--weights", "dummy"])

    assert ("It is Meta's, under the Llama 3 Community License Agreement" in text) is needed
    assert (tmp_path / "bundle" / llama3_tokenizer.FOLDER).exists() is needed
