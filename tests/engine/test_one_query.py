"""When the kernels for a step of one token are taken, and what the engine is then given."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import Any

import pytest

from harness.engine import kernels, one_query
from harness.engine.profiles import Profile
from harness.tuning.plans import make_plan
from tests.engine.checkpoints import AWQ, FP8_TENSORS, GPTQ, INT4_TENSORS
from tests.engine.plans import H100, machine, plan_for
from tests.inputs.model_folders import make_folder

BF16 = "harness.engine.one_token.WorkerExtension"
FP8 = "harness.engine.one_token_fp8.WorkerExtension"
INT4 = "harness.engine.one_token_int4.WorkerExtension"


@pytest.mark.parametrize(("precision", "extension"), [("bf16", BF16), ("fp8", FP8)])
@pytest.mark.parametrize("gpu_name", [H100, "NVIDIA H200"])
def test_one_query_at_a_time_has_kernels_of_its_own(
    gpu_name: str, precision: str, extension: str
) -> None:
    planned = plan_for("singlestream", precision, gpu_name=gpu_name)

    settings = planned.settings
    assert settings["worker_extension_cls"] == extension
    assert settings["max_num_seqs"] == 1
    assert settings["compilation_config"] == {"mode": 0, "cudagraph_mode": "FULL"}
    assert planned.profile.name == f"one-token-{precision}-singlestream"
    assert "distributed_executor_backend" not in settings


def test_in_fp8_its_prompts_multiply_by_cublas() -> None:
    planned = plan_for("singlestream", "fp8")

    assert planned.settings["quantization"] == "fp8_per_channel"
    assert "CutlassFP8ScaledMMLinearKernel" in planned.environment["VLLM_DISABLED_KERNELS"]
    assert plan_for("singlestream", "bf16").environment == {}


def test_every_step_is_a_graph_whatever_the_length_of_its_prompt() -> None:
    sizes = plan_for("singlestream", "bf16").settings["cudagraph_capture_sizes"]

    assert sizes[0] == 1
    assert sizes[-1] == 2668  # the longest sequence, so the longest prompt is none without one
    assert max(after - before for before, after in itertools.pairwise(sizes[1:])) == 64


@pytest.mark.parametrize(
    "other",
    [
        {"products": False},  # another release of vLLM
        {"gpu_name": "NVIDIA B200"},
        {"tensor_parallel_size": 2},
        {"pipeline_parallel_size": 2},
        {"data_parallel_size": 2},
        {"engine_args": {"max_num_seqs": 8}},
        {"engine_args": {"compilation_config": {"compile_sizes": [1]}}},
        {"engine_args": {"attention_backend": "FLASHINFER"}},
        {"engine_args": {"kv_cache_dtype": "fp8_e5m2"}},
        {"engine_args": {"enable_lora": True}},
    ],
    ids=str,
)
def test_what_was_not_tried_runs_on_vllms_own_kernels(other: dict[str, Any]) -> None:
    planned = plan_for("singlestream", "bf16", **other)

    assert not one_query.is_asked_for(planned.settings)
    assert planned.profile.name in ("h100-bf16-singlestream", "gpu-singlestream")


@pytest.mark.parametrize("scenario", ["offline", "server", "interactive"])
def test_many_queries_at_a_time_do_without(scenario: str) -> None:
    for precision in ("bf16", "fp8"):
        assert not one_query.is_asked_for(plan_for(scenario, precision).settings)


@pytest.mark.parametrize(
    "changed",
    [
        {"hidden_size": 8192},
        {"num_key_value_heads": 4},
        {"tie_word_embeddings": True},
        {"attention_bias": True},
        {"architectures": ["MixtralForCausalLM"]},
    ],
    ids=str,
)
def test_another_model_does_without(changed: dict[str, Any]) -> None:
    planned = plan_for("singlestream", "bf16")
    llama = planned.model
    other = dataclasses.replace(llama, config=llama.config | changed)

    assert kernels.choose(planned.config, llama, "gpu", machine()).one_token
    assert not kernels.choose(planned.config, other, "gpu", machine()).one_token


@pytest.mark.parametrize("scheme", [INT4_TENSORS, GPTQ], ids=["compressed-tensors", "gptq"])
def test_weights_of_4_bits_have_kernels_of_their_own(
    scheme: dict[str, Any], tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "model", quantization_config=scheme)

    planned = plan_for("singlestream", "bf16", model=str(folder))

    assert planned.settings["worker_extension_cls"] == INT4
    assert "quantization" not in planned.settings
    assert planned.profile.name == "one-token-int4-singlestream"
    assert planned.settings["distributed_executor_backend"] == "mp"
    off = planned.environment["VLLM_DISABLED_KERNELS"].split(",")
    assert {"MacheteLinearKernel", "MarlinLinearKernel"} <= set(off)


def test_a_checkpoint_in_fp8_is_read_as_it_is(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model", quantization_config=FP8_TENSORS)

    planned = plan_for("singlestream", "bf16", model=str(folder))

    assert planned.settings["worker_extension_cls"] == FP8
    assert "quantization" not in planned.settings
    assert "kv_cache_dtype" not in planned.settings
    assert "CutlassFP8ScaledMMLinearKernel" in planned.environment["VLLM_DISABLED_KERNELS"]


@pytest.mark.parametrize(
    ("scheme", "extension"), [(FP8_TENSORS, FP8), (INT4_TENSORS, INT4)], ids=["fp8", "int4"]
)
def test_a_kv_cache_in_fp8_is_read_as_well(
    scheme: dict[str, Any], extension: str, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "model", quantization_config=scheme)

    planned = plan_for(
        "singlestream", "bf16", model=str(folder), engine_args={"kv_cache_dtype": "fp8"}
    )

    assert planned.settings["worker_extension_cls"] == extension
    assert planned.settings["kv_cache_dtype"] == "fp8"


def test_what_was_measured_of_weights_made_fp8_is_called_so(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model", quantization_config=FP8_TENSORS)
    said = "all of weights made fp8 while loading"

    came = plan_for("singlestream", "bf16", model=str(folder)).profile

    assert said in came.source
    assert said not in plan_for("singlestream", "fp8").profile.source


def test_other_quantised_weights_do_without(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model", quantization_config=AWQ)

    planned = plan_for("singlestream", "bf16", model=str(folder))

    assert not one_query.is_asked_for(planned.settings)
    assert planned.environment == {}


def test_settings_found_by_a_search_count_while_the_kernels_are_the_same() -> None:
    ours = plan_for("singlestream", "bf16").profile
    before = Profile("tuned", {"max_num_seqs": 1, "max_num_batched_tokens": 2048}, "a search")

    assert plan_for("singlestream", "bf16", tuned=before).profile == ours
    assert plan_for("singlestream", "bf16", tuned=ours).profile is ours


def test_settings_of_one_kind_of_weights_say_nothing_of_another(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model", quantization_config=INT4_TENSORS)
    of_bf16 = plan_for("singlestream", "bf16").profile

    planned = plan_for("singlestream", "bf16", model=str(folder), tuned=of_bf16)

    assert planned.profile.name == "one-token-int4-singlestream"


def test_a_search_does_not_compile_beside_them() -> None:
    planned = plan_for("singlestream", "bf16")

    plan = make_plan(planned.place, "bf16", "singlestream", planned.profile)

    compiled = next(v for v in plan.variations if v.name == "compiled for one token")
    assert compiled.changes(planned.profile.settings) == []
    assert compiled.changes({}) == [{"compilation_config": {"compile_sizes": [1]}}]
