"""Somebody else's text in our Markdown and HTML."""

from __future__ import annotations

import pytest

from harness.templates import as_it_stands, breakable, whole_flags


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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("enable_prefix_caching", "enable_|prefix_|caching"),
        ("Accuracy/mlperf_log_detail.txt", "Accuracy/|mlperf_|log_|detail.txt"),
        ("CHK/constants.py:1153-1176", "CHK/|constants.py|:1153-1176"),
        ("27.0 queries/s, from the warm-up", "27.0 queries/s, from the warm-up"),
        ("a<b>/c_d & \u202eover", "a&lt;b&gt;/c_d &amp; over"),
        ("__init__", "__init__"),
        ("2 GB/s at 14:16:07", "2 GB/s at 14:16:07"),
    ],
)
def test_a_name_may_break_at_its_joints_and_nowhere_else(text: str, expected: str) -> None:
    assert breakable(text) == expected.replace("|", "<wbr>")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "python run.py --model demo '--mode=both'",
            "python run.py [--model] demo &#39;[--mode]=both&#39;",
        ),
        ("Leave out --total-sample-count.", "Leave out [--total-sample-count]."),
        ("<b> --", "&lt;b&gt; --"),
        ("max-num-seqs, a--b", "max-num-seqs, a--b"),
    ],
)
def test_a_flag_stays_on_one_line(text: str, expected: str) -> None:
    spans = expected.replace("[", '<span class="flag">').replace("]", "</span>")
    assert whole_flags(text) == spans
