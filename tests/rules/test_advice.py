"""What to type next."""

from __future__ import annotations

import pytest

from harness.config import RunConfig
from harness.language import translated
from harness.rules import advice
from harness.rules.evidence import Evidence
from tests.builders import config_json


def next_command(settings: RunConfig, *arguments: str) -> str:
    record = config_json(settings)
    record["run"]["command"] = ["python", "run.py", *arguments]
    return advice.full_run(Evidence(record)).command or ""


def test_smoke_run_leads_to_the_same_command_at_full_size() -> None:
    settings = RunConfig(total_sample_count=20)
    assert next_command(settings, "--precision", "bf16", "--total-sample-count", "20") == (
        "python run.py --precision bf16 --compliance 1"
    )


def test_performance_alone_leads_to_both_modes() -> None:
    settings = RunConfig(mode="performance")
    assert (
        next_command(settings, "--mode=performance") == "python run.py --mode both --compliance 1"
    )


def test_random_weights_lead_to_the_real_ones() -> None:
    settings = RunConfig(weights="dummy", dataset="synthetic", mode="performance")
    flags = ("--weights", "dummy", "--dataset", "synthetic", "--mode", "performance")
    assert next_command(settings, *flags) == "python run.py --mode both --compliance 1"


def test_demo_leads_to_the_real_model() -> None:
    command = next_command(RunConfig(model="demo", dataset="sample"), "--model", "demo")
    assert "--model meta-llama/Llama-3.1-8B-Instruct" in command and "demo" not in command


def test_what_a_run_is_not_is_told_whether_its_list_has_kept_it_or_not() -> None:
    record = config_json(RunConfig(model="demo", dataset="sample", total_sample_count=20))
    whole = advice.short_labels(Evidence(record))
    assert "demo model" in whole and "smoke run of 20 of 13,368 samples" in whole

    record["departures"] = [{"id": "of_another_version", "sentence": "Something else."}]

    assert advice.short_labels(Evidence(record)) == [*whole, "of another version"]


@pytest.mark.usefixtures("korean")
def test_a_command_to_repeat_is_introduced_in_the_chosen_language() -> None:
    step = advice.repeat(Evidence(config_json(RunConfig(total_sample_count=20))))

    assert translated(step.why) == "같은 명령을 다시 실행합니다:"
