"""nltk's sentence model: whether it is whole, asked before anything is measured that it scores."""

from __future__ import annotations

from harness.errors import UsageError, first_line
from harness.language import phrase

# Entries of each part of English punkt_tab. A part that was cut short still loads, and would put
# the sentences of rougeLsum elsewhere.
_ENTRIES = {
    "abbrev_types": 156,
    "collocations": 37,
    "sent_starters": 39,
    "ortho_context": 20_366,
}
_WAY_OUT = phrase("run `make venv`, or `python run.py fetch punkt`")


def check_sentence_splitter() -> None:
    """Loads nltk's sentence model as scoring will. Raises UsageError unless it is whole."""
    from nltk.tokenize.punkt import PunktTokenizer

    try:
        parameters = PunktTokenizer("english")._params
    except LookupError:
        raise UsageError(
            f"The sentence splitter's data (nltk punkt_tab) is not installed; {_WAY_OUT}."
        ) from None
    except (OSError, ValueError) as error:
        raise UsageError(
            "The sentence splitter's data (nltk punkt_tab) is not whole "
            f"({first_line(error)}); {_WAY_OUT}."
        ) from error
    for part, least in _ENTRIES.items():
        entries = len(getattr(parameters, part))
        if entries < least:
            raise UsageError(
                f"The sentence splitter's data (nltk punkt_tab) is not whole: {part} has {entries} "
                f"entries of {least}; {_WAY_OUT}."
            )
