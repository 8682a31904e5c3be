"""Reading what is said in Korean: whether a sentence of English is left."""

from __future__ import annotations

import re

# What may be English in a Korean text: code, addresses, commands, LoadGen's and others' words.
_FOREIGN = (
    r"```.*?```",  # commands
    r"`[^`\n]*`",
    r"<style.*?</style>|<script.*?</script>|<svg.*?</svg>|<code>.*?</code>|<[^>]*>",
    r"\]\([^)]*\)",
    r"python \S+\.py(?: [\w./-]+)*",
    r"pip install \S+",
)
_ENGLISH = re.compile(r"[A-Za-z][A-Za-z']*(?:[,;:]? [A-Za-z][A-Za-z']*){4,}")


def english_left(text: str) -> list[str]:
    """Five English words or more in a row, where Korean is expected."""
    for pattern in _FOREIGN:
        text = re.sub(pattern, " | ", text, flags=re.DOTALL)
    return _ENGLISH.findall(text)
