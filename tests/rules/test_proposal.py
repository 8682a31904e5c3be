"""What is proposed after a run, and the verdict on what each proposal would do."""

from __future__ import annotations

import dataclasses
import functools
import shlex
from typing import Any

import pytest

import run
from harness import config
from harness.config import RunConfig, Scenario
from harness.rules import advice
from harness.rules.enough_samples import LONGEST_PROMPT
from harness.rules.evidence import Evidence
from harness.rules.rule import VALIDITY, NextStep
from harness.rules.verdict import Verdict, judge
from tests.rules import test_verdict
from tests.rules.changes import (
    Change,
    asked,
    invalid,
    late,
    performance,
    recorded,
    slow,
    smoke,
)
from tests.rules.runs import INTERACTIVE, OFFLINE, SCENARIOS, SERVER, SINGLESTREAM, good

SHIPPED = 40  # articles; they are taken over again where more are asked for
OWN_FILE = "mine.json"


def typed(settings: RunConfig) -> list[str]:
    """The command of these settings, each flag as a person types it."""
    words = ["python", "run.py"]
    for name, value in settings.engine_args.items():
        words += ["--engine-arg", f"{name}={value}"]
    for name, value in vars(settings.with_values(engine_args={})).items():
        if value != getattr(RunConfig(), name):
            flag = {"min_duration_s": "--min-duration"}.get(name, "--" + name.replace("_", "-"))
            words += [flag, str(value)]
    return words


def made(
    scenario: Scenario,
    *troubles: Change,
    samples: int | None = None,
    available: int | None = None,
    **flags: Any,
) -> Evidence:
    """What a run of these flags left: `samples` is how many it ran, None for the whole set."""
    whole = good(scenario)
    settings = RunConfig(scenario=scenario, category=whole.flags.category).with_values(**flags)
    because = "Not the official articles." if settings.dataset != "cnndm" or available else None
    evidence = smoke(samples)(whole) if samples else whole
    evidence = asked({"dataset_unofficial_because": because}, **flags)(evidence)
    count = samples or settings.category_record.dataset_samples
    resolved = {"sample_count": count, "full_size": config.is_full_size(settings, count)}
    for change in (
        recorded("run", command=typed(settings)),
        recorded("resolved", **resolved),
        recorded(
            "dataset",
            unofficial_because=because,
            available=available or settings.category_record.dataset_samples,
        ),
        *troubles,
    ):
        evidence = change(evidence)
    if not settings.runs_performance:
        return dataclasses.replace(evidence, performance=None, samples=())
    return evidence


def proposed(evidence: Evidence) -> list[NextStep]:
    return advice.next_steps(evidence, judge(evidence).failed)


def would_be(command: str, after: Evidence, available: int | None) -> Verdict | None:
    """The verdict on the run that a proposal would be, on an engine that holds a lower rate.

    None: it proposes no run.
    """
    words = shlex.split(command)
    if words[:2] != ["python", "run.py"]:
        return None
    settings = run.parse_flags(words[2:])
    config.validate(settings)
    whole = settings.category_record.dataset_samples
    most = (available if settings.dataset_path == OWN_FILE else None) or whole
    count = settings.total_sample_count or (SHIPPED if settings.dataset == "sample" else most)
    assert count <= most, f"{command}: there are {most} samples"
    if settings.max_model_len is not None and settings.max_model_len < LONGEST_PROMPT + 128:
        assert count <= after.sample_count, f"{command}: a longer prompt may be among them"
    fails_again = False
    if missed(after) and _as_fast(settings, after):
        assert after.performance
        rate, failed_at = settings.server_target_qps, after.performance.target_qps
        fails_again = not isinstance(rate, float) or failed_at is None or rate >= failed_at
    return verdict_of(command, count, issued_by(settings, count, after), available, fails_again)


def issued_by(settings: RunConfig, count: int, after: Evidence) -> int:
    """How many queries a run of so many samples has, at the rate of the run before it."""
    test = after.performance
    if not settings.min_duration_s or test is None or not test.duration_s:
        return count
    rate = settings.server_target_qps if settings.scenario in (SERVER, INTERACTIVE) else None
    if not isinstance(rate, float):
        rate = test.target_qps or (test.sample_count or 0) / test.duration_s
    return max(count, int(rate * settings.min_duration_s))


@functools.cache
def verdict_of(
    command: str, count: int, issued: int, available: int | None, fails_again: bool
) -> Verdict:
    """Of a run of this command that goes as well as it can, but for a rate that has failed."""
    settings = run.parse_flags(shlex.split(command)[2:])
    flags = {name: value for name, value in vars(settings).items() if name != "scenario"}
    samples = None if count == settings.category_record.dataset_samples else count
    troubles = [slow(9000.0, "ttft")] if fails_again else []
    troubles += [performance(sample_count=issued)] if issued > count else []
    return judge(made(settings.scenario, *troubles, samples=samples, available=available, **flags))


def _as_fast(settings: RunConfig, after: Evidence) -> bool:
    same = settings.scenario is after.scenario and settings.model == after.flags.model
    return same and settings.runs_performance


def missed(evidence: Evidence) -> bool:
    """Whether a run of queries enough was over a latency limit."""
    test = evidence.performance
    if test is None or test.ttft is None or evidence.limits is None:
        return False  # the log does not say, or there is nothing to miss
    broken = {rule.id for rule in judge(evidence).failed}
    enough = (test.sample_count or 0) >= 459
    return bool(broken & {"ttft", "tpot"}) or ("early-stopping" in broken and enough)


def assert_each_can_be_valid(evidence: Evidence, available: int | None = None) -> None:
    steps = proposed(evidence)
    assert steps
    for step in steps:
        verdict = would_be(step.command or "", evidence, available)
        broken = [rule.id for rule in verdict.failed if rule.kind == VALIDITY] if verdict else []
        assert broken == [], step.command


