"""Files of installed libraries, read where importing the library would take seconds."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType


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


def module_of(library: str, file: str) -> ModuleType | None:
    """A module that needs none of its library, alone; None where there is no such file.

    It is made anew at each call, and the library does not get to know of it.
    """
    spec = importlib.util.find_spec(library)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / file
    alone = importlib.util.spec_from_file_location(f"{library}_{path.stem}_alone", path)
    if not path.is_file() or alone is None or alone.loader is None:
        return None
    module = importlib.util.module_from_spec(alone)
    alone.loader.exec_module(module)
    return module
