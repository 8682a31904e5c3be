"""Whether a run could stand as an official closed result, rule by rule.

A pure function of the run folder. The rules are the union of what the two official checkers ask,
and of what the rules say and neither checks. Each lives beside its kind: rules_run (the run as a
whole), rules_settings (what was run), rules_loadgen, rules_performance,
rules_latency and rules_accuracy.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from harness.rules import rule
from harness.rules.accuracy import ACCURACY
from harness.rules.advice import full_run
from harness.rules.evidence import Evidence
from harness.rules.latency import LATENCY
from harness.rules.loadgen import LOADGEN
from harness.rules.performance import PERFORMANCE
from harness.rules.rule import FAILED as RULE_FAILED
from harness.rules.rule import NOT_APPLICABLE, OFFICIAL, PASSED, VALIDITY, Finding, Rule, Spec
from harness.rules.run import RUN
from harness.rules.settings import SETTINGS

OFFICIAL_READY = "OFFICIAL-READY"
UNOFFICIAL = "VALID BUT UNOFFICIAL"
INVALID = "INVALID"
FAILED = "FAILED"


def _known_departures(evidence: Evidence) -> Finding:
    """What the run says of itself and no rule here knows must not be lost."""
    known = {spec.departure for spec in SPECS if spec.departure}
    strange = [d["sentence"] for d in evidence.config["departures"] if d["id"] not in known]
    if strange:
        return rule.failed("another departure", " ".join(strange), full_run(evidence.config))
    return rule.passed("none")


SPECS: tuple[Spec, ...] = (
    *RUN,
    *SETTINGS,
    *LOADGEN,
    *PERFORMANCE,
    *LATENCY,
    *ACCURACY,
    Spec(
        "other-departures",
        OFFICIAL,
        "config.json",
        rule.always("the run recorded no other departure"),
        _known_departures,
    ),
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
        broken = [rule for rule in self.rules if rule.outcome == RULE_FAILED]
        return tuple(sorted(broken, key=lambda rule: rule.kind != VALIDITY))


def judge(evidence: Evidence) -> Verdict:
    """Holds a run folder against every rule."""
    if not evidence.finished:
        return Verdict(FAILED, tuple(_unfinished(spec, evidence) for spec in SPECS))
    rules = tuple(_with_departure(spec, evidence) for spec in SPECS)
    kinds = {rule.kind for rule in rules if rule.outcome == RULE_FAILED}
    result = INVALID if VALIDITY in kinds else UNOFFICIAL if kinds else OFFICIAL_READY
    return Verdict(result, rules)


def _with_departure(spec: Spec, evidence: Evidence) -> Rule:
    """A rule that looks kept is broken all the same where the run itself recorded a departure."""
    found = spec.judge(evidence)
    departures = evidence.config["departures"]
    recorded = next((d["sentence"] for d in departures if d["id"] == spec.departure), None)
    if found.outcome != PASSED or recorded is None:
        return found
    step = full_run(evidence.config)
    return dataclasses.replace(
        found,
        outcome=RULE_FAILED,
        found="recorded",
        sentence=recorded,
        remedy=step.command,
        remedy_why=step.why,
    )


def _unfinished(spec: Spec, evidence: Evidence) -> Rule:
    """Of a run that did not finish only that is said."""
    if spec.id == "finished":
        return spec.judge(evidence)
    text = "The run did not finish."
    return Rule(spec.id, spec.source, "", "", NOT_APPLICABLE, text, None, spec.kind)
