"""Parallel sizes against what a machine has: taken, resolved, or refused before anything loads."""

from __future__ import annotations

import importlib.util
import os
from dataclasses import replace
from typing import Any

import pytest

from harness.config import RunConfig
from harness.engine import capacity, plan, profiles
from harness.engine.settings import Purpose, engine_settings
from harness.errors import UsageError
from harness.inputs.model import resolve_model
from harness.machine import system as system_info


def test_more_tensor_parallel_than_gpus_is_refused() -> None:
    machine = system_info.collect()
    two_gpus = type(machine)(**{**vars(machine), "gpu_count": 2})

    with pytest.raises(
        UsageError, match=r"--tensor-parallel-size 4: .* take 4 GPUs together, and 2 are here"
    ):
        capacity.check_devices(RunConfig(tensor_parallel_size=4), "gpu", two_gpus)


def test_the_parallel_flag_that_asks_too_much_is_named() -> None:
    machine = system_info.collect()
    two_gpus = type(machine)(**{**vars(machine), "gpu_count": 2})

    with pytest.raises(UsageError, match="--data-parallel-size 4: the parallel sizes take 4 GPUs"):
        capacity.check_devices(RunConfig(data_parallel_size=4), "gpu", two_gpus)


def test_auto_tensor_parallel_takes_what_the_attention_heads_allow() -> None:
    model = resolve_model(RunConfig(model="llama3.1-8b-instruct", weights="dummy"))
    six = RunConfig(tensor_parallel_size=6)

    assert capacity.fit_heads(six, None, model).tensor_parallel_size == 4
    with pytest.raises(UsageError, match="32 attention heads cannot be shared out to 6; use 4"):
        capacity.fit_heads(six, 6, model)


def test_tensor_parallel_on_a_cpu_needs_cores_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VLLM_CPU_OMP_THREADS_BIND", raising=False)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {2, 3, 5, 7})

    with pytest.raises(UsageError, match=r"set VLLM_CPU_OMP_THREADS_BIND='2\|3'"):
        capacity.check_devices(RunConfig(tensor_parallel_size=2), "cpu", system_info.collect())


def test_auto_tensor_parallel_leaves_gpus_for_data_parallel() -> None:
    machine = system_info.collect()
    eight = type(machine)(**{**vars(machine), "gpu_count": 8})

    resolved = capacity.check_devices(RunConfig(data_parallel_size=4), "gpu", eight)

    assert resolved.tensor_parallel_size == 2


@pytest.mark.parametrize(
    ("device", "sizes", "taken"),
    [
        ("gpu", {"tensor_parallel_size": 2, "data_parallel_size": 3}, 6),
        ("gpu", {"pipeline_parallel_size": 2}, 2),
        ("gpu", {"data_parallel_size": 16, "distributed_executor_backend": "ray"}, 8),
        ("cpu", {}, 0),
    ],
)
def test_an_engine_takes_the_gpus_of_its_parallel_sizes(
    device: str, sizes: dict[str, Any], taken: int
) -> None:
    eight = replace(system_info.collect(), gpu_count=8)

    assert plan.Site(device, eight).for_engine(RunConfig(**sizes)).system.gpu_count == taken


def test_ray_on_a_cpu_is_refused_in_words() -> None:
    ray = RunConfig(distributed_executor_backend="ray", data_parallel_size=2)

    with pytest.raises(UsageError, match="vLLM refuses Ray on a CPU; drop the flag"):
        capacity.check_devices(ray, "cpu", system_info.collect())


def test_ray_for_one_copy_of_the_model_is_refused() -> None:
    gpu = replace(system_info.collect(), gpu_count=2)

    with pytest.raises(UsageError, match=r"needs Ray; drop the flag, or .* --data-parallel-size N"):
        capacity.check_devices(RunConfig(distributed_executor_backend="ray"), "gpu", gpu)


def test_a_cpu_takes_a_model_in_no_groups_of_layers() -> None:
    with pytest.raises(UsageError, match="--pipeline-parallel-size 2: vLLM's build for CPUs ends"):
        capacity.check_devices(RunConfig(pipeline_parallel_size=2), "cpu", system_info.collect())


def test_one_process_for_a_copy_on_two_gpus_is_refused() -> None:
    gpu = replace(system_info.collect(), gpu_count=2)
    asked = RunConfig(distributed_executor_backend="uni")

    with pytest.raises(UsageError, match="backend uni: each copy of the model takes 2 GPUs"):
        capacity.check_devices(asked, "gpu", gpu)
    capacity.check_devices(asked.with_values(tensor_parallel_size=1), "gpu", gpu)


def test_ray_that_is_not_installed_is_refused_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = system_info.collect()
    two_gpus = type(machine)(**{**vars(machine), "gpu_count": 2})
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    asked = RunConfig(distributed_executor_backend="ray", data_parallel_size=2)
    with pytest.raises(UsageError, match=r"pip install 'ray\[default\]' on every machine"):
        capacity.check_devices(asked, "gpu", two_gpus)


def test_through_ray_each_machine_gets_the_copies_that_its_gpus_hold(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    machine = system_info.collect()
    eight = type(machine)(**{**vars(machine), "gpu_count": 8})
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: object())
    asked = RunConfig(model="demo", data_parallel_size=16, distributed_executor_backend="ray")

    resolved = capacity.check_devices(asked, "gpu", eight)
    purpose = Purpose(2668, copies_here=capacity.copies_here(resolved, eight))
    profile = profiles.choose(profiles.Place("gpu"), "bf16", "offline")
    told = engine_settings(resolved, resolve_model(asked), "gpu", profile, purpose)

    assert resolved.tensor_parallel_size == 1
    assert told["data_parallel_size"] == 16
    assert told["data_parallel_size_local"] == 8
    assert told["data_parallel_backend"] == told["distributed_executor_backend"] == "ray"
