"""Rules on the run as a whole: that it ended, held both tests, and passed the compliance test."""

from __future__ import annotations

from datetime import datetime

from harness.language import phrase
from harness.rules.advice import full_run, unchanged
from harness.rules.evidence import Evidence
from harness.rules.needs import BOTH_LOGS, Log
from harness.rules.rule import (
    OFFICIAL,
    VALIDITY,
    Finding,
    failed,
    not_applicable,
    passed,
    rule,
)


@rule(
    "finished",
    VALIDITY,
    source="CHK/checks/performance_check.py:111-540",
    required=phrase("the run came to its end"),
)
def _finished(evidence: Evidence) -> Finding:
    run = evidence.config["run"]
    if evidence.finished:
        return passed(phrase("it did"))
    if run["status"] == "running":
        text = phrase("The run has not said that it ended: it is still at work, or was killed.")
        why = phrase("If it was killed, the same command begins it anew:")
        return failed(phrase("it did not"), text, unchanged(evidence, why))
    interrupted = run["status"] == "interrupted"
    why = phrase("The run was interrupted; the same command begins it anew:")
    if not interrupted:
        why = phrase(
            "The reason is at the top of the report and at the end of run.log. Mend it, then "
            "repeat:"
        )
    what = phrase("was interrupted") if interrupted else phrase("failed")
    text = phrase(
        "The run {what}: {error}",
        what=what,
        error=run["error"] or phrase("run.log holds the reason."),
    )
    return failed(phrase("it {what}", what=what), text, unchanged(evidence, why))


@rule(
    "accuracy-test",
    OFFICIAL,
    source="rules:474-477",
    required=phrase("there is an accuracy test"),
    departure="no_accuracy",
)
def _accuracy_test(evidence: Evidence) -> Finding:
    if evidence.accuracy_log is not None:
        return passed(phrase("its log is there"))
    text = phrase("There is no accuracy test, so nobody can tell how good the answers are.")
    if evidence.flags.runs_accuracy:
        text = phrase("LoadGen's log of the accuracy test is not in the run folder.")
    return failed(
        phrase("no log"),
        phrase("{text} Run both tests with --mode both.", text=text),
        full_run(evidence),
    )


@rule(
    "performance-test",
    OFFICIAL,
    source="rules:474-477",
    required=phrase("there is a performance test"),
    departure="no_performance",
)
def _performance_test(evidence: Evidence) -> Finding:
    if evidence.performance is not None:
        return passed(phrase("its log is there"))
    text = phrase("There is no performance test, so there is no speed to publish.")
    if evidence.flags.runs_performance:
        text = phrase("There are no logs of a performance test in the run folder.")
    return failed(
        phrase("no log"),
        phrase("{text} Run both tests with --mode both.", text=text),
        full_run(evidence),
    )


@rule(
    "same-code",
    OFFICIAL,
    source="rules:474-477",
    required=phrase("the same program and settings in both tests"),
    needs=BOTH_LOGS,
)
def _same_code(evidence: Evidence, logs: list[Log]) -> Finding:
    """One invocation loads program and engine once; both tests must lie within this one."""
    run = evidence.config["run"]
    begin, end = _moment(run["started"]), _moment(run["finished"])
    audited = [(phrase("compliance"), evidence.compliance_log)] if evidence.compliance_log else []
    for name, log in (*logs, *audited):
        moment = _moment(log.began)
        if begin and end and moment and begin <= moment <= end:
            continue
        text = phrase(
            "LoadGen's {name} test began {began}, and this run went from {started} to "
            "{finished}. Both tests have to come from one run, with the same program and "
            "settings: use --mode both.",
            name=name,
            began=log.began or phrase("at an unknown time"),
            started=run["started"],
            finished=run["finished"] or phrase("an unknown time"),
        )
        return failed(
            phrase("the {name} test is of another time", name=name), text, full_run(evidence)
        )
    commit = evidence.config["system"].get("git_commit")
    if commit:
        return passed(phrase("one run with one engine, commit {commit}", commit=commit[:12]))
    return passed(phrase("one run with one engine"))


def _moment(text: str | None) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text or "")
    except ValueError:
        return None
    return moment if moment.tzinfo else None


@rule(
    "compliance-test06",
    OFFICIAL,
    source="CHK/constants.py:1377-1388",
    required=phrase("TEST06 passed"),
)
def _test06(evidence: Evidence) -> Finding:
    if evidence.flags.category == "edge":
        return not_applicable(phrase("No compliance test is asked for in edge."))
    result, step = evidence.compliance, full_run(evidence)
    if result is None and not evidence.full_size:
        return not_applicable(phrase("The compliance test belongs to a full run."))
    if result is None:
        text = phrase(
            "The compliance test TEST06, which a datacenter submission needs, was not run. "
            "Add --compliance 1: it takes 100 more queries."
        )
        return failed(phrase("not run"), text, step)
    if broken := next((check for check in result.checks if not check.passed), None):
        return failed(
            phrase("{check} failed", check=broken.name),
            phrase("TEST06 failed: {sentence}", sentence=broken.sentence),
            step,
        )
    if not result.passed or not result.checks or not result.verified:
        text = phrase("TEST06 left no complete result, so it counts as failed. Add --compliance 1.")
        return failed(phrase("no complete result"), text, step)
    return passed(phrase("{checks} checks passed", checks=len(result.checks)))


RUN = (_finished, _accuracy_test, _performance_test, _same_code, _test06)
