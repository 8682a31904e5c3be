"""Rules on how the engine wrote its answers: their length, and which token comes next."""

from __future__ import annotations

from typing import Any

from harness.language import phrase
from harness.rules.advice import full_run
from harness.rules.departures import other_answer_length
from harness.rules.evidence import Evidence
from harness.rules.rule import OFFICIAL, Finding, Need, failed, passed, rule


def _sampling(evidence: Evidence) -> dict[str, Any] | None:
    """How the engine chose tokens; None: an earlier version of this program did not record it."""
    sampling: dict[str, Any] | None = evidence.config["resolved"].get("sampling")
    return sampling


_SAMPLING = Need(
    _sampling, phrase("The run does not say how tokens were chosen; another rule says so.")
)


@rule(
    "max-new-tokens",
    OFFICIAL,
    source="rules:373-374",
    required=lambda e: phrase("answers end at {tokens} tokens", tokens=e.official.max_new_tokens),
    departure="max_new_tokens",
)
def _answer_length(evidence: Evidence) -> Finding:
    official, flag = evidence.official.max_new_tokens, evidence.flags.max_new_tokens
    configured = (_sampling(evidence) or {}).get("max_tokens", flag)
    if not flag == configured == official:
        tokens = configured if flag == official else flag
        text = phrase(
            "{what} Leave out --max-new-tokens.", what=other_answer_length(evidence.flags, tokens)
        )
        return failed(phrase("{tokens} tokens", tokens=tokens), text, full_run(evidence))
    longest = max(evidence.answer_lengths, default=0)
    if longest > official:
        text = phrase(
            "An answer has {longest} tokens, though answers end at {official}: the accuracy "
            "log is not one of this run. Run it again.",
            longest=longest,
            official=official,
        )
        return failed(phrase("{longest} tokens", longest=longest), text, full_run(evidence))
    return passed(phrase("{official} tokens", official=official))


@rule(
    "min-new-tokens",
    OFFICIAL,
    source="rules:373-374",
    required=lambda e: phrase(
        "answers have at least {tokens} token", tokens=e.official.min_new_tokens
    ),
    needs=_SAMPLING,
)
def _minimum_answer(evidence: Evidence, sampling: dict[str, Any]) -> Finding:
    official, configured = evidence.official.min_new_tokens, sampling.get("min_tokens")
    if configured == official:
        return passed(phrase("{official} token", official=official))
    again = phrase("Run it again with this program as it came.")
    if configured is None:
        text = phrase("The run does not say how short an answer may be. {again}", again=again)
        return failed(phrase("not recorded"), text, full_run(evidence))
    text = phrase(
        "The engine was configured for answers of at least {configured} tokens; the rules "
        "say {official}. {again}",
        configured=configured,
        official=official,
        again=again,
    )
    return failed(phrase("{configured} tokens", configured=configured), text, full_run(evidence))


@rule(
    "greedy",
    OFFICIAL,
    source="rules:893",
    required=phrase("the likeliest token is taken each time"),
)
def _greedy(evidence: Evidence) -> Finding:
    sampling = _sampling(evidence)
    if sampling is None:
        text = phrase(
            "The run does not say how the next token was chosen, since an earlier version of "
            "this program made it. Run it again."
        )
        return failed(phrase("not recorded"), text, full_run(evidence))
    temperature = sampling.get("temperature")
    if temperature == 0:
        return passed("temperature 0")
    text = phrase(
        "The engine drew tokens at random (temperature {temperature}); the rules ask for the "
        "likeliest one each time (temperature 0). Run it again with this program as it "
        "came.",
        temperature=temperature,
    )
    return failed(f"temperature {temperature}", text, full_run(evidence))


ANSWERS = (_answer_length, _minimum_answer, _greedy)
