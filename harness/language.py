"""The language of what people read: English, or another one from a catalogue of sentences.

A phrase is a str, and as one it is its English text: records, logs and comparisons are English
whatever is chosen. It also keeps its template and values, and `translated` renders it anew. What
joins or formats phrases has to make a phrase of them again, or the whole stays English.
"""

from __future__ import annotations

import os
import string
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import BenchmarkError, UsageError

if TYPE_CHECKING:
    from harness.catalogue import Catalogue

ENGLISH = "en"
LANGUAGES = (ENGLISH, "ko")
VARIABLE = "MLPERF_LANG"
FOLDER = Path(__file__).with_name("languages")  # a .po file of gettext for each but English


class _Choice:
    """The one thing that a process has to know: which language, and its sentences."""

    language = ENGLISH
    catalogue: Catalogue | None = None


class Phrase(str):
    """An English text that can be said in another language."""

    template: str
    values: Mapping[str, object]
    edit: Callable[[str], str]

    def __add__(self, other: str) -> str:
        return joined("", (self, other))

    def __deepcopy__(self, _memo: dict[int, Any]) -> Phrase:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return str, (str(self),)


class _Written(str):
    """A value as a text holds it: formatted already, and not to be formatted again."""

    def __format__(self, _spec: str) -> str:
        return str(self)

    def __repr__(self) -> str:
        return str(self)


def phrase(template: str, /, **values: object) -> str:
    """A template of the catalogue with its values, which may be phrases themselves."""
    return _make(template.format(**values), template, values)


def joined(separator: str, parts: Iterable[str]) -> str:
    """What `separator.join(parts)` gives, as a phrase."""
    values = {f"part_{number}": part for number, part in enumerate(parts)}
    values["separator"] = separator
    template = "{separator}".join(f"{{{name}}}" for name in values if name != "separator")
    return _make(template.format(**values), template, values)


def edited(text: str, edit: Callable[[str], str]) -> str:
    """A text after a small change that suits every language, as to its first letter."""
    return _make(edit(text), "{text}", {"text": text}, edit)


def capitalised(text: str) -> str:
    """The text with a capital letter at its beginning."""
    return edited(text, lambda words: words[:1].upper() + words[1:])


def _make(
    text: str,
    template: str,
    values: Mapping[str, object],
    edit: Callable[[str], str] = lambda words: words,
) -> Phrase:
    made = Phrase(text)
    made.template, made.values, made.edit = template, values, edit
    return made


def choose(asked: str | None) -> None:
    """The language of this process from now on: the asked one, the variable's, or English.

    Raises UsageError for a variable that names none, BenchmarkError where babel is not installed.
    """
    language = asked or os.environ.get(VARIABLE) or ENGLISH
    if language not in LANGUAGES:
        raise UsageError(f"{VARIABLE}={language}: this is none of {', '.join(LANGUAGES)}.")
    _Choice.language, _Choice.catalogue = language, None
    if language == ENGLISH:
        return
    try:
        from harness.catalogue import Catalogue
    except ImportError:
        raise BenchmarkError(
            f"--lang {language} needs babel: pip install babel, or run `make venv`."
        ) from None
    _Choice.catalogue = Catalogue.read(FOLDER / f"{language}.po")


def chosen() -> str:
    """The language of this process."""
    return _Choice.language


def text_of(error: BaseException) -> str:
    """What an error says, as the phrase it was made of where there is one."""
    first = error.args[0] if error.args else None
    return first if isinstance(first, Phrase) else recalled(str(error))


def finalized(value: object) -> object:
    """What jinja2 puts in place of a value."""
    return translated(value) if isinstance(value, Phrase) else value


def translated(text: object) -> str:
    """A text for a reader; what is no phrase stays as it is."""
    catalogue = _Choice.catalogue
    if catalogue is None or not isinstance(text, Phrase):
        return str(text)
    values = {name: _value(value) for name, value in text.values.items()}
    return text.edit(string.Formatter().vformat(catalogue.of(text.template), (), values))


def _value(value: object) -> object:
    if isinstance(value, BaseException):
        value = text_of(value)
    if not isinstance(value, str):
        return value
    text = translated(recalled(value))
    return _Written(text) if isinstance(value, _Written) else text


def recalled(text: str) -> str:
    """The phrase that an English text was, which a file or an exception gave back as a mere text.

    The text itself where the catalogue has nothing that it can have been, and in English.
    """
    if _Choice.catalogue is None or isinstance(text, Phrase):
        return text
    found = _Choice.catalogue.recognise(text)
    if found is None:
        return text
    template, values = found
    return _make(text, template, {name: _Written(value) for name, value in values.items()})


def recalled_within(value: Any) -> Any:
    """The same for every text within what a JSON file holds."""
    if _Choice.catalogue is None:
        return value
    if isinstance(value, dict):
        return {name: recalled_within(part) for name, part in value.items()}
    if isinstance(value, list):
        return [recalled_within(part) for part in value]
    return recalled(value) if isinstance(value, str) else value
