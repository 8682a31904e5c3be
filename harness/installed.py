"""Files of installed libraries, read where importing the library would take seconds."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType


def source_of(library: str, file: str) -> str | None:
    """The text of a file in the library's folder; None where there is no such file to read.

    The library is looked for and not imported.
    """
    path = _place(library, file)
    try:
        return None if path is None else path.read_text(encoding="utf-8")
    except OSError:
        return None


def module_of(library: str, file: str) -> ModuleType | None:
    """A module that needs none of its library, alone; None where there is no such file.

    It is made anew at each call, and the library does not get to know of it.
    """
    path = _place(library, file)
    if path is None or not path.is_file():
        return None
    alone = importlib.util.spec_from_file_location(f"{library}_{path.stem}_alone", path)
    if alone is None or alone.loader is None:
        return None
    module = importlib.util.module_from_spec(alone)
    alone.loader.exec_module(module)
    return module


def _place(library: str, file: str) -> Path | None:
    spec = importlib.util.find_spec(library)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / file
