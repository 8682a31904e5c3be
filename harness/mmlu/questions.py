"""The questions of MMLU: which are asked, and which are shown before them as examples."""

from __future__ import annotations

import difflib
import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.errors import UsageError
from harness.language import phrase
from harness.mmlu.subjects import DOMAIN_OF

LETTERS = "ABCD"
SUBSET_SEED = 0


@dataclass(frozen=True)
class Question:
    """One question with its four choices; `answer` is the position of the right one."""

    subject: str
    number: int  # position within its subject and split
    question: str
    choices: tuple[str, str, str, str]
    answer: int

    @property
    def id(self) -> str:
        """Names it in samples.csv, however few are asked."""
        return f"{self.subject}-{self.number}"

    @property
    def domain(self) -> str:
        """One of the four domains of mmlu_subjects."""
        return DOMAIN_OF[self.subject]

    @property
    def letter(self) -> str:
        """The right answer."""
        return LETTERS[self.answer]


@dataclass(frozen=True)
class QuestionSet:
    """The questions asked, and each subject's examples in their order."""

    name: str
    source: str  # for people
    questions: tuple[Question, ...]
    examples: Mapping[str, tuple[Question, ...]]
    available: int  # questions there were before any choice

    @property
    def subjects(self) -> tuple[str, ...]:
        """The subjects asked about, in the order of their first question."""
        return tuple(dict.fromkeys(question.subject for question in self.questions))

    @property
    def checksum(self) -> str:
        """SHA-256 of the questions asked and the examples, in their order."""
        digest = hashlib.sha256()
        shown = [one for subject in self.subjects for one in self.examples.get(subject, ())]
        for one in (*self.questions, *shown):
            content = [one.subject, one.question, *one.choices, one.answer]
            digest.update(json.dumps(content, ensure_ascii=False).encode() + b"\n")
        return digest.hexdigest()


def choose(
    data: QuestionSet, *, subjects: Sequence[str], total_limit: int | None, num_fewshot: int
) -> QuestionSet:
    """The subset that is asked: the same questions at every call. No `subjects`: all of them.

    Raises UsageError: a subject that is not there, or too few examples in one.
    """
    there = {question.subject for question in data.questions}
    for subject in subjects:
        if subject not in there:
            close = difflib.get_close_matches(subject, sorted(there), n=1)
            hint = (
                phrase("did you mean {close}?", close=close[0])
                if close
                else phrase("there are {subjects}.", subjects=", ".join(sorted(there)))
            )
            raise UsageError(
                phrase(
                    "--subjects {subject}: the questions ({name}) have none of that subject; "
                    "{hint}",
                    subject=subject, name=data.name, hint=hint,
                )
            )  # fmt: skip
    asked = [one for one in data.questions if not subjects or one.subject in subjects]
    if total_limit is not None and total_limit < len(asked):
        asked = _stratified(asked, total_limit)
    for subject in dict.fromkeys(one.subject for one in asked):
        found = len(data.examples.get(subject, ()))
        if found < num_fewshot:
            raise UsageError(
                f"--num-fewshot {num_fewshot}: {subject} has {found} examples (split dev) in "
                f"{data.name}; use --num-fewshot {found}, or add examples."
            )
    examples = {subject: shown[:num_fewshot] for subject, shown in data.examples.items()}
    return QuestionSet(data.name, data.source, tuple(asked), examples, data.available)


def _stratified(questions: Sequence[Question], limit: int) -> list[Question]:
    """`limit` questions, each subject with its share of them, in the order they came in."""
    by_subject: dict[str, list[Question]] = {}
    for one in questions:
        by_subject.setdefault(one.subject, []).append(one)
    shares = _shares({subject: len(found) for subject, found in by_subject.items()}, limit)
    chosen: set[str] = set()
    for subject, found in by_subject.items():
        # Drawn by the subject's own generator: other subjects change nothing in it. A larger share
        # holds the smaller one.
        drawn = random.Random(f"{SUBSET_SEED} {subject}").sample(found, len(found))
        chosen.update(one.id for one in drawn[: shares[subject]])
    return [one for one in questions if one.id in chosen]


def _shares(sizes: Mapping[str, int], limit: int) -> dict[str, int]:
    """How many of each subject: one at least where the limit allows, else by the largest remainder.

    With fewer than one for each, subjects are drawn.
    """
    if limit < len(sizes):
        drawn = random.Random(SUBSET_SEED).sample(sorted(sizes), limit)
        return {subject: int(subject in drawn) for subject in sizes}
    # One for each, and the rest in proportion to what is left of each.
    left, rest = sum(sizes.values()) - len(sizes), limit - len(sizes)
    exact = {subject: (size - 1) * rest / left if left else 0.0 for subject, size in sizes.items()}
    shares = {subject: 1 + int(value) for subject, value in exact.items()}
    by_remainder = sorted(
        sizes, key=lambda subject: (int(exact[subject]) - exact[subject], subject)
    )
    for subject in by_remainder[: limit - sum(shares.values())]:
        shares[subject] += 1
    return shares
