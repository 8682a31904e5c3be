"""Whether a run could stand as an official closed result, rule by rule.

A pure function of the run folder. The rules are the union of what the two official checkers ask,
and of what the rules say and neither checks. Each stands in the module of its kind: run (the run as
a whole), settings (what was run), loadgen, performance, latency and accuracy.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from harness.language import joined, phrase
from harness.rules.accuracy import ACCURACY
from harness.rules.advice import full_run
from harness.rules.evidence import Evidence
from harness.rules.latency import LATENCY
from harness.rules.loadgen import LOADGEN
from harness.rules.performance import PERFORMANCE_RULES
from harness.rules.repeats import median_of_repeats
from harness.rules.rule import (
    FAILED,
    NOT_APPLICABLE,
    OFFICIAL,
    PASSED,
    VALIDITY,
    Finding,
    Rule,
    Spec,
    failed,
    passed,
    rule,
)
from harness.rules.run import RUN
from harness.rules.settings import SETTINGS
from harness.rules.user_conf import USER_CONF

OFFICIAL_READY = "OFFICIAL-READY"
UNOFFICIAL = "VALID BUT UNOFFICIAL"
INVALID = "INVALID"
NOT_FINISHED = "FAILED"  # the run itself failed, so nothing else is asked


@rule(
    "other-departures",
    OFFICIAL,
    source="config.json",
    required=phrase("the run recorded no other departure"),
)
def _other_departures(evidence: Evidence) -> Finding:
    """What the run says of itself and no rule here knows must not be lost."""
    known = {spec.departure for spec in SPECS if spec.departure}
    strange = [d.sentence for d in evidence.departures if d.id not in known]
    if strange:
        return failed(phrase("another departure"), joined(" ", strange), full_run(evidence))
    return passed(phrase("none"))


SPECS: tuple[Spec, ...] = (
    *RUN,
    *SETTINGS,
    *LOADGEN,
    *USER_CONF,
    *PERFORMANCE_RULES,
    *LATENCY,
    *ACCURACY,
    median_of_repeats,
    _other_departures,
)
_OF_THE_PERFORMANCE_TEST = tuple(
    spec for spec in (*LOADGEN, *PERFORMANCE_RULES, *LATENCY) if spec.kind == VALIDITY
)


@dataclass(frozen=True)
class Verdict:
    """What a run folder is worth, and every rule that says so."""

    result: str
    rules: tuple[Rule, ...]

    @property
    def official(self) -> bool:
        """Whether every rule is kept."""
        return self.result == OFFICIAL_READY

    @property
    def failed(self) -> tuple[Rule, ...]:
        """The broken rules, those that make a run INVALID first."""
        broken = [judged for judged in self.rules if judged.outcome == FAILED]
        return tuple(sorted(broken, key=lambda judged: judged.kind != VALIDITY))


def judge(evidence: Evidence) -> Verdict:
    """Holds a run folder against every rule."""
    if not evidence.finished:
        return Verdict(NOT_FINISHED, tuple(_unfinished(spec, evidence) for spec in SPECS))
    rules = tuple(_with_departure(spec, evidence) for spec in SPECS)
    kinds = {judged.kind for judged in rules if judged.outcome == FAILED}
    result = INVALID if VALIDITY in kinds else UNOFFICIAL if kinds else OFFICIAL_READY
    return Verdict(result, rules)


def invalid_reasons(evidence: Evidence) -> tuple[str, ...]:
    """Why the performance test does not count: the sentences of the validity rules it breaks."""
    alone = dataclasses.replace(evidence, accuracy=None, accuracy_log=None)
    rules = (spec.judge(alone) for spec in _OF_THE_PERFORMANCE_TEST)
    return tuple(judged.sentence for judged in rules if judged.outcome == FAILED)


def _with_departure(spec: Spec, evidence: Evidence) -> Rule:
    """A rule that looks kept is broken all the same where the run itself recorded a departure."""
    judged = spec.judge(evidence)
    recorded = next((d.sentence for d in evidence.departures if d.id == spec.departure), None)
    if judged.outcome != PASSED or recorded is None:
        return judged
    step = full_run(evidence)
    return dataclasses.replace(
        judged,
        outcome=FAILED,
        found=phrase("recorded"),
        sentence=recorded,
        remedy=step.command,
        remedy_why=step.why,
    )


def _unfinished(spec: Spec, evidence: Evidence) -> Rule:
    """Of a run that did not finish only that is said."""
    if spec.id == "finished":
        return spec.judge(evidence)
    text = phrase("The run did not finish.")
    return Rule(spec.id, spec.source, "", "", NOT_APPLICABLE, text, None, spec.kind)
