"""answers.jsonl, written and read again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import LogError
from harness.logs.readable import read_readable, write_readable
from harness.metrics import END_TOKEN, LENGTH, ReadableAnswer

# Unicode's other line ends, of which Python makes lines and JSON none; a quote, a line end.
STRANGE = 'one\u2028two\u0085three "four"\nfive\x00'
ANSWERS = [
    ReadableAnswer(0, "The council", "It voted .", STRANGE, 9, END_TOKEN, 0.5, 0.25, 0.4, 0.4),
    ReadableAnswer(1, None, None, "", 128, LENGTH, None, None, None, None),
]


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    write_readable(tmp_path / "answers.jsonl", ANSWERS)

    assert read_readable(tmp_path / "answers.jsonl") == ANSWERS


def test_each_line_is_an_object_with_the_documented_keys(tmp_path: Path) -> None:
    write_readable(tmp_path / "answers.jsonl", ANSWERS)

    lines = (tmp_path / "answers.jsonl").read_bytes().decode().split("\n")
    assert lines.pop() == ""
    keys = ["index", "article", "reference", "text", "tokens", "ended_by", "rouge1", "rouge2",
            "rougeL", "rougeLsum"]  # fmt: skip
    assert [list(json.loads(line)) for line in lines] == [keys, keys]


@pytest.mark.parametrize("damage", ["{", "[]", '{"index": 3}'])
def test_a_damaged_line_is_named_with_the_way_out(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "answers.jsonl"
    write_readable(path, ANSWERS)
    path.write_text(path.read_text(encoding="utf-8") + damage, encoding="utf-8")

    with pytest.raises(LogError, match=r"answers\.jsonl, line 3 is damaged; delete the file"):
        read_readable(path)
