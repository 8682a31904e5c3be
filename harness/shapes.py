"""What a value that was read from a file should be, and where one is not that.

A shape is a kind (a text, a number ...), an object's fields with the shape of each, or `Each` of a
list or an object. `fault` names the first place that does not hold it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeGuard, TypeVar

from harness.language import phrase

# Nothing that is measured or counted here is so large; NaN is not smaller either.
LARGEST_NUMBER = 1e15
_SHOWN = 60  # characters of a value in a sentence


@dataclass(frozen=True)
class Kind:
    """What a single value should be."""

    words: str  # "a text"
    holds: Callable[[object], bool]
    may_be_null: bool = False
    may_be_absent: bool = False


@dataclass(frozen=True)
class Each:
    """A list, or an object with any names, whose parts have the same shape."""

    shape: Shape
    of: type[list[Any]] | type[dict[str, Any]] = list
    may_be_null: bool = False
    may_be_absent: bool = False


@dataclass(frozen=True)
class Fields:
    """An object with these fields; with others too, unless it is `closed`."""

    fields: Mapping[str, Shape]
    closed: bool = False
    may_be_null: bool = False
    may_be_absent: bool = False


Shape = Kind | Each | Fields
S = TypeVar("S", Kind, Each, Fields)


def is_number(value: object) -> TypeGuard[float]:
    """Whether it is a finite number, and none that nobody can have measured."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return -LARGEST_NUMBER < value < LARGEST_NUMBER


def _is_count(value: object) -> bool:
    return isinstance(value, int) and is_number(value) and value >= 0


TEXT = Kind(phrase("a text"), lambda value: isinstance(value, str))
YES_NO = Kind(phrase("true or false"), lambda value: isinstance(value, bool))
NUMBER = Kind(phrase("a number"), is_number)
COUNT = Kind(phrase("a whole number from 0 on"), _is_count)
SHARE = Kind(phrase("a share from 0 to 1"), lambda value: is_number(value) and 0 <= value <= 1)
ABOVE_0 = Kind(phrase("a number above 0"), lambda value: is_number(value) and value > 0)
POSITIVE = Kind(phrase("a whole number from 1 on"), lambda value: _is_count(value) and value != 0)
NULL = Kind("null", lambda value: value is None)
OBJECT = Kind(phrase("an object"), lambda value: isinstance(value, dict))


def one_of(values: Collection[str]) -> Kind:
    """One of a few texts."""
    names = ", ".join(values)
    return Kind(
        phrase("one of {names}", names=names),
        lambda value: isinstance(value, str) and value in values,
    )


def maybe(shape: S) -> S:
    """The same, or null."""
    return replace(shape, may_be_null=True)


def optional(shape: S) -> S:
    """The same, or null, or absent."""
    return replace(shape, may_be_null=True, may_be_absent=True)


def fault(value: object, shape: Shape, place: str = "") -> str | None:
    """The first place where a value does not have its shape, in a few words; None: nowhere.

    "run.started is 5 and not a text"; `place` is where the value itself stands.
    """
    if value is None and shape.may_be_null:
        return None
    if isinstance(shape, Kind):
        return None if shape.holds(value) else _is_not(value, shape.words, place)
    if isinstance(shape, Each) and shape.of is list:
        if not isinstance(value, list):
            return _is_not(value, phrase("a list"), place)
        parts = [(f"{place}[{number}]", part, shape.shape) for number, part in enumerate(value)]
    elif not isinstance(value, dict):
        return _is_not(value, phrase("an object"), place)
    elif isinstance(shape, Each):
        parts = [(_within(place, name), part, shape.shape) for name, part in value.items()]
    else:
        if strange := shape.closed and value.keys() - shape.fields.keys():
            return phrase(
                "{place} has {field}, which nothing here knows",
                place=_named(place), field=min(strange),
            )  # fmt: skip
        absent = [n for n, f in shape.fields.items() if n not in value and not f.may_be_absent]
        if absent:
            return phrase("{place} has no {field}", place=_named(place), field=absent[0])
        parts = [(_within(place, n), value[n], f) for n, f in shape.fields.items() if n in value]
    return next(filter(None, (fault(part, inner, name) for name, part, inner in parts)), None)


def shown(value: object) -> str:
    """A value for the middle of a sentence, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def _is_not(value: object, words: str, place: str) -> str:
    return phrase(
        "{place} is {value} and not {words}", place=_named(place), value=shown(value), words=words
    )


def _within(place: str, name: str) -> str:
    return f"{place}.{name}" if place else name


def _named(place: str) -> str:
    return place or phrase("it")
