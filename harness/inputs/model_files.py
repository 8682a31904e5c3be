"""What the files of a model's folder say: its config, its special tokens, its tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from harness import json_text
from harness.errors import UsageError, first_line
from harness.language import phrase

# Each of these holds the tokens of a tokenizer.
VOCABULARIES = (("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt"))
_LFS_POINTER = b"version https://git-lfs"


def read_object(requested: str, path: Path) -> dict[str, Any]:
    """A file's JSON object. Raises UsageError that names the model and the file."""
    try:
        if is_lfs_pointer(path):
            raise ValueError(phrase("it is a Git LFS pointer, not the file itself"))
        content = json_text.loads(path.read_text(encoding="utf-8"))
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
    listed = value if isinstance(value, list) else [value]
    return tuple(token_id for token_id in listed if type(token_id) is int)


def added_tokens(requested: str, folder: Path) -> frozenset[int]:
    """Ids of the special tokens. Newer tokenizers list them in tokenizer.json alone."""
    added: list[Any] = []
    name = "tokenizer_config.json"
    try:
        if (folder / name).is_file():
            added = list(read_object(requested, folder / name).get("added_tokens_decoder") or ())
        if not added and (folder / "tokenizer.json").is_file():
            name = "tokenizer.json"
            tokens = read_object(requested, folder / name).get("added_tokens") or ()
            added = [token["id"] for token in tokens]
        return frozenset(map(int, added))
    except (KeyError, TypeError, ValueError):
        raise UsageError(
            f"--model {requested}: the added tokens in {name} have no ids; download it again."
        ) from None


def has_tokenizer(folder: Path) -> bool:
    """Whether there is the vocabulary of a tokenizer; tokenizer_config.json alone is none."""
    return any(all((folder / name).is_file() for name in names) for names in VOCABULARIES)


def is_lfs_pointer(path: Path) -> bool:
    """Whether git left a few lines in place of the file, as it does without Git LFS."""
    with path.open("rb") as file:
        return file.read(len(_LFS_POINTER)) == _LFS_POINTER
