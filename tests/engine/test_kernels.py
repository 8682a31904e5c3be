"""What an engine is given so that no CUDA code is compiled when it starts."""

from __future__ import annotations

from typing import Any

import pytest

from harness.engine import executor
from tests.engine.plans import plan_for

MULTICAST_OFF = {
    "NCCL_NVLS_ENABLE": "0",
    "TORCH_SYMM_MEM_DISABLE_MULTICAST": "1",
    "NVSHMEM_DISABLE_NVLS": "1",
}


@pytest.mark.parametrize("precision", ["bf16", "fp8"])
@pytest.mark.parametrize("scenario", ["offline", "server", "interactive", "singlestream"])
@pytest.mark.parametrize("size", [2, 4, 8])
def test_gpus_that_share_a_model_leave_out_what_nvcc_would_compile(
    size: int, scenario: str, precision: str
) -> None:
    planned = plan_for(scenario, precision, tensor_parallel_size=size)

    compilation = planned.settings["compilation_config"]
    assert compilation["pass_config"]["fuse_allreduce_rms"] is False
    assert planned.environment["VLLM_ALLREDUCE_USE_SYMM_MEM"] == "0"
    assert planned.environment["VLLM_ALLREDUCE_USE_FLASHINFER"] == "0"
    assert planned.environment.items() >= MULTICAST_OFF.items()
    assert "nvcc would compile it" in planned.to_json()["engine_reasons"][0]


@pytest.mark.parametrize("copies", [1, 2])
def test_a_gpu_with_a_model_of_its_own_exchanges_nothing(copies: int) -> None:
    planned = plan_for("offline", data_parallel_size=copies)

    assert "compilation_config" not in planned.settings
    assert not MULTICAST_OFF.keys() & planned.environment.keys()
    assert planned.to_json()["engine_reasons"] == ([executor.IN_TWO] if copies == 1 else [])


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (
            {"compile_sizes": [1]},
            {"compile_sizes": [1], "pass_config": {"fuse_allreduce_rms": False}},
        ),
        (
            {"pass_config": {"fuse_norm_quant": True}},
            {"pass_config": {"fuse_allreduce_rms": False, "fuse_norm_quant": True}},
        ),
        (
            {"pass_config": {"fuse_allreduce_rms": True}},
            {"pass_config": {"fuse_allreduce_rms": True}},
        ),
        (2, {"mode": 2, "pass_config": {"fuse_allreduce_rms": False}}),
    ],
    ids=str,
)
def test_what_the_user_says_of_compilation_stays(given: Any, kept: dict[str, Any]) -> None:
    arguments = {"compilation_config": given}

    planned = plan_for("offline", "bf16", tensor_parallel_size=2, engine_args=arguments)

    assert planned.settings["compilation_config"] == kept


def test_a_variable_that_the_user_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NCCL_NVLS_ENABLE", "1")

    assert plan_for("offline", tensor_parallel_size=2).environment["NCCL_NVLS_ENABLE"] == "1"


def test_one_query_at_a_time_on_an_h100_is_compiled_for_one_token_without_a_search() -> None:
    """Where the kernels for one token do not suit, as with another release of vLLM."""
    for precision in ("bf16", "fp8"):
        planned = plan_for("singlestream", precision, products=False)

        assert planned.settings["max_num_seqs"] == 1
        assert planned.settings["compilation_config"] == {"compile_sizes": [1]}
        assert planned.environment == {"VLLM_ENABLE_INDUCTOR_MAX_AUTOTUNE": "0"}
