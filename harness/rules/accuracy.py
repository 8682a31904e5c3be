"""Rules on the accuracy test: its errors, that every answer is there, the gate."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

from harness import formatting
from harness.metrics import AccuracyResult
from harness.rules.advice import closer_answers, full_run, repeat
from harness.rules.evidence import ROUGE_NAMES, Evidence
from harness.rules.loadgen import BUILT_UNCOMMITTED
from harness.rules.rule import (
    FAILED,
    OFFICIAL,
    VALIDITY,
    Finding,
    Spec,
    always,
    failed,
    not_applicable,
    passed,
)
from harness.scoring.accuracy import LONG_HINT, SHORT_HINT, gate, printed_percent

_NO_TEST = "There is no accuracy test."


def _errors(evidence: Evidence) -> Finding:
    if evidence.accuracy_log is None:
        return not_applicable(_NO_TEST)
    errors = [e for e in evidence.accuracy_log.errors if not e.startswith(BUILT_UNCOMMITTED)]
    if not errors:
        return passed("none")
    found = f"{len(errors)} kind{'s' if len(errors) > 1 else ''} of error"
    text = (
        f"LoadGen's accuracy log has an error: {errors[0].rstrip('.')}. A result with errors does "
        "not count; run.log tells more. Run it again."
    )
    return failed(found, text, repeat(evidence.config, "The same again:"))


def _in_the_log(evidence: Evidence) -> int | None:
    """The samples of the accuracy test by LoadGen's own log, as each of its releases says it."""
    log = evidence.accuracy_log
    if log is None:
        return None
    told = log.effective.get("accuracy_sample_count")
    return told if isinstance(told, int) else log.dataset_samples


def _samples(evidence: Evidence) -> Finding:
    if evidence.accuracy_log is None or evidence.smoke:
        return not_applicable("There is no accuracy test of the whole data set.")
    full, count = evidence.category.dataset_samples, _in_the_log(evidence)
    found = f"{formatting.count(count)} samples"
    if count == full:
        return passed(found)
    text = (
        f"LoadGen's accuracy log is of {found}; the data set has {formatting.count(full)}. Leave "
        "out --total-sample-count and run it again."
    )
    return failed(found, text, full_run(evidence.config))


def _complete(evidence: Evidence) -> Finding:
    if evidence.accuracy_log is None:
        return not_applicable(_NO_TEST)
    expected = _in_the_log(evidence) or 0
    times = Counter(evidence.answered)
    missing = sum(index not in times for index in range(expected))
    twice = sum(count > 1 for count in times.values())
    strangers = sum(not 0 <= index < expected for index in times)
    scored = evidence.accuracy.gen_num if evidence.accuracy else expected
    of = f"of {formatting.count(expected)} samples"
    again = repeat(evidence.config, "The same again:")
    for count, found in (
        (missing, f"no answer to {formatting.count(missing)} {of}"),
        (twice, f"several answers to {formatting.count(twice)} {of}"),
        (strangers, f"answers to {formatting.count(strangers)} samples outside the data set"),
    ):
        if count:
            text = f"The accuracy log has {found}; each sample needs exactly one. Run it again."
            return failed(found, text, again)
    if scored != expected:
        found = f"{formatting.count(scored)} answers were scored"
        text = (
            f"The accuracy log holds {formatting.count(expected)} answers, but {found}. Run it "
            "again."
        )
        return failed(found, text, again)
    return passed(f"{formatting.count(expected)} answers, one for each sample")


def _judged(evidence: Evidence) -> Finding:
    result, config = evidence.accuracy, evidence.config
    if evidence.accuracy_log is None:
        return not_applicable(_NO_TEST)
    if config["flags"]["weights"] == "dummy":
        return not_applicable("Random weights give answers that mean nothing.")
    if result is not None and result.passed is not None:
        contradicted = not (result.passed or config["flags"]["high_accuracy"] or evidence.smoke)
        if not contradicted or any(spec.check(evidence).outcome == FAILED for spec in GATES):
            return passed("they were")
        text = "The gate is missed by rouge.json's word and reached by its figures. Run it again."
        return failed("rouge.json contradicts itself", text, full_run(config))
    because = result.not_judged_because if result else "There is no rouge.json in the run folder."
    if config["dataset"]["unofficial_because"]:
        return not_applicable(because or "The data set is not the official one.")
    text = f"Nobody judged the answers. {because or ''} Run it again.".replace("  ", " ")
    return failed("not judged", text, full_run(config))


