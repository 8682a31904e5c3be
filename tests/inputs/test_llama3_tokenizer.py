"""Llama 3's tokenizer: its conversion, on a file of the same format, and who uses it."""

from __future__ import annotations

import base64
import zipfile
from pathlib import Path

import pytest
import tiktoken
from transformers.convert_slow_tokenizer import bytes_to_unicode

from harness.config import RunConfig
from harness.inputs import articles, llama3_tokenizer, wheels
from harness.inputs.model import resolve_model
from harness.inputs.model_source import SHIPPED_CONFIG_FOLDER
from harness.inputs.tokenizer import encode, load_tokenizer
from harness.inputs.wheels import Wheel
from tests.inputs.model_folders import make_folder

WORDS = (b"th", b" th", b"the", b" the", b"er", b"in", b"ing", b"\xc3\xa9", b"12", b"123")
# How Llama 3 cuts text into words.
PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|"
    r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXTS = ["the other thing", "Er in the caf\u00e9, 12345!\n\n  The end", "don't \U0001f600"]


def ranks_file(path: Path) -> Path:
    """256 bytes and a few words, each a token, as Meta's file holds 128,000."""
    tokens = [*(bytes([byte]) for byte in range(256)), *WORDS]
    lines = (b"%s %d" % (base64.b64encode(token), rank) for rank, token in enumerate(tokens))
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def reference(ranks: Path) -> tiktoken.Encoding:
    known = llama3_tokenizer.read_ranks(ranks)
    specials = {name: len(known) + i for i, name in enumerate(llama3_tokenizer.special_tokens())}
    return tiktoken.Encoding(
        "llama3", pat_str=PATTERN, mergeable_ranks=known, special_tokens=specials
    )


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this program in a cache of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "mlperf-llama31-vllm"


@pytest.fixture
def index(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Wheel]:
    """A package index that has the wheel; the wheels it was asked for."""
    cache.mkdir(parents=True)
    asked = list[Wheel]()

    def fetch(wheel: Wheel, folder: Path, _flag: str) -> Path:
        asked.append(wheel)
        with zipfile.ZipFile(folder / wheel.file_name, "w") as archive:
            archive.write(ranks_file(tmp_path / "ranks"), llama3_tokenizer.IN_WHEEL)
        return folder / wheel.file_name

    monkeypatch.setattr(wheels, "fetch", fetch)
    return asked


def test_the_special_tokens_are_llama_3_1s() -> None:
    names = llama3_tokenizer.special_tokens()

    assert len(names) == len(set(names)) == 256
    assert (names[0], names[1], names[8], names[9]) == (
        "<|begin_of_text|>", "<|end_of_text|>", "<|eom_id|>", "<|eot_id|>",
    )  # fmt: skip
    assert (names[2], names[255]) == (
        "<|reserved_special_token_0|>",
        "<|reserved_special_token_247|>",
    )


def test_a_converted_tokenizer_gives_tiktokens_ids_behind_bos(
    index: list[Wheel], tmp_path: Path
) -> None:
    llama3_tokenizer.ensure()
    expected = reference(tmp_path / "ranks")
    tokenizer = load_tokenizer(resolve_model(RunConfig(weights="dummy")))

    assert index == [llama3_tokenizer.WHEEL]
    assert encode(tokenizer, TEXTS) == [[266, *expected.encode(text)] for text in TEXTS]
    assert tokenizer.convert_tokens_to_ids("<|eot_id|>") == 266 + 9
    assert tokenizer.batch_decode(encode(tokenizer, TEXTS), skip_special_tokens=True) == TEXTS


def test_the_wheel_is_asked_for_once_and_not_kept(cache: Path, index: list[Wheel]) -> None:
    folders = [llama3_tokenizer.ensure(), llama3_tokenizer.ensure()]

    assert folders == [cache / "llama3-tokenizer-1"] * 2
    assert len(index) == 1
    assert [path.name for path in cache.iterdir() if not path.name.startswith(".")] == [
        "llama3-tokenizer-1"
    ]


@pytest.mark.usefixtures("index")
def test_an_interrupted_conversion_leaves_nothing_and_is_repeated(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_ranks: Path, folder: Path) -> None:
        (folder / "tokenizer.json").write_text("half")
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(llama3_tokenizer, "convert", interrupted)
        llama3_tokenizer.ensure()
    assert llama3_tokenizer.fetched() is None
    (cache / ".llama3-tokenizer-1-killed").mkdir()

    assert llama3_tokenizer.ensure() == llama3_tokenizer.fetched()
    assert not (cache / ".llama3-tokenizer-1-killed").exists()


@pytest.mark.usefixtures("index")
def test_dummy_weights_of_the_official_model_use_it_and_keep_their_path() -> None:
    without = resolve_model(RunConfig(weights="dummy"))
    folder = llama3_tokenizer.ensure()
    llama = resolve_model(RunConfig(weights="dummy"))

    assert (without.has_tokenizer, without.tokenizer_folder) == (False, None)
    assert (llama.has_tokenizer, llama.tokenizer_folder) == (True, str(folder))
    assert llama.path == without.path == str(SHIPPED_CONFIG_FOLDER)
    assert llama.source.endswith("Llama 3's tokenizer (llama-models==0.3.0 of the package index)")


@pytest.mark.usefixtures("index")
def test_a_folder_uses_it_for_its_shape_alone_and_no_other_vocabulary_does(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "llama")
    other = make_folder(tmp_path / "other", vocab_size=32_000)
    tokenizer = llama3_tokenizer.ensure()

    def of(place: Path) -> str | None:
        return resolve_model(RunConfig(model=str(place), weights="dummy")).tokenizer_folder

    assert of(folder) == str(tokenizer)
    assert of(other) is None


def test_the_true_one_gives_tiktokens_ids_on_every_shipped_article() -> None:
    if llama3_tokenizer.fetched() is None:
        pytest.skip("it is not on this machine: python run.py fetch tokenizer")
    texts = [entry["input"] for entry in articles.read_entries(articles.SAMPLE_ARTICLES)]
    tokenizer = load_tokenizer(resolve_model(RunConfig(weights="dummy")))
    byte_of = {character: byte for byte, character in bytes_to_unicode().items()}
    ranks = {
        bytes(byte_of[character] for character in name): rank
        for name, rank in tokenizer.get_vocab().items()
        if rank < 128_000
    }
    expected = tiktoken.Encoding(
        "llama3", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={}
    )

    assert len(tokenizer) == 128_256
    assert encode(tokenizer, texts) == [[128_000, *expected.encode(text)] for text in texts]
