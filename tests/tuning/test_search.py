"""The search for settings: what it tries next, what it keeps, and what later runs take from it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness import engine_args
from harness.config import PRECISIONS, RunConfig, Scenario
from harness.engine import profiles
from harness.engine.kernels import Kernels
from harness.engine.profiles import Place, Profile
from harness.machine import system as system_info
from harness.tuning import file as tuning_file
from harness.tuning import plans as tuning_plans
from harness.tuning import search as tuning
from harness.tuning import text as tuning_text
from harness.tuning.search import LATENCY, TOKENS_PER_SECOND, Plan, Settings, Trial, Variation

GIB = 1 << 30
H200 = Place("gpu", "NVIDIA H200", 129 * GIB, 16_060_522_496, 131_072)
L4 = Place("gpu", "NVIDIA L4", 21 * GIB, 16_060_522_496, 131_072)
BASE = {"max_num_seqs": 64, "max_num_batched_tokens": 4096}


def variation(*changes: Settings) -> Variation:
    return Variation("a name", "to see", lambda _best: changes)


def plan(*variations: Variation, **more: Any) -> Plan:
    values = {"goal": TOKENS_PER_SECOND, "noise": 0.01, "first_guess_s": 60.0, **more}
    return Plan(base=BASE, variations=variations, **values)


def search(of: Plan, scores: dict[str, float | None]) -> list[tuple[str, float | None]]:
    """Goes through a search; `scores` by what was changed of the base."""
    trials: list[Trial] = []
    while (settings := tuning.next_settings(of, trials)) is not None:
        score = scores[tuning.changed(settings, of.base)]
        trials.append(Trial(settings, 1.0, score, None if score else "it died"))
    return [(tuning.changed(trial.settings, of.base), trial.score) for trial in trials]


@pytest.mark.parametrize("scenario", ["offline", "server", "interactive"])
def test_with_flashinfer_the_other_kernels_are_tried_and_no_other_blocks(scenario: str) -> None:
    profile = profiles.choose(H200, "fp8", scenario, Kernels(flashinfer=True))
    found = tuning_plans.make_plan(H200, "fp8", scenario, profile)
    tried = [
        candidate for one in found.variations for candidate in found.candidates(one, found.base)
    ]

    assert found.base["attention_backend"] == "FLASHINFER"
    assert {candidate["block_size"] for candidate in tried} == {16}
    assert "FLASH_ATTN" in {candidate["attention_backend"] for candidate in tried}


@pytest.mark.parametrize("scenario", ["offline", "server"])
def test_the_longest_step_of_the_best_seats_is_tried_as_a_graph(scenario: str) -> None:
    profile = profiles.choose(H200, "fp8", scenario, Kernels(flashinfer=True))
    found = tuning_plans.make_plan(H200, "fp8", scenario, profile)
    (one,) = (each for each in found.variations if each.name == "a graph of the longest step")

    (tried,) = found.candidates(one, {**found.base, "max_num_batched_tokens": 8192})
    of_answers = profiles.graph_sizes(found.base["max_num_seqs"])
    assert tried["cudagraph_capture_sizes"] == [*of_answers, 8192]
    assert found.candidates(one, {**found.base, "enforce_eager": True}) == []


def test_each_variation_starts_from_the_best_of_the_one_before() -> None:
    of_two = plan(
        variation({"max_num_seqs": 32}, {"max_num_seqs": 128}), variation({"enforce_eager": False})
    )

    tried = search(
        of_two,
        {
            "": 100.0,
            "max_num_seqs=32": 90.0,
            "max_num_seqs=128": 110.0,
            "max_num_seqs=128, enforce_eager=false": 120.0,
        },
    )

    assert [score for _, score in tried] == [100.0, 90.0, 110.0, 120.0]


def test_a_gain_within_the_noise_is_not_kept() -> None:
    of_one = plan(variation({"max_num_seqs": 128}))
    trials = [Trial(BASE, 1.0, 100.0), Trial({**BASE, "max_num_seqs": 128}, 1.0, 100.9)]

    assert tuning.best(of_one, trials) is trials[0]
    better = [trials[0], replace(trials[1], score=101.1)]
    assert tuning.best(of_one, better) is better[1]


def test_a_latency_is_better_when_it_is_less() -> None:
    of_one = plan(variation({"max_num_seqs": 1}), goal=LATENCY)
    trials = [Trial(BASE, 1.0, 650.0), Trial({**BASE, "max_num_seqs": 1}, 1.0, 600.0)]

    assert tuning.best(of_one, trials) is trials[1]


def test_settings_that_fail_are_left_behind_and_the_search_goes_on() -> None:
    of_one = plan(variation({"max_num_seqs": 32}, {"max_num_seqs": 128}))

    tried = search(of_one, {"": None, "max_num_seqs=32": None, "max_num_seqs=128": 5.0})

    assert [score for _, score in tried] == [None, None, 5.0]


def test_an_argument_that_the_user_gave_is_in_no_trial() -> None:
    fixed = plan(
        variation({"max_num_seqs": 32, "max_num_batched_tokens": 2048}),
        variation({"enforce_eager": False}),
        fixed=frozenset({"max_num_batched_tokens"}),
    )

    assert fixed.most_trials == 2
    assert search(fixed, {"": 1.0, "enforce_eager=false": 1.0})[1][0] == "enforce_eager=false"


def test_a_change_keeps_the_other_members_of_an_object() -> None:
    settings = {"compilation_config": {"mode": 3}}

    assert tuning.merged(settings, {"compilation_config": {"compile_sizes": [1]}}) == {
        "compilation_config": {"mode": 3, "compile_sizes": [1]}
    }


@given(st.lists(st.one_of(st.none(), st.floats(1.0, 1e4)), min_size=6, max_size=6))
def test_a_search_ends_and_what_it_keeps_beats_the_start(scores: Sequence[float | None]) -> None:
    of = plan(
        variation({"max_num_seqs": 32}, {"max_num_seqs": 128}, {"max_num_seqs": 256}),
        variation({"block_size": 64}, {"block_size": 128}),
    )
    trials: list[Trial] = []
    while (settings := tuning.next_settings(of, trials)) is not None:
        trials.append(Trial(settings, 1.0, scores[len(trials)]))

    assert len(trials) == of.most_trials == 6
    found = tuning.best(of, trials)
    worked = [score for score in scores if score is not None]
    assert (found is None) == (not worked)
    if found is not None and found is not trials[0] and scores[0] is not None:
        assert found.score is not None
        assert found.score > 1.01 * scores[0]


@pytest.mark.parametrize("scenario", [one.value for one in Scenario])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("place", [Place("cpu"), Place("gpu"), H200, L4])
def test_every_plan_varies_settings_of_speed_alone(
    place: Place, precision: str, scenario: str
) -> None:
    made = tuning_plans.make_plan(
        place, precision, scenario, profiles.choose(place, precision, scenario)
    )

    assert made.most_trials >= 3
    for one in made.variations:
        for settings in made.candidates(one, made.base):
            assert set(settings) <= engine_args.TUNING
            assert settings["max_num_seqs"] <= settings["max_num_batched_tokens"]


def test_no_trial_has_more_sequences_than_the_memory_holds() -> None:
    # 129 GiB less 15 of weights and 4 in reserve: 901 sequences of 1,000 tokens at 128 KiB each.
    fitting = profiles.sequences_that_fit(H200)
    made = tuning_plans.make_plan(
        H200, "bf16", "offline", profiles.choose(Place("gpu"), "bf16", "offline")
    )

    assert fitting == 896
    tried = [settings for one in made.variations for settings in made.candidates(one, made.base)]
    pairs = {(one["max_num_seqs"], one["max_num_batched_tokens"]) for one in tried[:3]}
    assert pairs == {(896, 6144), (896, 8192), (896, 16384)}


def test_full_steps_are_compiled_at_the_size_that_won() -> None:
    made = tuning_plans.make_plan(H200, "fp8", "offline", profiles.choose(H200, "fp8", "offline"))

    (full,) = (one for one in made.variations if one.name == "compiled for full steps")
    compiled = made.candidates(full, {**made.base, "max_num_batched_tokens": 8192})

    assert compiled[0]["compilation_config"] == {"compile_sizes": [8192]}


CONFIG = RunConfig(model="demo", dataset="sample", tensor_parallel_size=1)
SYSTEM = replace(system_info.collect(), gpu_count=1, gpu_name="NVIDIA H200", vllm_version="0.26.0")
PROFILE = Profile("h200-bf16-offline", BASE, "measured")
OF_ONE = plan(variation({"max_num_seqs": 128}))
TRIALS = [
    Trial(BASE, 100.0, 5000.0, None, {"prompts": 512}),
    Trial({**BASE, "max_num_seqs": 128}, 120.0, 5250.0, None, {"prompts": 512}),
]


def record(
    folder: Path, config: RunConfig = CONFIG, trials: Sequence[Trial] = TRIALS
) -> str | None:
    return tuning_file.write(
        folder,
        tuning_file.describe(config, SYSTEM, 2668, "a checksum"),
        OF_ONE,
        trials,
        date="2026-11-24T05:00:00+00:00",
        profile=PROFILE,
    )


def test_a_later_run_on_the_same_machine_takes_the_best_settings(tmp_path: Path) -> None:
    record(tmp_path)

    tuned = tuning_file.find(tmp_path, CONFIG, SYSTEM)

    assert tuned is not None
    assert tuned.settings == {**BASE, "max_num_seqs": 128}
    assert tuned.source == (
        "tuned on 2026-11-24: 5,250 tokens/s, 5.0 % better than h200-bf16-offline "
        "(2 trials, complete; real weights, data set sample)"
    )
    assert profiles.choose(H200, "bf16", "offline", tuned=tuned) is tuned


@pytest.mark.parametrize(
    ("config", "system"),
    [
        (CONFIG.with_values(precision="fp8"), SYSTEM),
        (CONFIG.with_values(scenario=Scenario.SERVER), SYSTEM),
        (CONFIG.with_values(data_parallel_size=2), SYSTEM),
        (CONFIG.with_values(model="another"), SYSTEM),
        (CONFIG, replace(SYSTEM, gpu_name="NVIDIA H100")),
        (CONFIG, replace(SYSTEM, gpu_count=2)),
        (CONFIG, replace(SYSTEM, vllm_version="0.33.0")),
    ],
)
def test_settings_are_not_carried_to_other_circumstances(
    config: RunConfig, system: system_info.SystemInfo, tmp_path: Path
) -> None:
    record(tmp_path)

    assert tuning_file.find(tmp_path, config, system) is None


def test_a_search_under_engine_arguments_counts_only_where_they_are_given_again(
    tmp_path: Path,
) -> None:
    under = CONFIG.with_values(
        engine_args={"kv_cache_dtype": "fp8", "compilation_config": {"mode": 3}}
    )
    record(tmp_path, under)

    assert tuning_file.find(tmp_path, CONFIG, SYSTEM) is None
    assert tuning_file.find(tmp_path, under, SYSTEM) is not None


def test_a_search_that_found_nothing_better_leaves_the_profile(tmp_path: Path) -> None:
    record(tmp_path, trials=TRIALS[:1])

    assert tuning_file.find(tmp_path, CONFIG, SYSTEM) is None


def test_recorded_trials_are_found_again_by_the_same_search_alone(tmp_path: Path) -> None:
    record(tmp_path)
    record(tmp_path, CONFIG.with_values(weights="dummy"), TRIALS[:1])

    def trials_of(config: RunConfig, max_model_len: int = 2668) -> list[Trial]:
        return tuning_file.read_trials(
            tmp_path, tuning_file.describe(config, SYSTEM, max_model_len, "a checksum")
        )

    assert trials_of(CONFIG) == TRIALS
    assert trials_of(CONFIG.with_values(weights="dummy")) == TRIALS[:1]
    assert trials_of(CONFIG, max_model_len=4096) == []
    assert len(json.loads((tmp_path / "tuning.json").read_text())["searches"]) == 2


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 99}', '{"searches": 3}'])
def test_a_damaged_or_foreign_file_counts_as_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "tuning.json").write_text(text)

    assert tuning_file.find(tmp_path, CONFIG, SYSTEM) is None
    record(tmp_path)
    assert tuning_file.find(tmp_path, CONFIG, SYSTEM) is not None


def test_the_table_marks_the_best_and_tells_why_a_trial_failed() -> None:
    two = plan(variation({"max_num_seqs": 128}, {"max_num_seqs": 256}))
    failed = Trial({**BASE, "max_num_seqs": 256}, 40.0, None, "CUDA out of memory")

    assert tuning_text.table(two, [*TRIALS, failed]) == (
        "        tokens/s  against the profile        took  what was changed\n"
        "         5,000.0                    -  1 min 40 s  the profile's settings\n"
        "  best   5,250.0               +5.0 %       2 min  max_num_seqs=128\n"
        "          failed                    -        40 s  max_num_seqs=256\n"
        "                                                     CUDA out of memory"
    )
