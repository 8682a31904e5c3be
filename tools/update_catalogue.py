"""Brings the catalogues of sentences up to date with the sentences of the program.

New sentences come in without a translation, those that are gone go out; the tests fail until
each has its translation. With development tools installed (make venv-dev):

    python tools/update_catalogue.py
"""

from __future__ import annotations

import contextlib
import io
import sys
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

PROJECT = Path(__file__).resolve().parent.parent
KEYWORDS = {"phrase": None}
_METHODS = [("**.py", "python"), ("**.j2", "jinja2")]


def extracted() -> Catalog:
    """Every template that the program makes phrases of, with the files it is in."""
    catalog = Catalog()
    # Babel warns of f-strings: a value may be one, and that a template is none, a test sees to.
    with contextlib.redirect_stderr(io.StringIO()):
        found = list(
            extract_from_dir(PROJECT, _METHODS, keywords=KEYWORDS, directory_filter=_is_ours)
        )
    for file, _line, message, comments, _context in sorted(found, key=lambda row: row[:2]):
        catalog.add(message, None, [(Path(file).as_posix(), None)], auto_comments=comments)
    return catalog


def _is_ours(folder: str) -> bool:
    path = Path(folder).relative_to(PROJECT)
    return path.parts[:1] in ((), ("harness",))


def update(path: Path) -> int:
    """Rewrites one .po file; returns how many sentences lack a translation."""
    with path.open("rb") as stream:
        catalog = read_po(stream)
    catalog.update(extracted(), no_fuzzy_matching=True)
    with path.open("wb") as stream:
        write_po(stream, catalog, width=100, ignore_obsolete=True, include_lineno=False)
    return sum(1 for message in catalog if message.id and not message.string)


if __name__ == "__main__":
    for po in sorted((PROJECT / "harness" / "languages").glob("*.po")):
        print(f"{po.name}: {update(po)} sentences lack a translation")
    sys.exit()
