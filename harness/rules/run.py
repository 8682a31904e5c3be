"""Rules on the run as a whole: that it ended, held both tests, and passed the compliance test."""

from __future__ import annotations

from datetime import datetime

from harness.rules.advice import full_run, repeat
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
    required="the run came to its end",
)
def _finished(evidence: Evidence) -> Finding:
    run = evidence.config["run"]
    if evidence.finished:
        return passed("it did")
    why = "The reason is at the top of the report and at the end of run.log. Mend it, then repeat:"
    again = repeat(evidence, why)
    if run["status"] == "running":
        text = "The run has not said that it ended: it is still at work, or was killed."
        return failed("it did not", text, again)
    what = "was interrupted" if run["status"] == "interrupted" else "failed"
    text = f"The run {what}: {run['error'] or 'run.log holds the reason.'}"
    return failed(f"it {what}", text, again)


@rule(
    "accuracy-test",
    OFFICIAL,
    source="rules:474-477",
    required="there is an accuracy test",
    departure="no_accuracy",
)
def _accuracy_test(evidence: Evidence) -> Finding:
    if evidence.accuracy_log is not None:
        return passed("its log is there")
    text = "There is no accuracy test, so nobody can tell how good the answers are."
    if evidence.flags.runs_accuracy:
        text = "LoadGen's log of the accuracy test is not in the run folder."
    return failed("no log", f"{text} Run both tests with --mode both.", full_run(evidence))


@rule(
    "performance-test",
    OFFICIAL,
    source="rules:474-477",
    required="there is a performance test",
    departure="no_performance",
)
def _performance_test(evidence: Evidence) -> Finding:
    if evidence.performance is not None:
        return passed("its log is there")
    text = "There is no performance test, so there is no speed to publish."
    if evidence.flags.runs_performance:
        text = "There are no logs of a performance test in the run folder."
    return failed("no log", f"{text} Run both tests with --mode both.", full_run(evidence))


@rule(
    "same-code",
    OFFICIAL,
    source="rules:474-477",
    required="the same program and settings in both tests",
    needs=BOTH_LOGS,
)
def _same_code(evidence: Evidence, logs: list[Log]) -> Finding:
    """One invocation loads program and engine once; both tests must lie within this one."""
    run = evidence.config["run"]
    begin, end = _moment(run["started"]), _moment(run["finished"])
    audited = [("compliance", evidence.compliance_log)] if evidence.compliance_log else []
    for name, log in (*logs, *audited):
        moment = _moment(log.began)
        if begin and end and moment and begin <= moment <= end:
            continue
        text = (
            f"LoadGen's {name} test began {log.began or 'at an unknown time'}, and this run went "
            f"from {run['started']} to {run['finished'] or 'an unknown time'}. Both tests have to "
            "come from one run, with the same program and settings: use --mode both."
        )
        return failed(f"the {name} test is of another time", text, full_run(evidence))
    commit = evidence.config["system"].get("git_commit")
    return passed("one run with one engine" + (f", commit {commit[:12]}" if commit else ""))


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
    required="TEST06 passed",
)
def _test06(evidence: Evidence) -> Finding:
    if evidence.flags.category == "edge":
        return not_applicable("No compliance test is asked for in edge.")
    result, step = evidence.compliance, full_run(evidence)
    if result is None and not evidence.full_size:
        return not_applicable("The compliance test belongs to a full run.")
    if result is None:
        text = (
            "The compliance test TEST06, which a datacenter submission needs, was not run. "
            "Add --compliance 1: it takes 100 more queries."
        )
        return failed("not run", text, step)
    if broken := next((check for check in result.checks if not check.passed), None):
        return failed(f"{broken.name} failed", f"TEST06 failed: {broken.sentence}", step)
    if not result.passed or not result.checks or not result.verified:
        text = "TEST06 left no complete result, so it counts as failed. Add --compliance 1."
        return failed("no complete result", text, step)
    return passed(f"{len(result.checks)} checks passed")


RUN = (_finished, _accuracy_test, _performance_test, _same_code, _test06)
