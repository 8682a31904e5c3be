"""Answers to accuracies: of all questions, of each domain and of each subject."""

from __future__ import annotations

import csv
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.mmlu.questions import LETTERS, Question
from harness.mmlu.subjects import DOMAIN_OF, DOMAINS


@dataclass(frozen=True)
class Answered:
    """A question with what the model made of it."""

    question: Question
    pred: int | None  # position of the choice taken; None: no letter could be read
    logprobs: tuple[float, ...] | None  # of the four letters, natural logarithms; plain alone
    raw_text: str | None  # the answer's own text; llama alone
    latency_ms: float  # from handing the question over, the wait for a place in the engine included
    prompt_tokens: int
    answer_tokens: int

    @property
    def correct(self) -> bool:
        """An answer that cannot be read is wrong."""
        return self.pred == self.question.answer


@dataclass(frozen=True)
class Tally:
    """How many questions were answered right."""

    correct: int
    total: int
    unparsed: int

    @property
    def accuracy(self) -> float:
        """A share from 0 to 1."""
        return self.correct / self.total

    @property
    def standard_error(self) -> float | None:
        """Of the accuracy, by the sample's own variance: sqrt(p (1 - p) / (n - 1))."""
        if self.total < 2:
            return None
        return math.sqrt(self.accuracy * (1 - self.accuracy) / (self.total - 1))


@dataclass(frozen=True)
class Score:
    """The result of one evaluation."""

    overall: Tally
    domains: dict[str, Tally]  # those that have questions, in the order of mmlu_subjects
    subjects: dict[str, Tally]

    @classmethod
    def of_subjects(cls, subjects: Mapping[str, Tally]) -> Score:
        """The score that follows from the counts of each subject; there is at least one."""
        by_domain: dict[str, list[Tally]] = {name: [] for name in DOMAINS}
        for name, tally in subjects.items():
            by_domain[DOMAIN_OF[name]].append(tally)
        return cls(
            overall=_total(subjects.values()),
            domains={name: _total(tallies) for name, tallies in by_domain.items() if tallies},
            subjects=dict(sorted(subjects.items())),
        )

    @property
    def macro_accuracy(self) -> float:
        """The mean of the subjects' accuracies, each subject counting the same."""
        return sum(one.accuracy for one in self.subjects.values()) / len(self.subjects)


def likeliest(logprobs: Sequence[float]) -> int:
    """The position of the highest; of equal ones the first."""
    return max(range(len(logprobs)), key=lambda position: logprobs[position])


def score(answers: Sequence[Answered]) -> Score:
    """Counts the answers, of which there is at least one."""
    subjects: dict[str, list[Answered]] = {}
    for one in answers:
        subjects.setdefault(one.question.subject, []).append(one)
    return Score.of_subjects({name: _tally(of_one) for name, of_one in subjects.items()})


def _total(tallies: Collection[Tally]) -> Tally:
    return Tally(
        correct=sum(tally.correct for tally in tallies),
        total=sum(tally.total for tally in tallies),
        unparsed=sum(tally.unparsed for tally in tallies),
    )


def _tally(answers: Sequence[Answered]) -> Tally:
    return Tally(
        correct=sum(one.correct for one in answers),
        total=len(answers),
        unparsed=sum(one.pred is None for one in answers),
    )


def write_samples_csv(path: Path, protocol: str, answers: Iterable[Answered]) -> None:
    """A row for each question, in the order asked; what the protocol does not have stays empty."""
    columns = ["protocol", "subject", "domain", "question_id", "answer", "pred", "correct"]
    columns += [f"logprob_{letter}" for letter in LETTERS]
    columns += ["raw_text", "latency_ms", "prompt_tokens", "answer_tokens"]
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(columns)
        for one in answers:
            logprobs = one.logprobs or (None,) * len(LETTERS)
            rows.writerow(
                [
                    protocol,
                    one.question.subject,
                    one.question.domain,
                    one.question.id,
                    one.question.letter,
                    "" if one.pred is None else LETTERS[one.pred],
                    int(one.correct),
                    *("" if value is None else f"{value:.6f}" for value in logprobs),
                    one.raw_text or "",
                    f"{one.latency_ms:.3f}",
                    one.prompt_tokens,
                    one.answer_tokens,
                ]
            )
