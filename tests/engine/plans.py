"""Plans of an engine on GPUs that are not there."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import mock

from harness.config import RunConfig, Scenario
from harness.engine import attention, plan
from harness.engine.plan import EnginePlan, Site
from harness.engine.profiles import Profile
from harness.engine.settings import Purpose
from harness.inputs.model import resolve_model
from harness.machine import gpus, process_limits
from harness.machine import system as system_info
from harness.machine.process_limits import Room
from harness.machine.system import SystemInfo

H100 = "NVIDIA H100 80GB HBM3"
LLAMA_FOLDER = Path(__file__).resolve().parents[2] / "harness/inputs/data/llama3_1_8b_instruct"


def machine(
    gpu_name: str = H100, vllm_version: str = "0.26.0", gpu_memory_bytes: int = 80 << 30
) -> SystemInfo:
    """One GPU of this name and memory."""
    return dataclasses.replace(
        system_info.collect(),
        gpu_count=1,
        gpu_name=gpu_name,
        gpu_memory_bytes=gpu_memory_bytes,
        vllm_version=vllm_version,
    )


def plan_for(
    scenario: str = "offline",
    precision: str = "fp8",
    *,
    flashinfer: bool = True,
    products: bool = True,
    gpu_name: str = H100,
    gpu_memory_bytes: int = 80 << 30,
    tuned: Profile | None = None,
    **flags: Any,
) -> EnginePlan:
    """The plan for Llama-3.1-8B where FlashInfer's kernels are compiled and cuBLASLt is known."""
    config = RunConfig(
        weights="dummy",
        category="edge" if scenario == "singlestream" else "datacenter",
        scenario=Scenario(scenario),
        precision=precision,
        **flags,
    )
    vllm_version = "0.26.0" if products else "0.25.0"
    site = Site("gpu", machine(gpu_name, vllm_version, gpu_memory_bytes))
    with (
        mock.patch.object(attention, "compiled", lambda: flashinfer),
        mock.patch.object(gpus, "free_and_total_memory_bytes", lambda _first: (None, None)),
        mock.patch.object(process_limits, "core_count", lambda: 16),
        mock.patch.object(process_limits, "shared_memory", lambda: Room(1 << 30, 1 << 30)),
    ):
        return plan.make(config, resolve_model(config), site, Purpose(2668), tuned)


def settings_for(scenario: str, precision: str = "fp8", **given: Any) -> Mapping[str, Any]:
    """The engine arguments of that plan."""
    return plan_for(scenario, precision, **given).settings
