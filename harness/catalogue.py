"""A catalogue of sentences in another language: a .po file of gettext, read by babel."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from pathlib import Path

from babel.messages.pofile import read_po

# A template with fewer letters of its own would be found in texts that never were made of it.
_FEWEST_LETTERS = 8


class Catalogue:
    """English templates and what they are in the language."""

    def __init__(self, translations: Mapping[str, str]) -> None:
        self._translations = translations
        literals = {template: _literals(template) for template in translations}
        letters = {t: sum(map(str.isalpha, "".join(parts))) for t, parts in literals.items()}
        longest_first = sorted(letters, key=lambda template: -letters[template])
        self._literals = {t: literals[t] for t in longest_first if letters[t] >= _FEWEST_LETTERS}
        self._recognised: dict[str, tuple[str, dict[str, str]] | None] = {}

    @classmethod
    def read(cls, path: Path) -> Catalogue:
        """The .po file; what is fuzzy or not translated is not in it."""
        with path.open("rb") as stream:
            messages = read_po(stream)
        return cls(
            {
                str(message.id): str(message.string)
                for message in messages
                if message.id and message.string and not message.fuzzy
            }
        )

    def of(self, template: str) -> str:
        """The template in the language, or in English where it is not translated."""
        return self._translations.get(template, template)

    def recognise(self, text: str) -> tuple[str, dict[str, str]] | None:
        """The template and the values that a text was made of; None: of nothing known here."""
        if " " in text and text in self._translations:
            return text, {}
        if text not in self._recognised:
            # A single word is rather a name: "accuracy" of --mode.
            self._recognised[text] = self._search(text) if " " in text else None
        return self._recognised[text]

    def _search(self, text: str) -> tuple[str, dict[str, str]] | None:
        for template, literals in self._literals.items():
            if not all(literal in text for literal in literals):
                continue
            match = re.fullmatch(_pattern(template), text, re.DOTALL)
            if match is not None:
                return template, match.groupdict()
        return None


def _literals(template: str) -> list[str]:
    return [literal for literal, *_rest in string.Formatter().parse(template)]


def _pattern(template: str) -> str:
    pattern, seen = "", set[str]()
    for literal, name, _format, _conversion in string.Formatter().parse(template):
        pattern += re.escape(literal)
        if name is not None:
            pattern += f"(?P={name})" if name in seen else f"(?P<{name}>.*?)"
            seen.add(name)
    return pattern