def _scored(evidence: Evidence) -> AccuracyResult | None:
    """The scores where the gate can be held against them: those of the whole data set."""
    result = evidence.accuracy
    if result is None or result.passed is None or result.gen_len is None or evidence.smoke:
        return None
    return result if result.gen_num == evidence.category.dataset_samples else None


def _thresholds(evidence: Evidence) -> dict[str, float]:
    """The official gate, whatever the run was judged by."""
    category, full = evidence.config["flags"]["category"], evidence.category.dataset_samples
    return gate(evidence.official, category, full, high_accuracy=False)


_NO_SCORES = "The gate is one for the whole data set, and there are no scores of that."


def _rouge(name: str) -> Callable[[Evidence], Finding]:
    def check(evidence: Evidence) -> Finding:
        result = _scored(evidence)
        value = getattr(result, name) if result else None
        if value is None:
            return not_applicable(_NO_SCORES)
        found, least = printed_percent(value), _thresholds(evidence)[name]
        if found >= least:
            return passed(f"{found:.4f}")
        text = (
            f"The answers share too few words with the summaries people wrote: {name} is "
            f"{found:.4f}, and at least {least:.4f} is needed. Rule out fp8 "
            "and other departures first."
        )
        return failed(f"{found:.4f}", text, closer_answers(evidence.config))

    return check


def _long_enough(evidence: Evidence) -> Finding:
    result = _scored(evidence)
    if result is None or result.gen_len is None:
        return not_applicable(_NO_SCORES)
    length, least = formatting.count(result.gen_len), _thresholds(evidence)["gen_len_low"]
    if result.gen_len >= least:
        return passed(f"{length} characters")
    text = (
        f"All answers together have {length} characters, and at least "
        f"{formatting.count(math.ceil(least))} are needed. {SHORT_HINT}"
    )
    return failed(f"{length} characters", text, closer_answers(evidence.config))


def _short_enough(evidence: Evidence) -> Finding:
    result = _scored(evidence)
    if result is None or result.gen_len is None:
        return not_applicable(_NO_SCORES)
    length, most = formatting.count(result.gen_len), _thresholds(evidence)["gen_len_high"]
    if result.gen_len <= most:
        return passed(f"{length} characters")
    text = (
        f"All answers together have {length} characters, and at most "
        f"{formatting.count(math.floor(most))} are allowed. {LONG_HINT}"
    )
    return failed(f"{length} characters", text, closer_answers(evidence.config))


def _at_least(name: str) -> Callable[[Evidence], str]:
    return lambda evidence: f"{name} at least {_thresholds(evidence)[name]:.4f}"


_SOURCE = "CHK/constants.py:1153-1176"
GATES = (
    *(Spec(name, VALIDITY, _SOURCE, _at_least(name), _rouge(name)) for name in ROUGE_NAMES),
    Spec(
        "gen-len-low",
        VALIDITY,
        _SOURCE,
        lambda e: (
            f"at least {math.ceil(_thresholds(e)['gen_len_low']):,} characters in all answers"
        ),
        _long_enough,
    ),
    Spec(
        "gen-len-high",
        VALIDITY,
        "CHK/constants.py:1241-1242",
        lambda e: (
            f"at most {math.floor(_thresholds(e)['gen_len_high']):,} characters in all answers"
        ),
        _short_enough,
    ),
)
ACCURACY = (
    Spec(
        "accuracy-errors",
        VALIDITY,
        "CHK/checks/accuracy_check.py:254-310",
        always("LoadGen has no errors in the accuracy test"),
        _errors,
    ),
    Spec(
        "accuracy-samples",
        OFFICIAL,
        "CHK/checks/accuracy_check.py:254-310",
        lambda e: f"the accuracy test is of {e.category.dataset_samples:,} samples",
        _samples,
    ),
    Spec(
        "accuracy-complete",
        VALIDITY,
        "CHK/checks/accuracy_check.py:254-310",
        always("every sample has one answer, and all were scored"),
        _complete,
    ),
    Spec(
        "accuracy-judged",
        OFFICIAL,
        "CHK/checks/accuracy_check.py:95-205",
        always("the answers were held against the gate"),
        _judged,
    ),
    *GATES,
)
