"""The answers that LoadGen logged: in the accuracy test, and in the compliance test TEST06."""

from __future__ import annotations

import array
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness import json_text
from harness.errors import LogError
from harness.language import phrase
from harness.logs.text import read_text
from harness.metrics import AuditedAnswer, Generation
from harness.shapes import COUNT, TEXT, Each, Fields, fault, optional

_ANSWER = Fields({"qsl_idx": COUNT, "data": TEXT, "token_count": optional(COUNT)})
_AUDITED_ANSWER = Fields(
    {
        "qsl_idx": COUNT,
        "data": TEXT,
        "token_data": optional(TEXT),
        "token_count": optional(COUNT),
    }
)


def read_accuracy_log(path: Path) -> list[Generation]:
    """The answers of mlperf_log_accuracy.json that count. Raises LogError."""
    return first_answers(read_answers(path))


def first_answers(answers: Sequence[Generation]) -> list[Generation]:
    """Of several answers to one sample the first, as the official evaluation has it."""
    first: dict[int, Generation] = {}
    for answer in answers:
        first.setdefault(answer.sample_index, answer)
    return list(first.values())


def read_answers(path: Path) -> list[Generation]:
    """Every answer of mlperf_log_accuracy.json.

    Raises LogError when the file was cut off or an answer is not whole int32 tokens, as many as
    LoadGen was given.
    """
    text = read_text(path)
    try:
        entries = json_text.loads(text)
    except ValueError:
        whole = text.count(" },\n")
        raise LogError(
            f"{path} breaks off after {whole:,} answers: the accuracy test did not end. "
            "Run it again."
        ) from None
    _check_entries(entries, _ANSWER, path)
    return [Generation(entry["qsl_idx"], _tokens(entry, path)) for entry in entries]


def _check_entries(entries: object, shape: Fields, path: Path) -> None:
    if wrong := fault(entries, Each(shape), "log"):
        raise LogError(
            phrase("{path} is not a LoadGen accuracy log: {wrong}.", path=path, wrong=wrong)
        )


def _tokens(entry: dict[str, Any], path: Path) -> tuple[int, ...]:
    tokens = _int32_tokens(entry, "data", path)
    count = entry.get("token_count", len(tokens))
    if count != len(tokens):
        raise LogError(
            f"{path}: the answer to sample {entry['qsl_idx']} holds {len(tokens)} int32 tokens, "
            f"but LoadGen was told {count}."
        )
    return tokens


def _int32_tokens(entry: dict[str, Any], key: str, path: Path) -> tuple[int, ...]:
    """Tokens from LoadGen's hexadecimal text. In an audit log `token_data` may be missing."""
    try:
        tokens = array.array("i", bytes.fromhex(entry.get(key) or ""))
    except ValueError:
        raise LogError(
            f"{path}: the answer to sample {entry['qsl_idx']} is not a whole number of 4 byte "
            "(int32) tokens."
        ) from None
    if sys.byteorder == "big":
        tokens.byteswap()
    return tuple(tokens)


def read_audit_log(path: Path) -> list[AuditedAnswer]:
    """Every answer of a TEST06 log as it stands there, right or wrong.

    Raises LogError when the file was cut off, is not LoadGen's, or holds broken tokens.
    """
    try:
        entries = json_text.loads(read_text(path))
    except ValueError:
        raise LogError(f"{path} breaks off: TEST06 did not end. Run it again.") from None
    _check_entries(entries, _AUDITED_ANSWER, path)
    return [
        AuditedAnswer(
            sample_index=entry["qsl_idx"],
            token_ids=_int32_tokens(entry, "data", path),
            first_token_ids=_int32_tokens(entry, "token_data", path),
            told_count=entry.get("token_count"),
        )
        for entry in entries
    ]


def check_complete(generations: Sequence[Generation], expected_count: int) -> None:
    """Raises LogError unless samples 0 ... expected_count - 1 have exactly one answer each."""
    times = Counter(generation.sample_index for generation in generations)
    expected = range(expected_count)
    for indexes, problem in (
        ([i for i in expected if i not in times], phrase("have no answer")),
        ([i for i in times if times[i] > 1], phrase("were answered more than once")),
        ([i for i in times if i not in expected], phrase("are not in the data set")),
    ):
        if indexes:
            some = ", ".join(str(index) for index in indexes[:5]) + ", ..." * (len(indexes) > 5)
            raise LogError(
                f"The accuracy log is not complete: of {expected_count:,} samples "
                f"{len(indexes):,} {problem} (sample {some}). Run the accuracy test again."
            )
