"""Tests whose records contradict each other, so that nobody can tell which of them are true."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from harness.language import phrase
from harness.metrics import LoadGenRun
from harness.rules import accuracy, latency, performance
from harness.rules.evidence import Evidence
from harness.rules.loadgen import SCENARIO_RULE, is_of_another_test
from harness.rules.needs import loadgen_logs
from harness.rules.rule import Rule

ACCURACY, PERFORMANCE = "accuracy", "performance"  # as `loadgen_logs` names the tests
# The rules that look at the records of one test alone.
RULES = {
    ACCURACY: frozenset(spec.id for spec in accuracy.ACCURACY),
    PERFORMANCE: frozenset(spec.id for spec in (*performance.PERFORMANCE_RULES, *latency.LATENCY)),
}
# The answers against LoadGen's own account of them, and against the scores.
_OF_ANSWERS = ("accuracy-complete", "scored-log")
# What LoadGen's VALID says, too: where one is broken all the same, its log was changed.
_OF_VALID = ("loadgen-valid", "duration-reached", "queries-reached")


def contradictions(evidence: Evidence, broken: Sequence[Rule]) -> dict[str, list[str]]:
    """The tests whose records contradict each other, each with what tells it: the broken rules."""
    names = [rule.id for rule in broken]
    found: dict[str, list[str]] = {}
    for test, log in loadgen_logs(evidence):
        rules = _of_answers(evidence, log) if test == ACCURACY else _of_valid(log)
        told = [name for name in names if name in rules]
        if told and test == PERFORMANCE:
            told.insert(0, phrase("LoadGen's VALID"))
        if SCENARIO_RULE in names and is_of_another_test(evidence, test, log):
            told.insert(0, SCENARIO_RULE)
        if told:
            found[str(test)] = told
    return found


def _of_answers(evidence: Evidence, log: LoadGenRun) -> tuple[str, ...]:
    """Scores of a test that did not end are no less a contradiction; a log that is gone is none."""
    of_answers = () if evidence.accuracy_log_sha256 is None else _OF_ANSWERS
    return of_answers if log.ended else (*of_answers, "accuracy-errors")


def _of_valid(log: LoadGenRun) -> tuple[str, ...]:
    """By our own times, early stopping may miss what LoadGen, which has its own, calls VALID."""
    if not log.valid:
        return ()
    missed = log.results.get("early_stopping_met") is False
    return (*_OF_VALID, "early-stopping") if missed else _OF_VALID


def credible(evidence: Evidence, contradicted: Collection[str]) -> Evidence:
    """The evidence without what was recorded of these tests."""
    if ACCURACY in contradicted:
        evidence = dataclasses.replace(evidence, accuracy=None, answer_lengths=(), answers=())
    if PERFORMANCE in contradicted:
        evidence = dataclasses.replace(
            evidence, performance=None, repeats=(), samples=(), timeline=(), telemetry=()
        )
    return evidence
