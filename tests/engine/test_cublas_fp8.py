"""When cuBLASLt's fp8 products are taken, and what the engine is then told."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig, Scenario
from harness.engine import fp8, kernels, settings
from harness.engine.profiles import Profile
from harness.inputs.model import resolve_model
from harness.submission import texts as submission_texts
from tests.engine.plans import machine, plan_for, settings_for
from tests.rules.runs import good

PROJECT = Path(__file__).resolve().parents[2]
H100 = "NVIDIA H100 80GB HBM3"
LLAMA: dict[str, Any] = json.loads(
    (PROJECT / "harness/inputs/data/llama3_1_8b_instruct/config.json").read_text(encoding="utf-8")
)


def suits(
    gpu: str | None = H100,
    vllm: str | None = "0.26.0",
    model: dict[str, Any] = LLAMA,
    given: dict[str, Any] | None = None,
    **sizes: int,
) -> bool:
    return fp8.suits(gpu, vllm, model, given or {}, **sizes)


@pytest.mark.parametrize("gpu", [H100, "NVIDIA H200", "NVIDIA GH200 480GB"])
def test_hopper_gpus_multiply_by_cublas(gpu: str) -> None:
    assert suits(gpu)


@pytest.mark.parametrize("gpu", ["NVIDIA B200", "NVIDIA L40S", "NVIDIA H20", None])
def test_other_gpus_keep_what_vllm_chooses(gpu: str | None) -> None:
    assert not suits(gpu)


@pytest.mark.parametrize("release", ["0.25.1", "0.27.0", "0.260.0", None])
def test_another_release_of_vllm_keeps_its_own_products(release: str | None) -> None:
    assert not suits(vllm=release)


def test_runs_that_were_not_tried_keep_what_vllm_chooses() -> None:
    assert not suits(pipeline_parallel_size=2)
    assert not suits(given={"linear_backend": "cutlass"})
    assert not suits(model=LLAMA | {"architectures": ["MixtralForCausalLM"]})
    assert not suits(model=LLAMA | {"intermediate_size": 14_340})
    assert suits(given={"max_num_seqs": 512})


@pytest.mark.parametrize("size", [2, 4, 8])
def test_gpus_that_share_a_model_multiply_their_parts_of_its_rows(size: int) -> None:
    aligned_on_one_alone = LLAMA | {"intermediate_size": 14_336 + fp8.ALIGNED_TO}

    assert suits(tensor_parallel_size=size)
    assert suits(model=aligned_on_one_alone)
    assert not suits(model=aligned_on_one_alone, tensor_parallel_size=size)


@pytest.mark.parametrize(
    ("asked", "wanted"),
    [
        ({}, True),
        ({"data_parallel_size": 2}, True),
        ({"tensor_parallel_size": 2}, True),
        ({"pipeline_parallel_size": 2}, False),
        ({"distributed_executor_backend": "ray"}, True),
        ({"engine_args": {"linear_backend": "auto"}}, False),
        ({"engine_args": {"enable_lora": True}}, False),
        ({"engine_args": {"max_num_seqs": 512}}, True),
        ({"precision": "bf16"}, False),
    ],
    ids=str,
)
def test_a_run_finds_out_whether_the_products_suit_it(asked: dict[str, Any], wanted: bool) -> None:
    config = RunConfig(**{"model": "demo", "precision": "fp8", **asked})

    chosen = kernels.choose(config, resolve_model(config), "gpu", machine())

    assert chosen.products is wanted


def engine_settings(
    scenario: str, *, products: bool, engine_args: Mapping[str, Any] | None = None
) -> Mapping[str, Any]:
    return settings_for(scenario, products=products, engine_args=engine_args or {})


@pytest.mark.parametrize("scenario", ["offline", "server", "interactive"])
def test_the_engine_is_told_of_the_products(scenario: str) -> None:
    ours = engine_settings(scenario, products=True)
    theirs = engine_settings(scenario, products=False)

    assert (ours["quantization"], theirs["quantization"]) == ("fp8_per_channel", "fp8")
    assert ours["worker_extension_cls"] == "harness.engine.cublas_fp8.WorkerExtension"
    assert "worker_extension_cls" not in theirs
    assert ours["kv_cache_dtype"] == theirs["kv_cache_dtype"] == "fp8"


def test_one_query_at_a_time_keeps_what_vllm_chooses_where_its_own_kernels_do_not_suit() -> None:
    told = engine_settings("singlestream", products=True, engine_args={"max_num_seqs": 2})

    assert told["quantization"] == "fp8"
    assert kernels.environment(told, {}).get("VLLM_DISABLED_KERNELS") is None


def test_kernels_that_the_user_switched_off_stay_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(
        "VLLM_DISABLED_KERNELS", "MacheteLinearKernel,CutlassFP8ScaledMMLinearKernel"
    )

    told = kernels.environment(engine_settings("offline", products=True), {})
    off = told["VLLM_DISABLED_KERNELS"].split(",")

    assert len(off) == len(set(off))
    assert {"MacheteLinearKernel", "CutlassFP8ScaledMMLinearKernel"} <= set(off)
    assert "HummingFP8ScaledMMLinearKernel" in off


def test_engines_on_other_machines_are_told_which_kernels_to_leave_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VLLM_RAY_EXTRA_ENV_VARS_TO_COPY", "MINE")
    here = engine_settings("offline", products=True)
    there = {**here, "distributed_executor_backend": "ray"}

    taken_along = kernels.environment(there, {})["VLLM_RAY_EXTRA_ENV_VARS_TO_COPY"]

    assert taken_along.split(",") == ["MINE", fp8.ROW_KERNELS]
    assert "VLLM_RAY_EXTRA_ENV_VARS_TO_COPY" not in kernels.environment(here, {})


@pytest.mark.parametrize("name", ["VLLM_BATCH_INVARIANT", "VLLM_TEST_FORCE_FP8_MARLIN"])
def test_who_asks_vllm_for_other_products_gets_them(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, "0")
    found = [suits()]
    monkeypatch.setenv(name, "1")

    assert [*found, suits()] == [True, False]


def test_tuned_settings_for_products_that_do_not_suit_are_not_used() -> None:
    settings = {"max_num_seqs": 900, "max_num_batched_tokens": 4096, **fp8.settings()}
    tuned = Profile("tuned", settings, "a search")
    suited, other = (
        plan_for("offline", flashinfer=False, products=found, tuned=tuned)
        for found in (True, False)
    )

    assert suited.profile is tuned
    assert other.profile.name == "h100-fp8-offline"


@pytest.mark.parametrize(
    ("scenario", "precision", "taken"),
    [("offline", "fp8", False), ("singlestream", "fp8", False), ("offline", "bf16", True)],
)
def test_settings_that_were_tuned_with_vllms_products_give_way(
    scenario: str, precision: str, taken: bool
) -> None:
    tuned = Profile("tuned", {"max_num_seqs": 900, "max_num_batched_tokens": 4096}, "a search")

    planned = plan_for(scenario, precision, flashinfer=False, tuned=tuned)

    assert (planned.profile is tuned) is taken


def test_a_figure_says_whose_products_gave_it() -> None:
    sources = {
        (attention, products): plan_for(
            "offline", flashinfer=attention, products=products
        ).profile.source
        for attention in (True, False)
        for products in (True, False)
    }

    assert "here" not in sources[True, True]
    assert sources[True, False].endswith("with cuBLASLt's products, not with vLLM's own")
    assert sources[False, True].endswith("by CUTLASS; by cuBLASLt here")
    assert sources[False, False].endswith("by CUTLASS")


def test_steps_of_interactive_are_graphs_whatever_they_hold() -> None:
    told = engine_settings("interactive", products=True)
    sizes = told["cudagraph_capture_sizes"]

    assert sizes == sorted(set(sizes))
    assert (sizes[0], sizes[-1]) == (1, told["max_num_batched_tokens"])
    assert len(sizes) == 29
    assert told["max_num_seqs"] in sizes
    assert max(after - before for before, after in itertools.pairwise(sizes)) <= 128


@pytest.mark.parametrize(
    ("given", "sizes"),
    [
        ({"max_num_batched_tokens": 1024}, [*range(32, 257, 16), *range(384, 1025, 128)]),
        ({"max_num_batched_tokens": 4096}, [*range(32, 257, 16), *range(384, 2049, 128)]),
        ({"max_num_seqs": 64, "max_num_batched_tokens": 64}, [32, 48, 64]),
        ({"max_num_seqs": 40, "max_num_batched_tokens": 200}, [32, 40, 168, 200]),
    ],
    ids=str,
)
def test_the_graphs_follow_what_the_user_asks_for(given: dict[str, int], sizes: list[int]) -> None:
    told = engine_settings("interactive", products=True, engine_args=given)

    assert told["cudagraph_capture_sizes"] == [1, 2, 4, 8, 16, *sizes]


@pytest.mark.parametrize(
    "given",
    [
        {"max_cudagraph_capture_size": 512},
        {"compilation_config": {"cudagraph_capture_sizes": [1, 8]}},
    ],
)
def test_who_names_graphs_gets_these_alone(given: dict[str, Any]) -> None:
    for scenario in ("offline", "interactive"):
        told = engine_settings(scenario, products=True, engine_args=given)

        assert "cudagraph_capture_sizes" not in told


@pytest.mark.parametrize(("sequences", "tokens"), [(1, 2668), (2, 4096), (8, 4096), (600, 4096)])
def test_no_step_is_longer_than_its_sequences_may_be(sequences: int, tokens: int) -> None:
    given = {"max_num_seqs": sequences}

    told = engine_settings("singlestream", products=False, engine_args=given)
    asked = engine_settings(
        "singlestream", products=False, engine_args={**given, "max_num_batched_tokens": 5000}
    )

    assert told["max_num_batched_tokens"] == tokens
    assert (
        settings.engine_settings(
            RunConfig(model="demo"),
            resolve_model(RunConfig(model="demo")),
            "gpu",
            Profile("", {"max_num_seqs": 600, "max_num_batched_tokens": 4096}, ""),
            settings.Purpose(max_model_len=300),
        )["max_num_batched_tokens"]
        == 3600
    )  # 7 tokens for each and 496 for the last would be left
    assert asked["max_num_batched_tokens"] == 5000


@pytest.mark.parametrize(
    ("schemes", "said", "not_said"),
    [
        ({"fp8": ["SingleStream"]}, "for the whole matrix", "for each output"),
        ({"fp8_per_channel": ["Offline", "Server"]}, "for each output", "for the whole matrix"),
        (
            {"fp8": ["SingleStream"], "fp8_per_channel": ["Offline"]},
            '"fp8"` in SingleStream\n- `quantization="fp8_per_channel"` in Offline\n\n- **Weights',
            "\n\n\n",
        ),
    ],
    ids=["matrix", "output", "both"],
)
def test_the_calibration_describes_the_scales_that_ran(
    schemes: dict[str, list[str]], said: str, not_said: str
) -> None:
    runs = []
    for scheme, scenarios in schemes.items():
        for scenario in scenarios:
            run = good(Scenario(scenario.lower()), precision="fp8")
            run.config["resolved"]["engine"] |= {"quantization": scheme, "kv_cache_dtype": "fp8"}
            runs.append(run)

    text = submission_texts.calibration(runs)

    assert said in text
    assert not_said not in text
