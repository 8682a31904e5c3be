"""Rules on the accuracy test: its errors, that every answer is there, the gate."""

from __future__ import annotations

import math
from collections import Counter

from harness import formatting
from harness.metrics import AccuracyResult, LoadGenRun
from harness.rules.advice import closer_answers, full_run, repeat
from harness.rules.evidence import ROUGE_NAMES, Evidence
from harness.rules.needs import ACCURACY_LOG, FULL_ACCURACY_LOG, NO_SCORES, SCORED_LOG, SCORES
from harness.rules.rule import (
    NOT_APPLICABLE,
    OFFICIAL,
    VALIDITY,
    Finding,
    Spec,
    failed,
    not_applicable,
    passed,
    rule,
)
from harness.rules.validity import BUILT_UNCOMMITTED
from harness.scoring.accuracy import LONG_HINT, SHORT_HINT, contradiction, gate, printed_percent

_CHECK = "CHK/checks/accuracy_check.py:254-310"
_GATE = "CHK/constants.py:1153-1176"
_UNSCORED = "There is no rouge.json in the run folder; report.py --rescore scores the accuracy log."


@rule(
    "accuracy-errors",
    VALIDITY,
    source=_CHECK,
    required="LoadGen has no errors in the accuracy test",
    needs=ACCURACY_LOG,
)
def _errors(evidence: Evidence, log: LoadGenRun) -> Finding:
    if not log.ended:
        text = "LoadGen's accuracy log breaks off: the test did not end. Run it again."
        return failed("the log breaks off", text, repeat(evidence))
    errors = [error for error in log.errors if not error.startswith(BUILT_UNCOMMITTED)]
    if not errors:
        return passed("none")
    kinds = f"{len(errors)} kind{'s' if len(errors) > 1 else ''} of error"
    text = (
        f"LoadGen's accuracy log has an error: {errors[0].rstrip('.')}. A result with errors does "
        "not count; run.log tells more. Run it again."
    )
    return failed(kinds, text, repeat(evidence))


def _in_the_log(log: LoadGenRun) -> int | None:
    """The samples of the accuracy test by LoadGen's own log, as each of its releases says it."""
    count = log.effective.get("accuracy_sample_count")
    return count if isinstance(count, int) else log.dataset_samples


@rule(
    "accuracy-samples",
    OFFICIAL,
    source=_CHECK,
    required=lambda e: f"the accuracy test is of {e.category.dataset_samples:,} samples",
    needs=FULL_ACCURACY_LOG,
)
def _samples(evidence: Evidence, log: LoadGenRun) -> Finding:
    whole, count = evidence.category.dataset_samples, _in_the_log(log)
    samples = f"{formatting.count(count)} samples"
    if count == whole:
        return passed(samples)
    text = (
        f"LoadGen's accuracy log is of {samples}; the data set has {formatting.count(whole)}. "
        "Leave out --total-sample-count and run it again."
    )
    return failed(samples, text, full_run(evidence))


@rule(
    "accuracy-complete",
    VALIDITY,
    source=_CHECK,
    required="every sample has one answer, and all were scored",
    needs=ACCURACY_LOG,
)
def _complete(evidence: Evidence, log: LoadGenRun) -> Finding:
    expected = _in_the_log(log) or 0
    times = Counter(evidence.answered)
    repeated = sum(count > 1 for count in times.values())
    strangers = sum(not 0 <= index < expected for index in times)
    missing = expected - (len(times) - strangers)
    scored = evidence.accuracy.gen_num if evidence.accuracy else expected
    of = f"of {formatting.count(expected)} samples"
    for count, what in (
        (missing, f"no answer to {formatting.count(missing)} {of}"),
        (repeated, f"several answers to {formatting.count(repeated)} {of}"),
        (strangers, f"answers to {formatting.count(strangers)} samples outside the data set"),
    ):
        if count:
            text = f"The accuracy log has {what}; each sample needs exactly one. Run it again."
            return failed(what, text, repeat(evidence))
    if scored != expected:
        what = f"{formatting.count(scored)} answers were scored"
        text = (
            f"The accuracy log holds {formatting.count(expected)} answers, but {what}. Run it "
            "again."
        )
        return failed(what, text, repeat(evidence))
    return passed(f"{formatting.count(expected)} answers, one for each sample")


