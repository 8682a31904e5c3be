"""Rules on the accuracy test: its errors, that every answer is there, the gate."""

from __future__ import annotations

import math
from collections import Counter

from harness import formatting
from harness.language import joined, phrase
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
_UNSCORED = phrase(
    "There is no rouge.json in the run folder; report.py --rescore scores the accuracy log."
)


@rule(
    "accuracy-errors",
    VALIDITY,
    source=_CHECK,
    required=phrase("LoadGen has no errors in the accuracy test"),
    needs=ACCURACY_LOG,
)
def _errors(evidence: Evidence, log: LoadGenRun) -> Finding:
    if not log.ended:
        text = phrase("LoadGen's accuracy log breaks off: the test did not end. Run it again.")
        return failed(phrase("the log breaks off"), text, repeat(evidence))
    errors = [error for error in log.errors if not error.startswith(BUILT_UNCOMMITTED)]
    if not errors:
        return passed(phrase("none"))
    kinds = phrase("{count} kinds of error", count=len(errors))
    if len(errors) == 1:
        kinds = phrase("1 kind of error")
    text = phrase(
        "LoadGen's accuracy log has an error: {error}. A result with errors does not count; "
        "run.log tells more. Run it again.",
        error=errors[0].rstrip("."),
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
    required=lambda e: phrase(
        "the accuracy test is of {samples:,} samples", samples=e.category.dataset_samples
    ),
    needs=FULL_ACCURACY_LOG,
)
def _samples(evidence: Evidence, log: LoadGenRun) -> Finding:
    whole, count = evidence.category.dataset_samples, _in_the_log(log)
    samples = phrase("{count} samples", count=formatting.count(count))
    if count == whole:
        return passed(samples)
    text = phrase(
        "LoadGen's accuracy log is of {samples}; the data set has {whole}. Leave out "
        "--total-sample-count and run it again.",
        samples=samples,
        whole=formatting.count(whole),
    )
    return failed(samples, text, full_run(evidence))


@rule(
    "accuracy-complete",
    VALIDITY,
    source=_CHECK,
    required=phrase("every sample has one answer, and all were scored"),
    needs=ACCURACY_LOG,
)
def _complete(evidence: Evidence, log: LoadGenRun) -> Finding:
    expected = _in_the_log(log) or 0
    times = Counter(evidence.answered)
    repeated = sum(count > 1 for count in times.values())
    strangers = sum(not 0 <= index < expected for index in times)
    missing = expected - (len(times) - strangers)
    scored = evidence.accuracy.gen_num if evidence.accuracy else expected
    of = phrase("of {expected} samples", expected=formatting.count(expected))
    for count, what in (
        (missing, phrase("no answer to {missing} {of}", missing=formatting.count(missing), of=of)),
        (
            repeated,
            phrase(
                "several answers to {repeated} {of}", repeated=formatting.count(repeated), of=of
            ),
        ),
        (
            strangers,
            phrase(
                "answers to {strangers} samples outside the data set",
                strangers=formatting.count(strangers),
            ),
        ),
    ):
        if count:
            text = phrase(
                "The accuracy log has {what}; each sample needs exactly one. Run it again.",
                what=what,
            )
            return failed(what, text, repeat(evidence))
    if scored != expected:
        what = phrase("{scored} answers were scored", scored=formatting.count(scored))
        text = phrase(
            "The accuracy log holds {expected} answers, but {what}. Run it again.",
            expected=formatting.count(expected),
            what=what,
        )
        return failed(what, text, repeat(evidence))
    return passed(
        phrase("{expected} answers, one for each sample", expected=formatting.count(expected))
    )


@rule(
    "scored-log",
    VALIDITY,
    source="rouge.json",
    required=phrase("the scores are of this accuracy log"),
    needs=SCORED_LOG,
)
def _scored_log(evidence: Evidence, logged: str) -> Finding:
    recorded = evidence.accuracy.log_sha256 if evidence.accuracy else None
    if recorded is None:
        text = phrase(
            "rouge.json is of before this was recorded: its scores may be of another log."
        )
        return Finding(NOT_APPLICABLE, phrase("not recorded"), text)
    if recorded == logged:
        return passed(f"SHA-256 {logged[:12]}")
    text = phrase(
        "The accuracy log is not the one that was scored (its SHA-256 is not that in rouge.json), "
        "so the scores are of other answers. Score the log again with report.py --rescore, or run "
        "it again."
    )
    return failed(phrase("the scores of another log"), text, repeat(evidence))


