"""Files of installed libraries, read where importing the library would take seconds."""

from __future__ import annotations

import importlib.util
from pathlib import Path


def source_of(library: str, file: str) -> str | None:
    """The text of a file in the library's folder; None where there is no such file to read.

    The library is looked for and not imported.
    """
    spec = importlib.util.find_spec(library)
    if spec is None or spec.origin is None:
        return None
    try:
        return (Path(spec.origin).parent / file).read_text(encoding="utf-8")
    except OSError:
        return None
