"""Rules on the run as a whole: for each a run that breaks that one alone."""

from __future__ import annotations

import dataclasses

from harness.config import Scenario
from harness.metrics import ComplianceCheck
from tests.rules.changes import (
    Cases,
    Change,
    accuracy_log,
    asked,
    assert_broken_alone,
    compliance,
    departed,
    each_case,
    performance_log,
    recorded,
    without,
)
from tests.rules.runs import INTERACTIVE, OFFLINE, SERVER, TEST06

BROKEN_CHECK = ComplianceCheck("token count", False, "3 answers have another length.")

CASES: Cases = {
    "finished": [
        (OFFLINE, recorded("run", status="failed", error="The engine died.")),
        (SERVER, recorded("run", status="interrupted", error=None)),
        (OFFLINE, recorded("run", status="running")),
    ],
    "accuracy-test": [
        (OFFLINE, lambda e: without(accuracy=None, accuracy_log=None, answered=())(
            asked(mode="performance")(e))),
        (SERVER, without(accuracy=None, accuracy_log=None, answered=())),
        (SERVER, departed("no_accuracy")),
    ],
    "performance-test": [
        (OFFLINE, lambda e: without(performance=None, samples=())(asked(mode="accuracy")(e))),
        (SERVER, without(performance=None, samples=())),
        (SERVER, departed("no_performance")),
    ],
    "same-code": [
        (OFFLINE, accuracy_log(began="2026-11-22T20:21:50Z")),
        (SERVER, performance_log(began="2026-11-23T21:00:01Z")),
        (OFFLINE, performance_log(began=None)),
        (OFFLINE, recorded("run", finished=None)),
        (SERVER, lambda e: without(compliance_log=dataclasses.replace(
            e.accuracy_log, began="2026-11-22T20:21:50Z"))(e)),  # type: ignore[type-var]
    ],
    "compliance-test06": [
        (OFFLINE, without(compliance=None)),
        (INTERACTIVE, compliance(passed=False)),
        (SERVER, compliance(passed=False, checks=(BROKEN_CHECK,))),
        (SERVER, compliance(checks=(*TEST06.checks, BROKEN_CHECK))),
        (SERVER, compliance(checks=())),
        (OFFLINE, compliance(verified=False)),
    ],
}  # fmt: skip


@each_case(CASES)
def test_the_verdict_names_the_broken_rule_and_no_other(
    rule: str, scenario: Scenario, change: Change
) -> None:
    assert_broken_alone(rule, scenario, change)
