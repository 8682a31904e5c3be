"""Which engine settings a machine gets when none are asked for."""

from __future__ import annotations

from typing import Any

import pytest

from harness.config import PRECISIONS, Scenario
from harness.engine import profiles
from harness.engine.profiles import Place
from tests.engine.plans import plan_for

GIB = 1 << 30
LLAMA_BF16 = {"weights_bytes": 16_060_522_496, "kv_bytes_per_token": 131_072}


def gpu(name: str, gib: float, **held: Any) -> Place:
    return Place("gpu", gpu_name=name, memory_bytes=int(gib * GIB), **(held or LLAMA_BF16))


def test_a_measured_gpu_gets_what_was_measured_on_it() -> None:
    chosen = profiles.choose(gpu("NVIDIA H200", 129), "fp8", "offline")

    assert chosen.name == "h200-fp8-offline"
    assert "H200" in chosen.source


@pytest.mark.parametrize("scenario", list(Scenario))
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "place",
    [
        Place("cpu"),
        gpu("NVIDIA H200", 129),
        gpu("NVIDIA L4", 20),
        Place("gpu"),
        Place("gpu", holds_demo=True),
    ],
)
def test_every_profile_names_sequences_and_tokens(
    place: Place, precision: str, scenario: Scenario
) -> None:
    settings = profiles.choose(place, precision, scenario.value).settings

    assert 0 < settings["max_num_seqs"] <= settings["max_num_batched_tokens"]


def test_an_unknown_gpu_gets_as_many_sequences_as_its_memory_holds() -> None:
    # 73 GiB less 15 of weights and 4 in reserve is 54 GiB: 442 sequences of 1,000 tokens.
    assert profiles.choose(gpu("GPU of 80 GB", 73), "bf16", "offline").settings == {
        "max_num_seqs": 432,
        "max_num_batched_tokens": 16384,
    }
    assert profiles.choose(gpu("GPU of 24 GB", 21), "bf16", "offline").settings == {
        "max_num_seqs": 16,
        "max_num_batched_tokens": 8192,
    }


def test_interactive_never_gets_more_sequences_than_fit() -> None:
    small = profiles.choose(gpu("GPU of 24 GB", 24), "bf16", "interactive").settings
    large = profiles.choose(gpu("GPU of 180 GB", 165), "bf16", "interactive").settings

    assert small["max_num_seqs"] < large["max_num_seqs"] == 256


@pytest.mark.parametrize("scenario", ["offline", "singlestream"])
def test_the_demo_model_is_loaded_eagerly_on_a_gpu(scenario: str) -> None:
    planned = plan_for(scenario, "bf16", model="demo")

    assert planned.profile.name == "gpu-demo"
    assert planned.settings["enforce_eager"] is True
    assert "cudagraph_capture_sizes" not in planned.settings


def test_an_engine_argument_brings_the_graphs_of_the_demo_model_back() -> None:
    planned = plan_for("offline", "bf16", model="demo", engine_args={"enforce_eager": False})

    assert planned.settings["cudagraph_capture_sizes"] == [1, 2, 4, 8, 16, 32, 64]


def test_no_other_model_is_loaded_eagerly_on_a_gpu() -> None:
    assert "enforce_eager" not in plan_for("offline", "bf16").settings


@pytest.mark.parametrize(
    ("scenario", "precision", "sizes", "settings", "said"),
    [
        ("offline", "fp8", (1, 1), (1024, 5120), "8,736"),
        ("offline", "fp8", (2, 1), (2048, 10240), "13,552"),
        ("offline", "fp8", (4, 1), (2048, 10240), "not measured on 4 GPUs that share the model"),
        ("offline", "fp8", (1, 2), (1024, 5120), "not measured on 2 GPUs that share the model"),
        ("offline", "fp8", (2, 2), (2048, 10240), "not measured on 4 GPUs that share the model"),
        ("offline", "bf16", (2, 1), (1024, 16384), "not measured on 2 GPUs that share the model"),
        ("server", "fp8", (2, 1), (1024, 5120), "at 95 queries/s"),
        ("interactive", "fp8", (2, 1), (256, 1408), "not measured on 2 GPUs that share the model"),
        ("singlestream", "bf16", (2, 1), (1, 4096), "p90 456 ms"),
        ("singlestream", "fp8", (2, 1), (8, 4096), "p90 416 ms"),
    ],
    ids=str,
)
def test_gpus_that_share_a_model_have_settings_of_their_own_or_say_that_nobody_measured(
    scenario: str, precision: str, sizes: tuple[int, int], settings: tuple[int, int], said: str
) -> None:
    tensor, pipeline = sizes
    planned = plan_for(
        scenario,
        precision,
        gpu_name="NVIDIA H200",
        gpu_memory_bytes=141 << 30,
        tensor_parallel_size=tensor,
        pipeline_parallel_size=pipeline,
    )

    chosen = planned.profile.settings
    assert (chosen["max_num_seqs"], chosen["max_num_batched_tokens"]) == settings
    assert said in planned.profile.source
    assert ("not measured" in planned.profile.source) == said.startswith("not measured")


def test_what_two_h200_were_measured_with_goes_to_h100s_and_says_so() -> None:
    profile = plan_for("offline", tensor_parallel_size=2).profile

    assert profile.settings["max_num_batched_tokens"] == 10240
    assert profile.source.startswith("measured on two H200")


def test_gpus_that_share_a_model_hold_no_more_sequences_than_fit() -> None:
    half = plan_for("offline", gpu_memory_bytes=40 << 30, tensor_parallel_size=2).profile.settings

    assert half["max_num_seqs"] < 1024


def test_a_profile_that_nobody_measured_says_so_once() -> None:
    shared = plan_for("offline", "bf16", gpu_name="NVIDIA L40S", tensor_parallel_size=2)

    assert shared.profile.source.count("not measured") == 1
