"""Somebody else's text in our Markdown."""

from __future__ import annotations

import pytest

from harness.templates import as_it_stands


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Nothing special: 50% (really) - yes!", "Nothing special: 50% (really) - yes!"),
        ("a | b", r"a \| b"),
        ("**bold** _it_ `code` ~~no~~", r"\*\*bold\*\* \_it\_ \`code\` \~\~no\~\~"),
        ("![x](http://evil)", r"!\[x\](http://evil)"),
        ("<script>&lt;", r"\<script\>\&lt;"),
        ("back\\slash", r"back\\slash"),
        ("$x$", r"\$x\$"),
        ("line\n\n# two\r\n\ttab", "line # two tab"),
        ("\x1b[31mred\u202e\x00", r"\[31mred"),
        ("naïve 😀 서울", "naïve 😀 서울"),
    ],
)
def test_text_is_shown_as_it_stands(text: str, expected: str) -> None:
    assert as_it_stands(text) == expected
