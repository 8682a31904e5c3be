"""answers.jsonl: every answer of the accuracy test as text, a JSON object a line."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

from harness.errors import LogError
from harness.logs.text import read_text
from harness.metrics import ReadableAnswer
from harness.results.files import write_text


def write_readable(path: Path, answers: Iterable[ReadableAnswer]) -> None:
    """Replaces the file in one step. Raises OSError."""
    lines = (json.dumps(dataclasses.asdict(one), ensure_ascii=False) + "\n" for one in answers)
    write_text(path, "".join(lines))


def read_readable(path: Path) -> list[ReadableAnswer]:
    """The answers in the order of the samples. Raises LogError."""
    answers = []
    # Not splitlines: an answer may hold one of Unicode's other line ends.
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if not line:
            continue
        try:
            answers.append(ReadableAnswer(**json.loads(line)))
        except (ValueError, TypeError):
            raise LogError(
                f"{path}, line {number} is damaged; delete the file, and the report goes without."
            ) from None
    return answers
