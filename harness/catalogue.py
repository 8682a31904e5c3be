"""A catalogue of sentences in another language: a .po file of gettext, read by babel."""

from __future__ import annotations

import re
import string
from collections.abc import Mapping
from pathlib import Path

from babel.messages.pofile import read_po

# A template with fewer letters of its own would be found in texts that never were made of it.
_FEWEST_LETTERS = 8
_SENTENCES_OF_A_TEMPLATE = 3  # at most
# Between two sentences: a space after the end of one, and then what one may begin with.
_BETWEEN = re.compile(r"(?<=[.!?])(\s+)(?=[A-Z0-9`]|--)")
# What a value may be: text in which no sentence ends and another begins, or any.
_IN_A_SENTENCE = r"(?:(?![.!?]\s+(?:[A-Z0-9`]|--)).)*?[.!?]?"
_ANY = r".*?"
_SENTENCE_ENDS = re.compile(r"[.!?](?:\s|$)")


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
        """The template and the values that a text was made of; None: of nothing known here.

        Of several sentences that are known each by itself, the template is a row of values.
        """
        if " " in text and text in self._translations:
            return text, {}
        if text not in self._recognised:
            # A single word is rather a name: "accuracy" of --mode.
            self._recognised[text] = self._search(text) if " " in text else None
        return self._recognised[text]

    def _search(self, text: str) -> tuple[str, dict[str, str]] | None:
        found = self._match(text, _IN_A_SENTENCE)
        if found is not None:
            return found
        parts, known = self._sentences(text)
        # A value may have been sentences itself, such as an error within another one.
        found = None if all(known) else self._match(text, _ANY)
        if found is not None or not any(known):
            return found
        names = [f"part_{number}" for number in range(len(parts))]
        return "".join(f"{{{name}}}" for name in names), dict(zip(names, parts, strict=True))

    def _sentences(self, text: str) -> tuple[list[str], list[bool]]:
        """The text in parts, sentences and what is between them, and which sentences are known."""
        pieces = _BETWEEN.split(text)  # a sentence, a space, a sentence ...
        parts, known = list[str](), list[bool]()
        while pieces:
            for count in range(2 * _SENTENCES_OF_A_TEMPLATE - 1, 0, -2):
                sentence = "".join(pieces[:count])
                is_known = (
                    sentence in self._translations
                    or self._match(sentence, _IN_A_SENTENCE) is not None
                )
                if is_known:
                    break
            known.append(is_known)
            parts += [sentence, *pieces[count : count + 1]]
            del pieces[: count + 1]
        return parts, known

    def _match(self, text: str, value: str) -> tuple[str, dict[str, str]] | None:
        for template, literals in self._literals.items():
            if not all(literal in text for literal in literals):
                continue
            match = re.fullmatch(_pattern(template, value), text, re.DOTALL)
            if match is not None:
                return template, match.groupdict()
        return None


def _literals(template: str) -> list[str]:
    return [literal for literal, *_rest in string.Formatter().parse(template)]


def _pattern(template: str, value: str) -> str:
    """What matches a text of the template, with `value` where its values are.

    A value at whose end a sentence ends is no more than the end of that sentence.
    """
    pattern, seen = "", set[str]()
    pieces = list(string.Formatter().parse(template))
    following = [*(literal for literal, *_rest in pieces[1:]), ""]
    for (literal, name, _format, _conversion), behind in zip(pieces, following, strict=True):
        pattern += re.escape(literal)
        if name is not None:
            one = _IN_A_SENTENCE if _SENTENCE_ENDS.match(behind) else value
            pattern += f"(?P={name})" if name in seen else f"(?P<{name}>{one})"
            seen.add(name)
    return pattern
