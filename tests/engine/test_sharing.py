"""What is said where GPUs share a model that one of them holds."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from harness.config import RunConfig, Scenario
from harness.engine import sharing
from harness.inputs.model import resolve_model
from tests.engine.plans import machine

EIGHTY_GB = 80 << 30
ONE_BY_ONE = {"scenario": Scenario.SINGLESTREAM, "category": "edge"}


def note(
    flags: dict[str, Any],
    memory_bytes: int | None = EIGHTY_GB,
    asked: int | None = None,
    vllm_version: str = "0.26.0",
) -> str | None:
    config = RunConfig(**{"weights": "dummy", "tensor_parallel_size": 2, **flags})
    system = dataclasses.replace(
        machine("NVIDIA H200", vllm_version), gpu_count=2, gpu_memory_bytes=memory_bytes
    )
    return sharing.note(config, asked, "gpu", system, resolve_model(config))


@pytest.mark.parametrize(
    ("flags", "memory_bytes", "asked", "said"),
    [
        ({}, EIGHTY_GB, None, "--tensor-parallel-size 1 --data-parallel-size 2"),
        ({"data_parallel_size": 4}, EIGHTY_GB, None, "--data-parallel-size 8"),
        ({}, 24 << 30, None, None),  # the weights take 15 GiB, and leave too little beside them
        ({"precision": "fp8"}, 24 << 30, None, "--data-parallel-size 2"),
        ({}, EIGHTY_GB, 2, None),  # as asked
        ({"tensor_parallel_size": 1}, EIGHTY_GB, None, None),
        ({}, None, None, None),
    ],
    ids=str,
)
def test_copies_are_named_where_a_model_that_fits_on_one_gpu_was_cut(
    flags: dict[str, Any], memory_bytes: int | None, asked: int | None, said: str | None
) -> None:
    sentence = note(flags, memory_bytes, asked)

    assert (sentence is None) == (said is None)
    if said is not None:
        assert str(sentence).endswith(said)


def test_one_gpu_is_named_where_its_kernels_answer_a_query_sooner() -> None:
    sentence = note({**ONE_BY_ONE, "precision": "fp8"})

    assert str(sentence).endswith(": --tensor-parallel-size 1")


def test_nothing_is_said_of_single_queries_that_two_gpus_answer_sooner() -> None:
    assert note(ONE_BY_ONE) is None  # bf16
    assert note({**ONE_BY_ONE, "precision": "fp8"}, vllm_version="0.25.0") is None
    assert note({**ONE_BY_ONE, "precision": "fp8"}, asked=2) is None
    four = {"tensor_parallel_size": 4}  # of which it is not known
    assert note({**ONE_BY_ONE, "precision": "fp8", **four}) is None