FLAGS: dict[str, dict[str, Any]] = {
    "the real model": {},
    "a rate": {"server_target_qps": 50.0},
    "the demo model": {"model": "demo", "dataset": "sample"},
    "random weights": {"weights": "dummy", "dataset": "synthetic", "mode": "performance"},
    "a folder of random weights": {"model": "./llama", "weights": "dummy", "dataset": "synthetic"},
    "performance alone": {"mode": "performance"},
    "accuracy alone": {"mode": "accuracy"},
    "fp8": {"precision": "fp8", "max_model_len": 1024},
}
TROUBLES: dict[str, Change] = {
    "nothing": lambda evidence: evidence,
    "ttft": slow(2000.1, "ttft"),
    "tpot": slow(100.0, "tpot"),
    "no ttft": performance(ttft=None),
    "early stopping": invalid(early_stopping_met=False),
    "late": lambda e: late(min(200, len(e.samples)), ttft_s=2.1)(e),
    "too short": invalid(result_min_duration_met=False),
    "errors": invalid(result_min_queries_met=False),
}


@pytest.mark.parametrize("samples", [30, 459, None])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_every_proposal_after_a_run_can_be_valid(scenario: Scenario, samples: int | None) -> None:
    for flags in FLAGS.values():
        for trouble in TROUBLES.values():
            count = {"total_sample_count": samples} if samples else {}
            whole = SHIPPED if flags.get("dataset") == "sample" else None
            evidence = made(scenario, trouble, samples=samples or whole, **flags, **count)
            assert_each_can_be_valid(evidence)


@pytest.mark.parametrize("rule", sorted(test_verdict.CASES))
def test_every_proposal_for_a_broken_rule_can_be_valid(rule: str) -> None:
    for scenario, change in test_verdict.CASES[rule]:
        evidence = change(good(scenario))
        evidence = recorded("run", command=typed(evidence.flags))(evidence)
        assert_each_can_be_valid(evidence)


@pytest.mark.parametrize("available", [30, 100, 500, 5001])
@pytest.mark.parametrize("scenario", SCENARIOS)
@pytest.mark.parametrize("given", [None, 30])
def test_no_more_samples_are_proposed_than_a_file_has(
    scenario: Scenario, available: int, given: int | None
) -> None:
    flags = {"dataset_path": OWN_FILE, "total_sample_count": given}
    evidence = made(scenario, samples=given or available, available=available, **flags)

    assert_each_can_be_valid(evidence, available)


def test_the_shipped_articles_are_taken_over_again_to_be_enough() -> None:
    evidence = made(SERVER, samples=SHIPPED, available=13_368, model="demo", dataset="sample")

    assert_each_can_be_valid(evidence)
    assert (proposed(evidence)[0].command or "").endswith("--total-sample-count 1000")


@pytest.mark.parametrize(
    ("scenario", "samples"), [(SERVER, 1000), (INTERACTIVE, 1000), (SINGLESTREAM, 100)]
)
def test_after_too_few_queries_the_same_with_more_is_proposed_first(
    scenario: Scenario, samples: int
) -> None:
    evidence = made(
        scenario, samples=30, available=5000, model="demo", dataset="sample", total_sample_count=30
    )

    first, second = proposed(evidence)[:2]

    before = shlex.join(evidence.command)
    assert first.command == before.replace(" --total-sample-count 30", "") + (
        f" --total-sample-count {samples}"
    )
    assert first.why == (
        f"The same again: this time with {samples:,} samples, as fewer prove no percentile."
    )
    assert f"--total-sample-count {samples}" in (second.command or "")
    assert second.why.startswith(f"{samples:,} samples of the real model")


def test_a_lower_rate_comes_with_samples_enough() -> None:
    at_20 = performance(target_qps=20.0)
    run_of_30 = made(INTERACTIVE, slow(600.0, "ttft"), at_20, samples=30, total_sample_count=30)

    first = proposed(run_of_30)[0]

    assert first.command == (
        "python run.py --scenario interactive --server-target-qps 18 --total-sample-count 1000"
    )
    assert first.why == (
        "A lower rate; --server-target-qps max would look for the highest that holds: this time "
        "with 1,000 samples, as fewer prove no percentile."
    )


def test_a_full_run_is_not_proposed_at_a_rate_that_has_failed() -> None:
    at_20 = performance(target_qps=20.0)
    run_of_1000 = made(
        SERVER, slow(3000.0, "ttft"), at_20, samples=1000,
        total_sample_count=1000, server_target_qps=20.0,
    )  # fmt: skip

    full = proposed(run_of_1000)[-1]

    assert full.command == "python run.py --scenario server --compliance 1 --server-target-qps 18"
    assert full.why == (
        "A full run by the rules: --server-target-qps 18 this time, as queries came too fast for "
        "the limits. Measuring takes about 12 minutes at a pace like this run's."
    )


def test_passes_enough_over_a_few_samples_need_no_more_samples() -> None:
    evidence = made(
        SERVER,
        performance(sample_count=600),
        samples=30,
        total_sample_count=30,
        min_duration_s=60.0,
    )

    assert advice.repeat(evidence).command == shlex.join(evidence.command)


def test_after_an_official_run_the_other_scenario_of_a_submission_is_proposed() -> None:
    others = {scenario: proposed(made(scenario))[0].command for scenario in SCENARIOS}

    assert others == {
        OFFLINE: "python run.py --scenario server",
        SERVER: "python run.py --scenario offline",
        INTERACTIVE: "python run.py --scenario offline",
        SINGLESTREAM: "python run.py --category edge --scenario offline",
    }
