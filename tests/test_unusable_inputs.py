"""What is there but cannot be used: run.py and mmlu.py say so before the engine loads, exit 2."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

import mmlu
import run
from harness.inputs import demo_model
from tests.inputs.model_folders import LFS_POINTER, make_folder

Patch = pytest.MonkeyPatch
DEMO = ["--model", "demo"]
# What the demo's tokenizer goes with.
SMALL = {"vocab_size": 4096, "bos_token_id": 4091, "eos_token_id": 4092}


def model_folder(folder: Path) -> Path:
    """A whole folder of a small model with the demo's tokenizer."""
    made = make_folder(folder / "model", "model.safetensors", **SMALL)
    demo_model._build_tokenizer(made)
    return made


def half_a_sentence_model(folder: Path, patch: Patch) -> list[str]:
    english = folder / "tokenizers" / "punkt_tab" / "english"
    english.mkdir(parents=True)
    (english / "abbrev_types.txt").write_text("mr\n")
    patch.setattr("nltk.data.path", [str(folder)])
    return [*DEMO, "--dataset", "sample"]


def pointer_for_weights(folder: Path, _patch: Patch) -> list[str]:
    model = model_folder(folder)
    (model / "model.safetensors").write_bytes(LFS_POINTER)
    return ["--model", str(model), "--dataset", "sample"]


def missing_shard(folder: Path, _patch: Patch) -> list[str]:
    model = model_folder(folder)
    (model / "model.safetensors").rename(model / "model-00002-of-00002.safetensors")
    return ["--model", str(model), "--dataset", "sample"]


def half_a_tokenizer(folder: Path, _patch: Patch) -> list[str]:
    path = model_folder(folder) / "tokenizer.json"
    path.write_text(path.read_text()[:1000])
    return ["--model", str(path.parent), "--dataset", "sample"]


def tokenizer_of_no_known_kind(folder: Path, _patch: Patch) -> list[str]:
    path = model_folder(folder) / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model": {"type": "New"}}))
    return ["--model", str(path.parent), "--dataset", "sample"]


def data_set_script(folder: Path, _patch: Patch) -> list[str]:
    (folder / "cnn").mkdir()
    (folder / "cnn" / "cnn.py").write_text("")
    return [*DEMO, "--dataset-path", str(folder / "cnn")]


def token_in_typographic_quotes(folder: Path, patch: Patch) -> list[str]:
    from huggingface_hub import constants

    patch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    patch.setenv("HF_TOKEN", "\u201chf_x\u201d")
    return ["--dataset", "sample"]


def half_a_character(folder: Path, _patch: Patch) -> list[str]:
    path = folder / "x.json"
    path.write_text('[{"input": "\\ud800", "output": "a"}]')
    return [*DEMO, "--dataset-path", str(path)]


def endless_brackets(folder: Path, _patch: Patch) -> list[str]:
    path = folder / "x.json"
    path.write_text('[{"input": ' + "[" * 100_000)
    return [*DEMO, "--dataset-path", str(path)]


def rate_mistyped(_folder: Path, _patch: Patch) -> list[str]:
    words = ["--scenario", "server", "--server-target-qps", "1e5", "--min-duration", "600"]
    return [*DEMO, "--dataset", "sample", *words]


def not_utf8(folder: Path, _patch: Patch) -> list[str]:
    import pyarrow
    from pyarrow import parquet

    texts = pyarrow.array([b"caf\xe9", b"two"], pyarrow.binary())
    column = pyarrow.Array.from_buffers(pyarrow.string(), 2, texts.buffers())  # taken at our word
    table = pyarrow.table({"article": column, "highlights": pyarrow.array(["one .", "two ."])})
    (folder / "cnn").mkdir()
    parquet.write_table(table, folder / "cnn" / "validation-00000-of-00001.parquet")
    return [*DEMO, "--dataset-path", str(folder / "cnn")]


def hub_without_a_scheme(_folder: Path, patch: Patch) -> list[str]:
    patch.setenv("HF_ENDPOINT", "huggingface.co")
    return [*DEMO, "--dataset", "sample"]


def hub_that_is_no_address(_folder: Path, patch: Patch) -> list[str]:
    patch.setenv("HF_ENDPOINT", "http://[")
    return ["check"]


def patience_in_words(_folder: Path, patch: Patch) -> list[str]:
    patch.setenv("HF_HUB_DOWNLOAD_TIMEOUT", "long")
    return [*DEMO, "--dataset", "sample"]


def model_with_a_long_name(_folder: Path, _patch: Patch) -> list[str]:
    return ["--model", "/" + "x" * 300, "--dataset", "sample"]


def data_set_of_nobody(_folder: Path, _patch: Patch) -> list[str]:
    return [*DEMO, "--dataset-path", "~nobody-of-this-name/cnn_eval.json"]


def long_temporary_folder(folder: Path, patch: Patch) -> list[str]:
    long = folder / ("x" * 100)
    long.mkdir()
    patch.setenv("TMPDIR", str(long))
    patch.setattr(tempfile, "tempdir", None)
    return [*DEMO, "--dataset", "sample"]


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (half_a_sentence_model, "punkt_tab) is not"),
        (pointer_for_weights, "model.safetensors is a Git LFS pointer, not the file itself"),
        (missing_shard, "the first model-00001-of-00002.safetensors"),
        (half_a_tokenizer, "its tokenizer cannot be loaded (EOF while parsing"),
        (tokenizer_of_no_known_kind, "its tokenizer cannot be loaded ("),
        (data_set_script, "Dataset scripts are no longer supported, but found cnn.py"),
        (token_in_typographic_quotes, "HF_TOKEN holds U+201C (left double quotation mark)"),
        (half_a_character, "[0].input holds half a character, U+D800"),
        (endless_brackets, "it is nested too deep"),
        (rate_mistyped, "the test would have 60,000,000 queries"),
        (long_temporary_folder, "the sockets of the engine allow 70 at most"),
        (not_utf8, "the column article cannot be read ('utf-8' codec can't decode byte 0xe9"),
        (hub_without_a_scheme, "HF_ENDPOINT=huggingface.co: this is no address of a hub"),
        (hub_that_is_no_address, "HF_ENDPOINT=http://[: this is no address of a hub"),
        (patience_in_words, "HF_HUB_DOWNLOAD_TIMEOUT=long: this is no whole number of seconds"),
        (model_with_a_long_name, "...: this path has 301 bytes, and is too long for a file"),
        (data_set_of_nobody, "there is no user nobody-of-this-name here"),
    ],
)
def test_what_cannot_be_used_is_refused_in_a_sentence_and_nothing_is_written(
    make: Callable[[Path, Patch], list[str]],
    said: str,
    tmp_path: Path,
    monkeypatch: Patch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    results = tmp_path / "results"
    arguments = make(tmp_path, monkeypatch)

    status = run.main([*arguments, "--results-dir", str(results)])

    text = capfd.readouterr().err
    assert (status, text.count("\n")) == (2, 1), text
    assert said in text
    assert not results.exists()


@pytest.mark.parametrize("program", [run, mmlu])
def test_both_programs_refuse_a_folder_too_long_for_sockets(
    program: object, tmp_path: Path, monkeypatch: Patch, capfd: pytest.CaptureFixture[str]
) -> None:
    arguments = long_temporary_folder(tmp_path, monkeypatch)

    main = program.main  # type: ignore[attr-defined]
    assert main([*arguments, "--results-dir", str(tmp_path / "results")]) == 2
    assert "the sockets of the engine allow 70 at most" in capfd.readouterr().err
