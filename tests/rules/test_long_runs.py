"""What a proposal says of its length, and what is proposed after a run that did not finish."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from harness.rules import advice
from harness.rules.evidence import Evidence
from harness.rules.rule import NextStep
from harness.rules.verdict import judge
from tests.rules.changes import performance, recorded
from tests.rules.runs import INTERACTIVE, OFFLINE, SERVER, SINGLESTREAM
from tests.rules.test_proposal import made, proposed


def slow_server(rate: float, samples: int, **flags: Any) -> Evidence:
    """A Server run of the demo model that was asked for a rate."""
    return made(
        SERVER, performance(target_qps=rate), samples=samples, available=13_368, model="demo",
        dataset="sample", total_sample_count=samples, server_target_qps=rate, **flags,
    )  # fmt: skip


def again(evidence: Evidence) -> NextStep:
    return next(step for step in proposed(evidence) if "same again" in step.why)


def test_hours_at_a_low_rate_are_said_before_they_are_spent() -> None:
    step = again(slow_server(0.01, 1))

    assert step.command == (
        "python run.py --model demo --scenario server --server-target-qps 0.01 --dataset sample "
        "--total-sample-count 1000"
    )
    assert step.why == (
        "The same again: this time with 1,000 samples, as fewer prove no percentile. "
        "--server-target-qps 0.01 makes the measuring last about 27.8 hours; without that flag "
        "the rate is measured."
    )


@pytest.mark.parametrize(
    ("rate", "repeats", "length"),
    [(1.0, 1, "17 minutes"), (1.7, 1, None), (1.7, 5, "49 minutes"), (0.5, 5, "2.8 hours")],
)
def test_repeated_tests_take_their_time_each(rate: float, repeats: int, length: str | None) -> None:
    why = again(slow_server(rate, 5, repeat=repeats)).why

    assert ("measuring" in why) is (length is not None)
    assert (length or "") in why


def test_a_rate_that_was_measured_tells_the_length_as_well() -> None:
    slow = performance(target_qps=0.1)
    evidence = made(INTERACTIVE, slow, samples=5, total_sample_count=5)

    assert again(evidence).why.endswith(
        "Measuring takes about 2.8 hours at a pace like this run's."
    )


def test_queries_one_after_the_other_take_as_long_as_they_took() -> None:
    slow = performance(sample_count=5, duration_s=150.0)
    evidence = made(SINGLESTREAM, slow, samples=5, total_sample_count=5)

    assert again(evidence).why.endswith(
        "Measuring takes about 50 minutes at a pace like this run's."
    )


def test_a_full_run_at_a_rate_of_weeks_is_proposed_without_that_rate() -> None:
    evidence = made(
        SERVER, performance(target_qps=0.01), samples=1000,
        total_sample_count=1000, server_target_qps=0.01,
    )  # fmt: skip

    full = advice.full_run(evidence)

    assert full.command == "python run.py --scenario server --compliance 1"
    assert full.why == (
        "A full run by the rules: --server-target-qps is left out, as 13,368 samples at 0.01 "
        "queries/s would last longer than a week, which is refused."
    )


@pytest.mark.parametrize(
    ("status", "error", "why"),
    [
        (
            "interrupted", "interrupted by SIGINT",
            "The run was interrupted; the same command begins it anew:",
        ),
        (
            "failed", "The engine died.",
            "The reason is at the top of the report and at the end of run.log. Mend it, then "
            "repeat:",
        ),
        ("running", None, "If it was killed, the same command begins it anew:"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("scenario", [OFFLINE, SERVER])
def test_after_a_run_that_did_not_finish_its_own_command_is_proposed(
    scenario: Any, status: str, error: str | None, why: str
) -> None:
    change = recorded("run", status=status, error=error)
    evidence = made(
        scenario, change, samples=5, model="demo", dataset="sample", mode="performance",
        total_sample_count=5, server_target_qps=0.1, max_model_len=1024,
    )  # fmt: skip

    steps = advice.next_steps(evidence, judge(evidence).failed)

    assert steps == [NextStep(why, shlex.join(evidence.command))]
