"""What a report says in place of the figures of a test whose records contradict each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.language import joined, phrase
from harness.rules.contradictions import ACCURACY, PERFORMANCE, RULES
from harness.rules.evidence import Evidence
from harness.rules.needs import loadgen_logs

NO_RESULT = phrase("No result: the records of this run contradict each other")
# A sentence a test: of those in summary.json, a word that is filled in would stay English.
_AGREE = {
    ACCURACY: phrase("The records of the accuracy test agree with each other, and are shown."),
    PERFORMANCE: phrase(
        "The records of the performance test agree with each other, and are shown."
    ),
}


def sentences(
    evidence: Evidence, contradicted: Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """By the test: why it has no figures, with what tells it; empty: it has them."""
    told = {test: joined(", ", parts) for test, parts in contradicted.items()}
    agree = [_AGREE[str(test)] for test, _ in loadgen_logs(evidence) if test not in told]
    said = dict[str, list[str]]({ACCURACY: [], PERFORMANCE: []})
    if ACCURACY in told:
        text = phrase(
            "The figures of the accuracy test, and the rules that they keep, are left out: its "
            "records contradict each other ({told}), so nobody can tell which of them are true. "
            "Accuracy/ holds them as they were found.",
            told=told[ACCURACY],
        )
        said[ACCURACY] = [text, *agree]
    if PERFORMANCE in told:
        text = phrase(
            "The figures of the performance test, and the rules that they keep, are left out: its "
            "records contradict each other ({told}), so nobody can tell which of them are true. "
            "Performance/ holds them as they were found.",
            told=told[PERFORMANCE],
        )
        said[PERFORMANCE] = [text, *agree]
    return said


def has_no_result(evidence: Evidence, contradicted: Mapping[str, Sequence[str]]) -> bool:
    """Whether the test that the headline is of is one of these."""
    return (PERFORMANCE if evidence.performance else ACCURACY) in contradicted


def left_out(record: Mapping[str, Any]) -> dict[str, str]:
    """By each test without figures: why, from summary.json; earlier versions left none out."""
    said: Mapping[str, Sequence[str]] = record.get("withheld", {})
    return {test: joined(" ", parts) for test, parts in said.items() if parts}


def rules_shown(record: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rules in summary.json but for those on tests whose figures are left out."""
    untold = {name for test in left_out(record) for name in RULES[test]}
    return [rule for rule in record["verdict"]["rules"] if rule["id"] not in untold]
