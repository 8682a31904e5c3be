"""How a run departs from the rules: each way by its id, in a sentence and in a few words."""

from __future__ import annotations

import pytest

from harness.config import RunConfig
from harness.rules.departures import KINDS, RunFacts, departures, short_label

OFFICIAL = RunFacts(
    sample_count=13368,
    dataset_unofficial_because=None,
    model_unofficial_because=None,
    prefix_caching=False,
    loadgen_round="5.1",
)


def ids(settings: RunConfig, facts: RunFacts = OFFICIAL) -> list[str]:
    return [departure.id for departure in departures(settings, facts)]


def test_the_official_run_departs_in_nothing() -> None:
    assert ids(RunConfig()) == []


@pytest.mark.parametrize(
    ("settings", "facts", "expected"),
    [
        (RunConfig(), {"sample_count": 20}, ["sample_count", "min_duration"]),
        (RunConfig(min_duration_s=60), {}, ["min_duration"]),
        (RunConfig(model="demo"), {}, ["model"]),
        (RunConfig(), {"model_unofficial_because": "Another model."}, ["model"]),
        (RunConfig(weights="dummy"), {}, ["weights"]),
        (RunConfig(), {"dataset_unofficial_because": "Other data."}, ["dataset"]),
        (RunConfig(), {"chat_template": True}, ["chat_template"]),
        (RunConfig(max_new_tokens=64), {}, ["max_new_tokens"]),
        (RunConfig(), {"prefix_caching": True}, ["prefix_caching"]),
        (RunConfig(), {"unusual_engine_args": ("speculative_config",)}, ["engine_args"]),
        (RunConfig(version="6.1"), {}, ["loadgen_seeds"]),
        (RunConfig(high_accuracy=True), {}, ["high_accuracy"]),
        (RunConfig(mode="performance"), {}, ["no_accuracy"]),
        (RunConfig(mode="accuracy"), {}, ["no_performance"]),
    ],
)
def test_each_departure_is_listed_alone(
    settings: RunConfig, facts: dict[str, object], expected: list[str]
) -> None:
    changed = RunFacts(**{**vars(OFFICIAL), **facts})

    assert ids(settings, changed) == expected


@pytest.mark.parametrize(
    ("departure", "settings", "label"),
    [
        ("sample_count", RunConfig(), "smoke run of 20 of 13,368 samples"),
        ("min_duration", RunConfig(min_duration_s=60), "minimum duration 1 min"),
        ("model", RunConfig(model="demo"), "demo model"),
        ("model", RunConfig(model="small"), "small model"),
        ("model", RunConfig(model="someone/x"), "not the official model"),
        ("weights", RunConfig(weights="dummy"), "random weights"),
        ("dataset", RunConfig(dataset="synthetic"), "data set synthetic"),
        ("chat_template", RunConfig(), "prompts in a chat template"),
        ("max_new_tokens", RunConfig(max_new_tokens=64), "answers of at most 64 tokens"),
        ("prefix_caching", RunConfig(), "prefix caching on"),
        ("engine_args", RunConfig(), "engine args"),
        ("loadgen_seeds", RunConfig(), "another round's seeds"),
        ("high_accuracy", RunConfig(), "a gate of our own (99.9 %)"),
        ("no_accuracy", RunConfig(), "no accuracy test"),
        ("no_performance", RunConfig(), "no performance test"),
        ("of_another_version", RunConfig(), "of another version"),
    ],
)
def test_each_departure_has_a_label(departure: str, settings: RunConfig, label: str) -> None:
    assert short_label(departure, settings, sample_count=20) == label


def test_the_ids_in_index_json_stay_as_they_are() -> None:
    assert [kind.id for kind in KINDS] == [
        "sample_count",
        "min_duration",
        "model",
        "weights",
        "dataset",
        "chat_template",
        "max_new_tokens",
        "prefix_caching",
        "engine_args",
        "loadgen_seeds",
        "high_accuracy",
        "no_accuracy",
        "no_performance",
    ]
