"""Commands to propose after a run: each can be VALID, whatever made this run INVALID."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence

from harness import formatting
from harness.command_line import with_flag, without_flag
from harness.language import phrase
from harness.rules.draft import Draft, is_as_fast
from harness.rules.enough_samples import enough, fewest_samples, samples
from harness.rules.evidence import Evidence
from harness.rules.long_runs import lasts_too_long, pace, typed_rate, with_its_length
from harness.rules.needs import performance_test
from harness.rules.rule import NextStep
from harness.rules.validity import PerformanceTest

_SLOWER = 0.9  # a first step down in rate that usually clears a missed latency limit


def propose(
    evidence: Evidence, why: str, command: Sequence[str], *, says_the_rate: bool = False
) -> NextStep:
    """A command that can be VALID: of samples enough, and not at a rate that has failed.

    The sentences of the step name every change to the command, and a length that would surprise.
    """
    words, rate_why = _at_a_rate_that_may_hold(evidence, list(command), says_it=says_the_rate)
    draft = enough(evidence, Draft(why, words), pace(evidence, words))
    draft = with_its_length(evidence, Draft(rate_why(draft.why), draft.words))
    return NextStep(draft.why, shlex.join(draft.words))


def _at_a_rate_that_may_hold(
    evidence: Evidence, words: list[str], *, says_it: bool
) -> tuple[list[str], Callable[[str], str]]:
    """The command at a rate that can hold, and what adds the reason for another one to a why."""
    typed = typed_rate(evidence, words)
    count = samples(evidence, enough(evidence, Draft("", words), typed).words)
    if typed and lasts_too_long(count, typed):
        return without_flag(words, "--server-target-qps"), lambda why: phrase(
            "{why} --server-target-qps is left out, as {samples} samples at {rate} queries/s would "
            "last longer than a week, which is refused.",
            why=why,
            samples=formatting.count(count),
            rate=f"{typed:g}",
        )
    lower = _rate_that_may_hold(evidence) if is_as_fast(evidence, words) else None
    if lower is None:
        return words, lambda why: why
    words = with_flag(words, "--server-target-qps", lower)
    if says_it:
        return words, lambda why: why
    return words, lambda why: phrase(
        "{why} --server-target-qps {rate} this time, as queries came too fast for the limits.",
        why=why,
        rate=lower,
    )


def _rate_that_may_hold(evidence: Evidence) -> str | None:
    """A step down from the rate at which this run missed a latency limit; None: it missed none."""
    test = performance_test(evidence)
    if test is None or test.limits is None or not test.result.target_qps:
        return None
    latencies = (
        (test.result.ttft, test.limits.ttft_p99_ms),
        (test.result.tpot, test.limits.tpot_p99_ms),
    )
    missed = any(s is not None and (s.p99_ms or 0) >= limit_ms for s, limit_ms in latencies)
    if missed or (not too_few_queries(test) and _is_unproven(evidence, test)):
        return f"{_SLOWER * test.result.target_qps:.4g}"
    return None


def _is_unproven(evidence: Evidence, test: PerformanceTest) -> bool:
    """Whether too many of queries enough were late, by LoadGen's word or by our own times."""
    counts = evidence.limit_counts
    late = max(counts.ttft_over, counts.tpot_over) if counts else 0
    allowed = (counts.allowed or 0) if counts else 0
    return late > allowed or test.loadgen.results.get("early_stopping_met") is not True


def too_few_queries(test: PerformanceTest) -> bool:
    """Whether a test issued so few queries that no percentile could be proven."""
    return (test.result.sample_count or 0) < fewest_samples(test.official, test.scenario)
