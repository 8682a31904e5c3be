"""An --engine-arg whose value vLLM refuses, in a sentence that names it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from harness import engine_args
from harness.engine.causes import shortened
from harness.language import phrase

_VALUE_ERROR = "Value error, "  # what pydantic puts before a sentence of vLLM's own


def named_by(error: Exception, given: Mapping[str, Any]) -> str | None:
    """Returns what vLLM says of the first argument of `given` that its error is about, or None."""
    typed = engine_args.as_text(given)
    for place, said in _complaints(error):
        for name, value in typed.items():
            if _is_about(place, said, name, value):
                why = shortened(said.removeprefix(_VALUE_ERROR).rstrip("."))
                return phrase(
                    "vLLM refuses --engine-arg {name}={value}: {why}",
                    name=name, value=value, why=why,
                )  # fmt: skip
    return None


def _complaints(error: Exception) -> Iterator[tuple[str, str]]:
    """Places (a field, or the class of settings that has it) and what is said of them."""
    errors = getattr(error, "errors", None)  # pydantic's
    if not callable(errors):
        if isinstance(error, ValueError):  # others, such as of memory, may give advice by name
            yield "", " ".join(str(error).split())
        return
    of_class = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", getattr(error, "title", "")).lower()
    for found in errors():
        path = ".".join(str(part) for part in found["loc"])
        yield path or of_class, found["msg"]
        yield of_class, f"{path}: {found['msg']}"


def _is_about(place: str, said: str, name: str, value: str) -> bool:
    """Whether the argument has that name, with or without its first word, or vLLM names it.

    Where there is no place, vLLM may quote the value alone; else it quotes what would be right.
    """
    field = place.partition(".")[0]
    same = bool(field) and (name == field or name.endswith(f"_{field}"))
    quoted = not place and f"'{value}'" in said
    return same or quoted or bool(re.search(rf"\b{re.escape(name)}\b", said))
