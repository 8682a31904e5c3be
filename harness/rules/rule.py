"""What a rule of the verdict is: what it asks, what was found, and what that means for people."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness.rules.evidence import Evidence

# A failed validity rule makes a run INVALID, a failed official one only UNOFFICIAL.
VALIDITY = "validity"
OFFICIAL = "official"
PASSED = "passed"
FAILED = "failed"
NOT_APPLICABLE = "not applicable"


@dataclass(frozen=True)
class Step:
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
    step: Step | None = None


@dataclass(frozen=True)
class Spec:
    """A rule before it meets a run."""

    id: str
    kind: str
    source: str
    required: Callable[[Evidence], str]
    check: Callable[[Evidence], Finding]
    departure: str | None = None  # the departure in config.json that says the same

    def judge(self, evidence: Evidence) -> Rule:
        """The rule with what this run folder holds."""
        required, finding = self.required(evidence), self.check(evidence)
        step = finding.step or Step("")
        return Rule(
            id=self.id,
            source=self.source,
            required=required,
            found=finding.found,
            outcome=finding.outcome,
            sentence=finding.sentence or f"{required[0].upper()}{required[1:]}: {finding.found}.",
            remedy=step.command,
            kind=self.kind,
            remedy_why=step.why or None,
        )


def always(text: str) -> Callable[[Evidence], str]:
    """A requirement that is the same for every run."""
    return lambda _evidence: text


def passed(found: str) -> Finding:
    """The rule is kept."""
    return Finding(PASSED, found)


def failed(found: str, sentence: str, step: Step | None = None) -> Finding:
    """The rule is broken."""
    return Finding(FAILED, found, sentence, step)


def not_applicable(because: str) -> Finding:
    """Nothing to check, or another rule says it already."""
    return Finding(NOT_APPLICABLE, "nothing to check", because)
