"""What the files of a model's folder say: its config, its special tokens, what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from harness.errors import UsageError, first_line

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json")
WEIGHT_INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")


def read_object(requested: str, path: Path) -> dict[str, Any]:
    """A file's JSON object. Raises UsageError that names the model and the file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(
            f"--model {requested}: {path.name} cannot be read ({first_line(error)}); download it "
            "again."
        ) from error
    if not isinstance(content, dict):
        raise UsageError(
            f"--model {requested}: {path.name} is not a JSON object; download it again."
        )
    return content


def token_ids(value: Any) -> tuple[int, ...]:
    """Configs write one id, a list of them, or null."""
    if isinstance(value, int):
        return (value,)
    return tuple(value) if isinstance(value, list) else ()


def added_tokens(requested: str, folder: Path) -> frozenset[int]:
    """Ids of the special tokens. Newer tokenizers list them in tokenizer.json alone."""
    added: list[Any] = []
    if (folder / "tokenizer_config.json").is_file():
        config = read_object(requested, folder / "tokenizer_config.json")
        added = list(config.get("added_tokens_decoder") or ())
    if not added and (folder / "tokenizer.json").is_file():
        tokens = read_object(requested, folder / "tokenizer.json").get("added_tokens") or ()
        added = [token["id"] for token in tokens]
    return frozenset(map(int, added))


def missing_weights(folder: Path) -> str | None:
    """What weight files a folder lacks, in words; None when it has them all."""
    for name in WEIGHT_INDEXES:
        if (folder / name).is_file():
            shards = set(read_object(str(folder), folder / name).get("weight_map", {}).values())
            absent = sorted(shard for shard in shards if not (folder / shard).is_file())
            return f"{len(absent)} of {len(shards)} shards missing" if absent else None
    if any(folder.glob("*.safetensors")) or any(folder.glob("*.bin")):
        return None
    return "no *.safetensors and no *.bin"


def is_complete(folder: Path) -> bool:
    """Whether a folder holds all weights and a tokenizer."""
    return missing_weights(folder) is None and has_tokenizer(folder)


def has_tokenizer(folder: Path) -> bool:
    return any((folder / name).is_file() for name in TOKENIZER_FILES)
