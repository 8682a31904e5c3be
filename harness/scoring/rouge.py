"""ROUGE of pairs of texts, bit for bit what rouge_score gives, in a fifth of its time."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

ROUGE_TYPES = ("rouge1", "rouge2", "rougeL", "rougeLsum")

Chunk = tuple[Sequence[str], Sequence[str]]  # predictions, and the reference of each


class PairScore(NamedTuple):
    """What one prediction scored against its reference."""

    f_measures: tuple[float, ...]  # of ROUGE_TYPES
    characters: int  # of the prediction


def score_chunk(chunk: Chunk) -> list[PairScore]:
    """Strips the texts, puts one sentence a line, and scores each pair."""
    rouge = scorer()
    scores = []
    for prediction, reference in zip(*chunk, strict=True):
        predicted = _one_sentence_a_line(prediction)
        by_type = rouge.score(_one_sentence_a_line(reference), predicted)
        f_measures = tuple(by_type[name].fmeasure for name in ROUGE_TYPES)
        scores.append(PairScore(f_measures, len(predicted)))
    return scores


def _one_sentence_a_line(text: str) -> str:
    import nltk

    return "\n".join(nltk.sent_tokenize(text.strip()))


@functools.cache
def scorer() -> Any:
    """rouge_score's scorer with its slow parts replaced by faster ones that give the same."""
    from nltk.stem.porter import PorterStemmer
    from rouge_score import rouge_scorer, tokenize

    class CachedTokenizer:
        """DefaultTokenizer(use_stemmer=True) that stems each word once."""

        def __init__(self) -> None:
            self.stem = functools.cache(PorterStemmer().stem)

        def tokenize(self, text: str) -> Any:
            return tokenize.tokenize(text, self)

    # With lcs_ind replaced, rouge_score reads the table's last cell alone.
    rouge_scorer._lcs_table = lambda ref, can: [[lcs_rows(ref, can)[-1].bit_count()]]
    rouge_scorer.lcs_ind = lcs_indexes
    return rouge_scorer.RougeScorer(list(ROUGE_TYPES), tokenizer=CachedTokenizer())


def lcs_rows(reference: Sequence[str], candidate: Sequence[str]) -> list[int]:
    """rouge_score's table of longest common subsequences, a row in one integer (Allison, Dix 1986).

    Bit j of row i is set where the table's cell (i, j + 1) is one more than the cell (i, j).
    """
    positions: dict[str, int] = {}  # of each word of the candidate, a bit each
    for j, word in enumerate(candidate):
        positions[word] = positions.get(word, 0) | 1 << j
    row = 0
    rows = [row]
    for word in reference:
        either = row | positions.get(word, 0)
        row = either & ((either - (row << 1 | 1)) ^ either)
        rows.append(row)
    return rows


def lcs_indexes(reference: Sequence[str], candidate: Sequence[str]) -> list[int]:
    """rouge_score's lcs_ind: the same walk back through the table, cells counted from the bits."""
    rows = lcs_rows(reference, candidate)
    i, j = len(reference), len(candidate)
    indexes = []
    while i and j:
        if reference[i - 1] == candidate[j - 1]:
            i, j = i - 1, j - 1
            indexes.append(i)
        elif (rows[i] & ((1 << j - 1) - 1)).bit_count() > (
            rows[i - 1] & ((1 << j) - 1)
        ).bit_count():
            j -= 1
        else:
            i -= 1
    return indexes[::-1]
