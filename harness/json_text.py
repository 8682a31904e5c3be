"""JSON that others wrote: whatever is wrong with it is a ValueError."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any, NoReturn

# Half of a pair by itself is no character: it can be neither encoded nor tokenised.
_MAY_HOLD_HALVES = re.compile(r"\\u[dD][89a-fA-F]")
_HALF = re.compile("[\ud800-\udfff]")


def loads(text: str, *, strict: bool = True, finite: bool = True) -> Any:
    """What a JSON text says. Raises ValueError, also where Python would give up otherwise.

    NaN and infinity, which Python reads and JSON does not have, are errors too where numbers have
    to be `finite`.
    """
    numbers: dict[str, Any] = {"parse_constant": _no_number, "parse_float": _finite}
    try:
        value = json.loads(text, strict=strict, **(numbers if finite else {}))
        half = _half_character(value) if _MAY_HOLD_HALVES.search(text) else None
    except RecursionError:
        raise ValueError("it is nested too deep") from None
    if half is not None:
        raise ValueError(half)
    return value


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is too large a number")
    return number


def _half_character(value: Any, place: str = "") -> str | None:
    """Where a text holds half a character, in a few words; None: nowhere."""
    if isinstance(value, str):
        half = _HALF.search(value)
        return half and f"{place or 'it'} holds half a character, U+{ord(half.group()):X}"
    if isinstance(value, Mapping):
        named = [(f"{place}.{key}".lstrip("."), part) for key, part in value.items()]
        named += [(f"a name in {place or 'it'}", key) for key in value]
    elif isinstance(value, list) and not set(map(type, value)) <= {int, float}:
        named = [(f"{place}[{number}]", part) for number, part in enumerate(value)]
    else:
        return None
    found = (_half_character(part, name) for name, part in named)
    return next((half for half in found if half), None)
