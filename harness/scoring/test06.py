"""TEST06, the compliance test of language models: it looks at 100 answers as LoadGen logged them.

The official part is that of compliance/TEST06 of github.com/mlcommons/inference (v5.1.1): its
audit.config, its three checks and the form of verify_accuracy.txt. The checks here are stricter:
the official ones let an answer without a first token pass, and look for Llama 2's end token.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Sequence
from typing import Any

from harness import formatting
from harness.config import Scenario
from harness.language import phrase
from harness.metrics import AuditedAnswer, ComplianceCheck, ComplianceResult, LoadGenRun
from harness.rounds import LatencyLimits

# compliance/TEST06/audit.config to the byte: its last line has no end.
AUDIT_CONFIG = """\
# The format of this config file is 'key = value'.
# The key has the format 'model.scenario.key'. Value is mostly int64_t.
# Model maybe '*' as wildcard. In that case the value applies to all models.
# All times are in milli seconds

# mode dictionary (0 = submission, 1 = accuracy, 2 = performance, 3 = find peak perf)
*.*.mode = 2
*.*.accuracy_log_rng_seed = 720381539243781796
*.*.accuracy_log_sampling_target = 100
*.*.min_query_count = 100
*.*.min_duration = 0
# Turn off equal issue mode for TEST06
*.*.sample_concatenate_permutation = 0"""
AUDITED_ANSWERS = 100  # accuracy_log_sampling_target and min_query_count above
AUDIT_FILE_FOUND = "Found Audit Config file"  # LoadGen's warning; loadgen/loadgen.cc:1231-1250
# <|end_of_text|>, <|eom_id|> and <|eot_id|>: what ends an answer of Llama-3.1-8B-Instruct.
LLAMA3_END_TOKENS = frozenset({128001, 128008, 128009})
OFFICIAL_DEFAULT_END_TOKEN = 2  # what run_verification.py looks for when nothing is said
FIRST_TOKEN, END_TOKENS, LENGTH = "first_token", "end_tokens", "sample_length"


def judge(
    answers: Sequence[AuditedAnswer],
    run: LoadGenRun,
    scenario: Scenario,
    model_end_tokens: Collection[int],
    limits: LatencyLimits | None = None,
) -> ComplianceResult:
    """Every check on the answers that LoadGen logged, and on its detail log (`run`).

    `limits` are the scenario's; they tell a log of Interactive from one of Server.
    """
    ends = LLAMA3_END_TOKENS | set(model_end_tokens)
    checks = [_audit_file(run), _of_scenario(answers, run, scenario, limits)]
    checks += [_count(answers), _errors(run)]
    if scenario is not Scenario.OFFLINE:  # which has no first tokens
        checks.append(_first_tokens(answers))
    checks += [_end_tokens(answers, ends), _lengths(answers)]
    passed = all(check.passed for check in checks)
    return ComplianceResult(passed, tuple(checks), verified=True)  # the caller writes its text


def _audit_file(run: LoadGenRun) -> ComplianceCheck:
    was_read = any(AUDIT_FILE_FOUND in warning for warning in run.warnings)
    return ComplianceCheck(
        "audit_config",
        was_read,
        phrase("LoadGen read the official audit.config.")
        if was_read
        else phrase(
            "LoadGen's log does not say that it read audit.config, so this was an ordinary test; "
            "run it again with --compliance 1."
        ),
    )


def _of_scenario(
    answers: Sequence[AuditedAnswer],
    run: LoadGenRun,
    scenario: Scenario,
    limits: LatencyLimits | None,
) -> ComplianceCheck:
    """Whether both logs are of this scenario; LoadGen knows Interactive as Server."""
    what = run.scenario
    matches = run.scenario == scenario.loadgen_name
    if run.mode != "PerformanceOnly":
        matches, what = False, phrase("{scenario} in mode {mode}", scenario=what, mode=run.mode)
    if matches and limits is not None:
        limits_ns = (1e6 * limits.ttft_p99_ms, 1e6 * limits.tpot_p99_ms)
        logged_ns = tuple(run.requested.get(f"server_{name}_latency") for name in ("ttft", "tpot"))
        matches = logged_ns == limits_ns
        what = phrase("{scenario} with other limits", scenario=run.scenario)
    if scenario is Scenario.OFFLINE and any(answer.first_token_ids for answer in answers):
        matches, what = False, phrase("another scenario: it has first tokens, and Offline has none")
    return ComplianceCheck(
        "scenario",
        matches,
        phrase("LoadGen's log is of {scenario}.", scenario=scenario.label)
        if matches
        else phrase(
            "LoadGen's log is not of {scenario} but of {what}; run it again with --compliance 1.",
            scenario=scenario.label,
            what=what,
        ),
    )


def _count(answers: Sequence[AuditedAnswer]) -> ComplianceCheck:
    count = formatting.count(len(answers))
    passed = len(answers) == AUDITED_ANSWERS
    text = phrase("LoadGen logged {count} answers.", count=count)
    if not passed:
        text = phrase(
            "LoadGen logged {count} answers where {expected} are asked for.",
            count=count,
            expected=AUDITED_ANSWERS,
        )
    return ComplianceCheck("answers", passed, text)


def _errors(run: LoadGenRun) -> ComplianceCheck:
    if not run.ended:
        return ComplianceCheck(
            "loadgen", False, phrase("LoadGen's log breaks off: TEST06 did not end.")
        )
    if run.errors or run.results.get("num_errors") != 0:
        first = run.errors[0] if run.errors else phrase("its log does not say which.")
        text = phrase("LoadGen logged an error: {error}", error=first)
        return ComplianceCheck("loadgen", False, text)
    return ComplianceCheck("loadgen", True, phrase("LoadGen logged no error."))


def _first_tokens(answers: Sequence[AuditedAnswer]) -> ComplianceCheck:
    def differs(answer: AuditedAnswer) -> bool:
        first = answer.first_token_ids
        return not first or answer.token_ids[: len(first)] != first

    return _of_each_answer(
        FIRST_TOKEN,
        answers,
        differs,
        phrase("Each answer begins with the first token that was reported for it."),
        phrase("do not begin with the first token that was reported for them, or had none"),
    )


def _end_tokens(answers: Sequence[AuditedAnswer], ends: Collection[int]) -> ComplianceCheck:
    def runs_on(answer: AuditedAnswer) -> bool:
        last = answer.token_ids[-2:]
        if len(last) < 2:
            return False
        return all(token in ends for token in last) or set(last) == {OFFICIAL_DEFAULT_END_TOKEN}

    return _of_each_answer(
        END_TOKENS,
        answers,
        runs_on,
        phrase("No answer has more than one end token at its end."),
        phrase("are lengthened by further end tokens, which would count as output"),
    )


def _lengths(answers: Sequence[AuditedAnswer]) -> ComplianceCheck:
    return _of_each_answer(
        LENGTH,
        answers,
        lambda answer: answer.told_count != len(answer.token_ids) or not answer.token_ids,
        phrase("The number of tokens told to LoadGen is that of each answer."),
        phrase("hold another number of tokens than LoadGen was told, or none"),
    )


def _of_each_answer(
    name: str,
    answers: Sequence[AuditedAnswer],
    is_wrong: Callable[[AuditedAnswer], bool],
    good: str,
    wrong: str,
) -> ComplianceCheck:
    """A check that every single answer has to pass; without answers there is nothing to pass."""
    if not answers:
        return ComplianceCheck(name, False, phrase("There are no answers to look at."))
    bad = [answer for answer in answers if is_wrong(answer)]
    if not bad:
        return ComplianceCheck(name, True, good)
    return ComplianceCheck(
        name,
        False,
        phrase(
            "{bad} of {answers} answers {wrong} (the first: sample {sample}).",
            bad=formatting.count(len(bad)),
            answers=formatting.count(len(answers)),
            wrong=wrong,
            sample=bad[0].sample_index,
        ),
    )


def verify_accuracy_text(result: ComplianceResult) -> str:
    """verify_accuracy.txt as compliance/TEST06/run_verification.py writes it, to the letter."""
    passed = {check.name: check.passed for check in result.checks}
    first = str(passed[FIRST_TOKEN]) if FIRST_TOKEN in passed else "Skipped"
    ending = "complete" if result.passed else "failed"
    return (
        f"First token check pass: {first}\n"
        f"EOS check pass: {passed[END_TOKENS]}\n"
        f"Sample length check pass: {passed[LENGTH]}\n"
        f"TEST06 verification {ending}\n"
    )


def to_json(result: ComplianceResult) -> dict[str, Any]:
    """The content of result.json."""
    return {
        "passed": result.passed,
        "checks": [dataclasses.asdict(check) for check in result.checks],
    }
