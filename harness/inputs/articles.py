"""The entries of a data set's file: read, and refused when they cannot be run as they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import formatting, json_text
from harness.errors import UsageError, first_line
from harness.language import phrase

SAMPLE_ARTICLES = Path(__file__).parent / "data" / "sample_articles.json"


def read_entries(path: Path) -> list[dict[str, Any]]:
    """A JSON list of objects. Raises UsageError for anything else."""
    flag = f"--dataset-path {path}"
    try:
        # Windows' editors put a mark before the text.
        entries = json_text.loads(path.read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise UsageError(
            f"{flag}: the file is not JSON ({first_line(error)}); give the official "
            "cnn_eval.json as it came."
        ) from error
    except OSError as error:
        raise UsageError(
            f"{flag}: the file cannot be read ({error.strerror}); make it readable."
        ) from error
    if not isinstance(entries, list):
        raise UsageError(
            f"{flag}: the file is not a JSON list of articles; give one in the schema of the "
            "official cnn_eval.json."
        )
    return entries


def prompt_field(entries: Sequence[Any]) -> str:
    """tok_input where the first entry has it: such ids are fed to the model exactly as they are."""
    tokenised = bool(entries) and isinstance(entries[0], Mapping) and "tok_input" in entries[0]
    return "tok_input" if tokenised else "input"


def check_kinds(flag: str, entries: Sequence[Mapping[str, Any]], prompt_field: str) -> None:
    """Every entry has a prompt and a summary, each of the right kind."""
    if not entries:
        raise UsageError(f"{flag}: the data set holds no articles; give one that does.")
    kind = phrase("a list of token ids") if prompt_field == "tok_input" else phrase("a text")
    for number, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            raise UsageError(
                f"{flag}: entry {number} is not an object; each needs {prompt_field} and output."
            )
        for name in (prompt_field, "output"):
            if name not in entry:
                raise UsageError(
                    f"{flag}: entry {number} has no {name}; every entry needs {prompt_field} and "
                    "output."
                )
        prompt, output = entry[prompt_field], entry["output"]
        if not (_is_ids(prompt) if prompt_field == "tok_input" else isinstance(prompt, str)):
            raise UsageError(
                f"{flag}: {prompt_field} of entry {number} is not {kind}; correct the file."
            )
        if not isinstance(output, str):
            raise UsageError(f"{flag}: output of entry {number} is not a text; correct the file.")


def check_contents(flag: str, entries: Sequence[Mapping[str, Any]], prompt_field: str) -> None:
    """No entry is empty, and none comes twice."""
    seen: dict[Any, int] = {}
    for number, entry in enumerate(entries):
        for name in (prompt_field, "output"):
            value = entry[name]
            if not (value.strip() if isinstance(value, str) else value):
                raise UsageError(
                    f"{flag}: {name} of entry {number} is empty; fill or remove the entry."
                )
        prompt = entry[prompt_field]
        first = seen.setdefault(tuple(prompt) if isinstance(prompt, list) else prompt, number)
        if first != number:
            raise UsageError(
                f"{flag}: entries {first} and {number} have the same {prompt_field}; remove one of "
                "them."
            )


def check_vocabulary(flag: str, entries: Sequence[Mapping[str, Any]], vocab_size: int) -> None:
    """Every token id is one that the model knows."""
    for number, entry in enumerate(entries):
        if not entry["tok_input"]:
            raise UsageError(f"{flag}: tok_input of entry {number} is empty; correct the file.")
        highest, lowest = max(entry["tok_input"]), min(entry["tok_input"])
        if highest >= vocab_size or lowest < 0:
            wrong_id = highest if highest >= vocab_size else lowest
            raise UsageError(
                f"{flag}: entry {number} has token id {wrong_id}, and the model's vocabulary has "
                f"{formatting.count(vocab_size)} tokens; use the model the file was tokenised for, "
                "or remove tok_input from the file."
            )


def _is_ids(value: Any) -> bool:
    return isinstance(value, list) and set(map(type, value)) <= {int}
