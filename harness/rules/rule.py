"""What a rule of the verdict is: what it asks, what was found, and what that means for people."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar, overload

from harness.language import capitalised, phrase
from harness.rules.evidence import Evidence

# A failed validity rule makes a run INVALID, a failed official one only UNOFFICIAL.
VALIDITY = "validity"
OFFICIAL = "official"
# The outcomes of a rule.
PASSED = "passed"
FAILED = "failed"
NOT_APPLICABLE = "not applicable"

T = TypeVar("T")
Requirement = str | Callable[[Evidence], str]  # a text alone: the same for every run


@dataclass(frozen=True)
class NextStep:
    """One thing to do next and, where there is one, the command for it."""

    why: str
    command: str | None = None


@dataclass(frozen=True)
class Rule:
    """One rule as a run folder answers it."""

    id: str
    source: str  # where the rule is written; rounds.py says how sources are named
    required: str
    found: str
    outcome: str  # passed, failed or not applicable
    sentence: str  # for people: what was checked, or what happened and what to do
    remedy: str | None  # a command
    kind: str  # validity or official
    remedy_why: str | None = None  # what the command does


@dataclass(frozen=True)
class Finding:
    """What a check found in one run folder."""

    outcome: str
    found: str
    sentence: str | None = None  # None: the requirement and what was found say it all
    step: NextStep | None = None

    def with_remedy(self, step: NextStep) -> Finding:
        """The same with what to do about it, which a rule that is not broken does not need."""
        return dataclasses.replace(self, step=step) if self.outcome == FAILED else self


def passed(found: str) -> Finding:
    """The rule is kept."""
    return Finding(PASSED, found)


def failed(found: str, sentence: str, step: NextStep | None = None) -> Finding:
    """The rule is broken."""
    return Finding(FAILED, found, sentence, step)


def not_applicable(because: str) -> Finding:
    """Nothing to check, or another rule says it already."""
    return Finding(NOT_APPLICABLE, phrase("nothing to check"), because)


Check = Callable[[Evidence], Finding]


@dataclass(frozen=True)
class Need(Generic[T]):
    """A part of the run folder that a check looks at, and what is said where it is missing."""

    find: Callable[[Evidence], T | None]
    otherwise: str


@dataclass(frozen=True)
class Spec:
    """A rule before it meets a run."""

    id: str
    kind: str
    source: str
    required: Requirement
    check: Check
    departure: str | None = None  # the departure in config.json that says the same

    def judge(self, evidence: Evidence) -> Rule:
        """The rule with what this run folder holds."""
        required = self.required if isinstance(self.required, str) else self.required(evidence)
        finding = self.check(evidence)
        step = finding.step or NextStep("")
        return Rule(
            id=self.id,
            source=self.source,
            required=required,
            found=finding.found,
            outcome=finding.outcome,
            sentence=finding.sentence
            or phrase("{required}: {found}.", required=capitalised(required), found=finding.found),
            remedy=step.command,
            kind=self.kind,
            remedy_why=step.why or None,
        )

    def broken_by(self, evidence: Evidence) -> bool:
        """Whether this run breaks the rule."""
        return self.check(evidence).outcome == FAILED


@overload
def rule(
    name: str, kind: str, *, source: str, required: Requirement, departure: str | None = None
) -> Callable[[Check], Spec]: ...


@overload
def rule(
    name: str,
    kind: str,
    *,
    source: str,
    required: Requirement,
    needs: Need[T],
    departure: str | None = None,
) -> Callable[[Callable[[Evidence, T], Finding]], Spec]: ...


def rule(
    name: str,
    kind: str,
    *,
    source: str,
    required: Requirement,
    needs: Need[T] | None = None,
    departure: str | None = None,
) -> Callable[[Callable[..., Finding]], Spec]:
    """Makes a rule of the check below it.

    With `needs` the check is given the part it looks at, and is not asked where that is missing.
    """

    def rule_of(check: Callable[..., Finding]) -> Spec:
        whole = check if needs is None else _asked_where_possible(check, needs)
        return Spec(name, kind, source, required, whole, departure)

    return rule_of


def _asked_where_possible(check: Callable[[Evidence, T], Finding], needs: Need[T]) -> Check:
    def whole(evidence: Evidence) -> Finding:
        part = needs.find(evidence)
        return not_applicable(needs.otherwise) if part is None else check(evidence, part)

    return whole
