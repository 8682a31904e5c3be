"""The catalogue has every sentence of the program, and its translation."""

from __future__ import annotations

import ast
import string
from pathlib import Path

import pytest
from babel.messages.catalog import Message
from babel.messages.pofile import read_po

from harness import language
from harness.language import Phrase, phrase, recalled, translated
from tests.korean import english_left
from tools import update_catalogue

pytestmark = pytest.mark.usefixtures("korean")
FILES = sorted(language.FOLDER.glob("*.po"))
PROJECT = Path(__file__).resolve().parent.parent
SOURCES = [*PROJECT.glob("*.py"), *sorted((PROJECT / "harness").rglob("*.py"))]
EXTRACTED = update_catalogue.extracted()


def messages(path: Path) -> list[Message]:
    with path.open("rb") as stream:
        catalog = read_po(stream, abort_invalid=True)
    assert not catalog.obsolete, "renew it: python tools/update_catalogue.py"
    return [message for message in catalog if message.id]


def fields(template: str) -> set[str]:
    return {
        name for _text, name, _format, _conversion in string.Formatter().parse(template) if name
    }


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_every_phrase_is_made_of_a_template_that_stands_there(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "phrase":
            template = node.args[0]
            assert isinstance(template, ast.Constant), ast.unparse(node)


def test_there_is_a_catalogue_of_every_language_but_english() -> None:
    assert [path.stem for path in FILES] == sorted({*language.LANGUAGES} - {language.ENGLISH})


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_sentence_is_in_the_catalogue_and_nothing_else(path: Path) -> None:
    program = {message.id for message in EXTRACTED if message.id}
    known = {message.id for message in messages(path)}
    assert program - known == set(), "add them: python tools/update_catalogue.py"
    assert known - program == set(), "remove them: python tools/update_catalogue.py"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_sentence_is_translated_for_good_and_keeps_its_values(path: Path) -> None:
    for message in messages(path):
        assert message.string and not message.fuzzy, message.id
        # {value} is a word of English grammar in an error: "is" or "are".
        assert fields(message.id) - {"value"} <= fields(message.string), message.id
        assert fields(message.string) <= fields(message.id), message.id
        ends = [words[-1] in ".!" for words in (message.id, message.string)]
        assert not ends[0] or message.string[-1] in ".!)", message.id


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_no_translation_is_the_english_sentence(path: Path) -> None:
    for message in messages(path):
        assert not english_left(message.string), message.id


def test_a_sentence_with_a_formatted_value_is_recalled_as_it_was_said() -> None:
    recalled_ones = 0
    for template in (message.id for path in FILES for message in messages(path)):
        parts = [part for part in string.Formatter().parse(template) if part[1]]
        if any(spec or conversion for _text, _name, spec, conversion in parts):
            values = {str(name): 1234.5 if spec else "x" for _text, name, spec, _ in parts}
            made = phrase(template, **values)
            again = recalled(str(made))
            if isinstance(again, Phrase):
                recalled_ones += 1
                assert translated(again) == translated(made)
    assert recalled_ones > 20
