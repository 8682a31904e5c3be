"""JSON that others wrote."""

from __future__ import annotations

import pytest

from harness import json_text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "it is nested too deep"),
        ("[" * 100_000 + "]" * 100_000, "it is nested too deep"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "it is nested too deep"),
        ('"\\ud800"', "it holds half a character, U+D800"),
        ('[{"input": "a"}, {"input": "x \\uDC00"}]', "[1].input holds half a character, U+DC00"),
        ('{"a": {"\\ude00\\ud83d": 1}}', "a name in a holds half a character, U+DE00"),
        ("9" * 5000, "Exceeds the limit"),
        ("<html>", "Expecting value"),
        ("[1, NaN]", "NaN is no number"),
        ('{"a": -Infinity}', "-Infinity is no number"),
        ("[1e999]", "1e999 is too large a number"),
    ],
    ids=[
        "open",
        "lists",
        "objects",
        "text",
        "in an entry",
        "name",
        "long number",
        "no JSON",
        "NaN",
        "infinity",
        "too large",
    ],
)
def test_what_cannot_be_used_is_a_value_error(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=r"^" + said.replace("[", r"\[").replace("+", r"\+")):
        json_text.loads(text)


def test_what_can_be_used_is_what_json_says() -> None:
    text = '{"emoji": "\\ud83d\\ude00", "ids": [1, 2.5], "none": null, "\\u00e9": ["a", {}]}'

    assert json_text.loads(text) == {
        "emoji": "😀", "ids": [1, 2.5], "none": None, "é": ["a", {}]
    }  # fmt: skip