@rule(
    "scored-log",
    VALIDITY,
    source="rouge.json",
    required="the scores are of this accuracy log",
    needs=SCORED_LOG,
)
def _scored_log(evidence: Evidence, logged: str) -> Finding:
    recorded = evidence.accuracy.log_sha256 if evidence.accuracy else None
    if recorded is None:
        text = "rouge.json is of before this was recorded: its scores may be of another log."
        return Finding(NOT_APPLICABLE, "not recorded", text)
    if recorded == logged:
        return passed(f"SHA-256 {logged[:12]}")
    text = (
        "The accuracy log is not the one that was scored (its SHA-256 is not that in rouge.json), "
        "so the scores are of other answers. Score the log again with report.py --rescore, or run "
        "it again."
    )
    return failed("the scores of another log", text, repeat(evidence))


@rule(
    "accuracy-judged",
    OFFICIAL,
    source="CHK/checks/accuracy_check.py:95-205",
    required="the answers were held against the gate",
    needs=ACCURACY_LOG,
)
def _judged(evidence: Evidence, _log: LoadGenRun) -> Finding:
    result, flags = evidence.accuracy, evidence.flags
    if flags.weights == "dummy":
        return not_applicable("Random weights give answers that mean nothing.")
    if result is not None and result.passed is not None:
        what = _contradiction(evidence, result)
        if what is None or any(gate_rule.broken_by(evidence) for gate_rule in GATES):
            return passed("they were")
        text = f"The file rouge.json contradicts its own figures ({what}). Run it again."
        return failed("rouge.json contradicts itself", text, full_run(evidence))
    because = result.not_judged_because if result else _UNSCORED
    if evidence.config["dataset"]["unofficial_because"]:
        return not_applicable(because or "The data set is not the official one.")
    text = f"Nobody judged the answers. {because or ''} Run it again.".replace("  ", " ")
    return failed("not judged", text, full_run(evidence))


def _contradiction(evidence: Evidence, result: AccuracyResult) -> str | None:
    """What rouge.json says against its own figures where the official gate is held to them."""
    whole = evidence.full_size and result.gen_num == evidence.category.dataset_samples
    if not whole or evidence.flags.high_accuracy:
        return None
    return contradiction(result, evidence.official, evidence.flags.category)


def _thresholds(evidence: Evidence) -> dict[str, float]:
    """The official gate, whatever the run was judged by."""
    whole = evidence.category.dataset_samples
    return gate(evidence.official, evidence.flags.category, whole, high_accuracy=False)


def _rouge(name: str) -> Spec:
    """The gate of one ROUGE figure."""

    @rule(
        name,
        VALIDITY,
        source=_GATE,
        required=lambda e: f"{name} at least {_thresholds(e)[name]:.4f}",
        needs=SCORES,
    )
    def check(evidence: Evidence, result: AccuracyResult) -> Finding:
        fraction: float | None = getattr(result, name)
        if fraction is None:
            return not_applicable(NO_SCORES)
        percent, minimum = printed_percent(fraction), _thresholds(evidence)[name]
        if percent >= minimum:
            return passed(f"{percent:.4f}")
        text = (
            f"The answers share too few words with the summaries people wrote: {name} is "
            f"{percent:.4f}, and at least {minimum:.4f} is needed. Rule out fp8 "
            "and other departures first."
        )
        return failed(f"{percent:.4f}", text, closer_answers(evidence))

    return check


@rule(
    "gen-len-low",
    VALIDITY,
    source=_GATE,
    required=lambda e: (
        f"at least {math.ceil(_thresholds(e)['gen_len_low']):,} characters in all answers"
    ),
    needs=SCORES,
)
def _long_enough(evidence: Evidence, result: AccuracyResult) -> Finding:
    length, minimum = result.gen_len or 0, _thresholds(evidence)["gen_len_low"]
    characters = f"{formatting.count(length)} characters"
    if length >= minimum:
        return passed(characters)
    text = (
        f"All answers together have {characters}, and at least "
        f"{formatting.count(math.ceil(minimum))} are needed. {SHORT_HINT}"
    )
    return failed(characters, text, closer_answers(evidence))


@rule(
    "gen-len-high",
    VALIDITY,
    source="CHK/constants.py:1241-1242",
    required=lambda e: (
        f"at most {math.floor(_thresholds(e)['gen_len_high']):,} characters in all answers"
    ),
    needs=SCORES,
)
def _short_enough(evidence: Evidence, result: AccuracyResult) -> Finding:
    length, maximum = result.gen_len or 0, _thresholds(evidence)["gen_len_high"]
    characters = f"{formatting.count(length)} characters"
    if length <= maximum:
        return passed(characters)
    text = (
        f"All answers together have {characters}, and at most "
        f"{formatting.count(math.floor(maximum))} are allowed. {LONG_HINT}"
    )
    return failed(characters, text, closer_answers(evidence))


GATES = (*(_rouge(name) for name in ROUGE_NAMES), _long_enough, _short_enough)
ACCURACY = (_errors, _samples, _complete, _scored_log, _judged, *GATES)
