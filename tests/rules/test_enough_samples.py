"""What is proposed where a run had too few samples to prove a percentile."""

from __future__ import annotations

import shlex
from typing import Any

import pytest

from harness.config import Scenario
from harness.inputs import synthetic
from harness.language import recalled, translated
from harness.rules.enough_samples import LONGEST_PROMPT
from harness.rules.evidence import Evidence
from tests.korean import english_left
from tests.rules.changes import Change, performance
from tests.rules.runs import INTERACTIVE, SCENARIOS, SERVER, SINGLESTREAM
from tests.rules.test_proposal import FLAGS, OWN_FILE, SHIPPED, TROUBLES, made, proposed

NO_PACE = performance(target_qps=None)


def of_three(scenario: Scenario, *troubles: Change, **flags: Any) -> Evidence:
    """A run of a file with three articles."""
    return made(
        scenario, *troubles, samples=3, available=3, dataset_path=OWN_FILE, **flags
    )  # fmt: skip


@pytest.mark.parametrize(
    ("scenario", "pace", "seconds", "fewest"),
    [
        (SERVER, performance(target_qps=20.0), 50, 459),
        (INTERACTIVE, performance(target_qps=6.47), 155, 459),
        (INTERACTIVE, performance(target_qps=5000.0), 1, 459),
        (SINGLESTREAM, performance(sample_count=3, duration_s=0.75), 25, 64),
    ],
)
def test_a_file_of_few_articles_is_kept_and_taken_over_and_over(
    scenario: Scenario, pace: Change, seconds: int, fewest: int
) -> None:
    evidence = of_three(scenario, pace, model="demo", max_model_len=900, total_sample_count=3)

    first = proposed(evidence)[0]

    assert first.command == f"{shlex.join(evidence.command)} --min-duration {seconds}"
    assert first.why == (
        f"The same again: --min-duration {seconds} takes the same samples over and over, as fewer "
        f"than {fewest} queries prove no percentile."
    )


@pytest.mark.parametrize(
    ("flags", "name"),
    [
        ({"model": "demo"}, "sample"),
        ({"model": "small"}, "sample"),
        ({"weights": "dummy"}, "synthetic"),
        ({}, "cnndm"),
    ],
)
def test_where_nobody_knows_the_pace_another_data_set_is_named(
    flags: dict[str, Any], name: str
) -> None:
    first = proposed(of_three(SERVER, NO_PACE, **flags))[0]

    assert (first.command or "").endswith(f"--dataset {name} --total-sample-count 1000")
    assert "--dataset-path" not in (first.command or "")
    assert first.why == (
        f"The same again: this time with 1,000 samples of --dataset {name}, as mine.json has 3, "
        "and so few prove no percentile."
    )


def test_a_limit_of_tokens_is_kept_where_every_prompt_fits() -> None:
    needed = LONGEST_PROMPT + 128
    for given, kept in ((needed, True), (needed - 1, False)):
        evidence = made(SERVER, samples=30, total_sample_count=30, max_model_len=given)

        first = proposed(evidence)[0]

        assert (f"--max-model-len {given}" in (first.command or "")) is kept
        assert ("--max-model-len is left out, as a longer prompt" in first.why) is not kept


def test_the_longest_prompt_is_that_of_the_synthetic_data_set() -> None:
    assert LONGEST_PROMPT == synthetic.MAX_TOKENS


@pytest.mark.usefixtures("korean")
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_what_a_summary_has_kept_of_a_proposal_is_said_in_korean(scenario: Scenario) -> None:
    runs = [of_three(scenario, NO_PACE), of_three(scenario, max_model_len=900)]
    for flags in FLAGS.values():
        for trouble in (*TROUBLES.values(), performance(target_qps=0.01, duration_s=1e5)):
            for more in ({}, {"server_target_qps": 0.01}):
                whole = SHIPPED if flags.get("dataset") == "sample" else None
                runs.append(made(scenario, trouble, samples=whole, **flags | more))
                given = flags | {"total_sample_count": 30} | more
                runs.append(made(scenario, trouble, samples=30, **given))

    for why in {str(step.why) for run in runs for step in proposed(run)}:
        said = translated(recalled(why))
        assert said != why and not english_left(said), why