@rule(
    "accuracy-judged",
    OFFICIAL,
    source="CHK/checks/accuracy_check.py:95-205",
    required=phrase("the answers were held against the gate"),
    needs=ACCURACY_LOG,
)
def _judged(evidence: Evidence, _log: LoadGenRun) -> Finding:
    result, flags = evidence.accuracy, evidence.flags
    if flags.weights == "dummy":
        return not_applicable(phrase("Random weights give answers that mean nothing."))
    if result is not None and result.passed is not None:
        what = _contradiction(evidence, result)
        if what is None or any(gate_rule.broken_by(evidence) for gate_rule in GATES):
            return passed(phrase("they were"))
        text = phrase(
            "The file rouge.json contradicts its own figures ({what}). Run it again.", what=what
        )
        return failed(phrase("rouge.json contradicts itself"), text, full_run(evidence))
    because = result.not_judged_because if result else _UNSCORED
    if evidence.config["dataset"]["unofficial_because"]:
        return not_applicable(because or phrase("The data set is not the official one."))
    sentences = (phrase("Nobody judged the answers."), because, phrase("Run it again."))
    text = joined(" ", filter(None, sentences))
    return failed(phrase("not judged"), text, full_run(evidence))


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
        required=lambda e: phrase(
            "{name} at least {minimum:.4f}", name=name, minimum=_thresholds(e)[name]
        ),
        needs=SCORES,
    )
    def check(evidence: Evidence, result: AccuracyResult) -> Finding:
        fraction: float | None = getattr(result, name)
        if fraction is None:
            return not_applicable(NO_SCORES)
        percent, minimum = printed_percent(fraction), _thresholds(evidence)[name]
        if percent >= minimum:
            return passed(f"{percent:.4f}")
        text = phrase(
            "The answers share too few words with the summaries people wrote: {name} is "
            "{percent:.4f}, and at least {minimum:.4f} is needed. Rule out fp8 and other "
            "departures first.",
            name=name,
            percent=percent,
            minimum=minimum,
        )
        return failed(f"{percent:.4f}", text, closer_answers(evidence))

    return check


@rule(
    "gen-len-low",
    VALIDITY,
    source=_GATE,
    required=lambda e: phrase(
        "at least {minimum:,} characters in all answers",
        minimum=math.ceil(_thresholds(e)["gen_len_low"]),
    ),
    needs=SCORES,
)
def _long_enough(evidence: Evidence, result: AccuracyResult) -> Finding:
    length, minimum = result.gen_len or 0, _thresholds(evidence)["gen_len_low"]
    characters = phrase("{characters} characters", characters=formatting.count(length))
    if length >= minimum:
        return passed(characters)
    text = phrase(
        "All answers together have {characters}, and at least {minimum} are needed. {hint}",
        characters=characters,
        minimum=formatting.count(math.ceil(minimum)),
        hint=SHORT_HINT,
    )
    return failed(characters, text, closer_answers(evidence))


@rule(
    "gen-len-high",
    VALIDITY,
    source="CHK/constants.py:1241-1242",
    required=lambda e: phrase(
        "at most {maximum:,} characters in all answers",
        maximum=math.floor(_thresholds(e)["gen_len_high"]),
    ),
    needs=SCORES,
)
def _short_enough(evidence: Evidence, result: AccuracyResult) -> Finding:
    length, maximum = result.gen_len or 0, _thresholds(evidence)["gen_len_high"]
    characters = phrase("{characters} characters", characters=formatting.count(length))
    if length <= maximum:
        return passed(characters)
    text = phrase(
        "All answers together have {characters}, and at most {maximum} are allowed. {hint}",
        characters=characters,
        maximum=formatting.count(math.floor(maximum)),
        hint=LONG_HINT,
    )
    return failed(characters, text, closer_answers(evidence))


GATES = (*(_rouge(name) for name in ROUGE_NAMES), _long_enough, _short_enough)
ACCURACY = (_errors, _samples, _complete, _scored_log, _judged, *GATES)
