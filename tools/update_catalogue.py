"""Brings the catalogues of sentences up to date with the sentences of the program.

New sentences come in without a translation, those that are gone go out; the tests fail until
each has its translation. With development tools installed (make venv-dev):

    python tools/update_catalogue.py
"""

from __future__ import annotations

import ast
import contextlib
import io
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

PROJECT = Path(__file__).resolve().parent.parent
KEYWORDS = {"phrase": None}
_METHODS = [("**.py", "python"), ("**.j2", "jinja2")]
# One that ends in a full stop, or several of which the last is a value.
_SENTENCE = re.compile(r"\w \w.*(?<!\.\.)\.$|[\w}]\. .*\}$", re.DOTALL)
# Modules whose sentences nobody can be told in another language.
ENGLISH_ALONE = (
    "language",  # says that no language could be chosen
)


def extracted() -> Catalog:
    """Every sentence in the program that can be said in another language, with its files."""
    catalog = Catalog()
    # Babel warns of f-strings: a value may be one, and that a template is none, a test sees to.
    with contextlib.redirect_stderr(io.StringIO()):
        found = list(
            extract_from_dir(PROJECT, _METHODS, keywords=KEYWORDS, directory_filter=_is_ours)
        )
    for file, _line, message, comments, _context in sorted(found, key=lambda row: row[:2]):
        catalog.add(message, None, [(Path(file).as_posix(), None)], auto_comments=comments)
    # Errors are no phrases: a program's last line finds them by their text.
    for path in sorted((PROJECT / "harness").rglob("*.py")):
        if path.relative_to(PROJECT / "harness").with_suffix("").as_posix() not in ENGLISH_ALONE:
            for template in sentences(ast.parse(path.read_text())):
                catalog.add(template, None, [(path.relative_to(PROJECT).as_posix(), None)])
    return catalog


def _is_ours(folder: str) -> bool:
    path = Path(folder).relative_to(PROJECT)
    return path.parts[:1] in ((), ("harness",))


def sentences(node: ast.AST) -> Iterator[str]:
    """Each whole sentence of a module as a template, but for docstrings and phrases.

    What has several lines is no sentence: a prompt, the help of a program, a file.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Constant | ast.JoinedStr):
            template = _template(child)
            if "\n" not in template and _SENTENCE.search(template):
                yield template
        elif not _is_phrase(child) and not _is_docstring(child):
            yield from sentences(child)


def _is_docstring(node: ast.AST) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _is_phrase(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and getattr(node.func, "id", None) == "phrase"


def _template(node: ast.Constant | ast.JoinedStr) -> str:
    """A text, or an f-string with a name in the place of each expression."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    template, names = "", dict[str, str]()
    for part in node.values:
        if isinstance(part, ast.Constant):
            template += str(part.value).replace("{", "{{").replace("}", "}}")
        elif isinstance(part, ast.FormattedValue):
            code = ast.unparse(part.value)
            words = re.findall(r"[A-Za-z]\w*", re.sub(r"'.*?'", "", code))
            name = words[-1].lower() if words and words[-1] != "else" else "value"
            while names.setdefault(name, code) != code:
                name += "_"
            template += f"{{{name}}}"
    return template


def update(path: Path) -> int:
    """Rewrites one .po file; returns how many sentences lack a translation."""
    with path.open("rb") as stream:
        catalog = read_po(stream)
    created = catalog.creation_date  # kept, so that it is no line that two changes differ in
    catalog.update(extracted(), no_fuzzy_matching=True)
    catalog.creation_date = created
    with path.open("wb") as stream:
        write_po(stream, catalog, width=100, ignore_obsolete=True, include_lineno=False)
    return sum(1 for message in catalog if message.id and not message.string)


if __name__ == "__main__":
    for po in sorted((PROJECT / "harness" / "languages").glob("*.po")):
        print(f"{po.name}: {update(po)} sentences lack a translation")
    sys.exit()
