"""What a value should be, and the words for what it is instead."""

from __future__ import annotations

import math

import pytest

from harness.shapes import (
    COUNT,
    NUMBER,
    POSITIVE,
    SHARE,
    TEXT,
    YES_NO,
    Each,
    Fields,
    Kind,
    fault,
    maybe,
    one_of,
    optional,
    shown,
)

RUN = Fields(
    {
        "name": TEXT,
        "error": maybe(TEXT),
        "energy": optional(NUMBER),
        "phases": Each(NUMBER, dict),
        "command": Each(TEXT),
    }
)
WHOLE = {"name": "a", "error": None, "phases": {"load_s": 1.5}, "command": ["run.py"], "more": 3}


def test_a_whole_value_has_no_fault() -> None:
    assert fault(WHOLE, RUN) is None
    assert fault(WHOLE | {"energy": None}, RUN) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"name": None}, "name is None and not a text"),
        ({"error": 3}, "error is 3 and not a text"),
        ({"energy": "3"}, "energy is '3' and not a number"),
        ({"phases": {"load_s": math.nan}}, "phases.load_s is nan and not a number"),
        ({"phases": [1]}, "phases is [1] and not an object"),
        ({"command": ["a", None]}, "command[1] is None and not a text"),
        ({"command": {"a": "b"}}, "command is {'a': 'b'} and not a list"),
    ],
)
def test_the_first_fault_is_named_with_its_place(change: dict[str, object], words: str) -> None:
    assert fault(WHOLE | change, RUN) == words


def test_what_is_missing_is_named_and_only_the_optional_may_be() -> None:
    without = {name: value for name, value in WHOLE.items() if name != "error"}

    assert fault(without, RUN) == "it has no error"
    assert fault({"run": without}, Fields({"run": RUN})) == "run has no error"
    assert fault([], RUN) == "it is [] and not an object"


def test_a_closed_object_has_no_other_fields() -> None:
    shape = Fields({"name": TEXT}, closed=True)

    assert fault({"name": "a"}, shape) is None
    assert fault({"name": "a", "b": 1}, shape) == "it has b, which nothing here knows"


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (NUMBER, [0, -1.5, 1e14], [True, math.inf, math.nan, 1e15, 10**400, "1", None]),
        (COUNT, [0, 13368], [-1, 1.0, False, 10**15]),
        (POSITIVE, [1], [0, -1, True]),
        (SHARE, [0, 0.5, 1.0], [-0.1, 1.01, math.nan, "0.5"]),
        (YES_NO, [True, False], [0, 1, "yes"]),
        (one_of(("a", "b")), ["a", "b"], ["c", ["a"], {}, None, 1]),
    ],
)
def test_kinds_hold_what_they_say(kind: Kind, good: list[object], bad: list[object]) -> None:
    assert [value for value in good if not kind.holds(value)] == []
    assert [value for value in bad if kind.holds(value)] == []


def test_a_long_value_is_cut_in_a_sentence() -> None:
    assert shown("a") == "'a'"
    assert shown("a" * 5000) == f"'{'a' * 59}..."
