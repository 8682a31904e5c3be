"""A command as it was typed, with a flag taken out or set anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def value_of(command: Sequence[str], flag: str) -> str | None:
    """What a flag was last given; None where it was not, or bare."""
    value = None
    for word, following in zip(command, [*command[1:], ""], strict=True):
        name, equals, same_word = word.partition("=")
        if name == flag:
            value = same_word if equals else following
    return None if not value or value.startswith("--") else value


def without_flag(
    command: Sequence[str], flag: str, matches: Callable[[str], bool] = lambda _value: True
) -> list[str]:
    """The command without `--flag value`, `--flag=value` or a bare `--flag`.

    A flag that can be repeated goes only where its value matches.
    """
    kept, position = list[str](), 0
    while position < len(command):
        word = command[position]
        name, equals, value = word.partition("=")
        length = 1
        if name == flag and not equals and position + 1 < len(command):
            value = command[position + 1]
            length = 1 if value.startswith("--") else 2
        if name != flag or not matches(value):
            kept += command[position : position + length]
        position += length
    return kept


def without_flags(command: Sequence[str], *flags: str) -> list[str]:
    """The command without any of these flags and their values."""
    kept = list(command)
    for flag in flags:
        kept = without_flag(kept, flag)
    return kept


def with_flag(command: Sequence[str], flag: str, value: str) -> list[str]:
    """The command with a flag set to a value, wherever and however it was given before."""
    return [*without_flag(command, flag), flag, value]
