"""How an engine will run: device, model, profile, settings and variables, worked out once."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from harness.config import DEFAULT_GPU_MEMORY_UTILIZATION, DEMO_MODEL, RunConfig
from harness.engine import capacity, executor, kernels, process_needs, profiles, weights
from harness.engine.profiles import Place, Profile
from harness.engine.settings import Purpose, engine_settings
from harness.inputs.model_source import ModelSource
from harness.machine import system as system_info
from harness.machine.system import SystemInfo

# An eager vLLM still has torch compile two small functions of its own at their first call: for
# log-probabilities, and for a model in several parts. That takes a C++ compiler and ten seconds.
_COMPILES_NOTHING = {"TORCH_COMPILE_DISABLE": "1"}


@dataclasses.dataclass(frozen=True)
class EnginePlan:
    """Everything that whoever builds an engine needs to know."""

    config: RunConfig  # its parallel sizes are resolved
    device: str  # "gpu" or "cpu"
    model: ModelSource
    system: SystemInfo
    purpose: Purpose
    place: Place
    profile: Profile
    settings: dict[str, Any]  # engine arguments for vLLM
    environment: dict[str, str]  # vLLM's variables while the engine starts
    note: str | None = None  # what would make it faster, for the person at the terminal

    def with_profile_settings(self, chosen: Mapping[str, Any]) -> EnginePlan:
        """The same engine under other settings of speed, as a search tries them."""
        profile = dataclasses.replace(self.profile, settings=chosen)
        settings = engine_settings(self.config, self.model, self.device, profile, self.purpose)
        return dataclasses.replace(
            self,
            profile=profile,
            settings=settings,
            environment=_environment(self.config, self.device, profile, settings),
        )

    def to_json(self) -> dict[str, Any]:
        """Its part of config.json's `resolved`."""
        return {
            "tensor_parallel_size": self.config.tensor_parallel_size,
            "max_model_len": self.settings["max_model_len"],
            "device": self.device,
            "engine": self.settings,
            "engine_environment": self.environment,
            "engine_reasons": [
                *kernels.reasons(self.settings),
                *executor.reasons(self.config, self.settings),
            ],
            "profile": dataclasses.asdict(self.profile),
        }


@dataclasses.dataclass(frozen=True)
class Site:
    """The machine that an engine is planned for, and the build of vLLM on it."""

    device: str  # "gpu" or "cpu"
    system: SystemInfo

    def for_engine(self, config: RunConfig) -> Site:
        """The same with those of its GPUs alone that the engine takes; the sizes are resolved."""
        used = capacity.gpus_here(config, self.device, self.system)
        return Site(self.device, system_info.of_engine(self.system, used))

    def on_system(self, system: SystemInfo) -> Site:
        """The same build on this machine, as it has been looked at again."""
        return Site(self.device, system)


def make(
    config: RunConfig,
    model: ModelSource,
    site: Site,
    purpose: Purpose,
    tuned: Profile | None = None,
) -> EnginePlan:
    """The plan for a run whose parallel sizes are resolved.

    `tuned` is what a search on this machine has found. Raises UsageError when memory is short, or
    a compiler is missing.
    """
    purpose = dataclasses.replace(purpose, copies_here=capacity.copies_here(config, site.system))
    place = place_of(config, model, site)
    chosen = kernels.choose(config, model, site.device, site.system)
    # What was measured of weights as published says nothing of others.
    precision = config.precision if model.quantization is None else "quantised"
    profile = profiles.choose(place, precision, config.scenario.value, chosen, tuned)
    settings = engine_settings(config, model, site.device, profile, purpose)
    process_needs.check_compiler(settings, site.device)
    capacity.check_memory(config, site.device, site.system, model, settings)
    return EnginePlan(
        config=config,
        device=site.device,
        model=model,
        system=site.system,
        purpose=purpose,
        place=place,
        profile=profile,
        settings=settings,
        environment=_environment(config, site.device, profile, settings),
        note=None if tuned is not None else chosen.note,
    )


def _environment(
    config: RunConfig, device: str, profile: Profile, settings: Mapping[str, Any]
) -> dict[str, str]:
    eager = device == "cpu" and settings.get("enforce_eager")
    wanted = {**profile.environment, **(_COMPILES_NOTHING if eager else {})}
    own = {name: os.environ.get(name, value) for name, value in wanted.items()}
    return own | kernels.environment(settings, config.engine_args)


def place_of(config: RunConfig, model: ModelSource, site: Site) -> Place:
    """What one GPU of the engine has to hold, for the choice of a profile."""
    parts = (config.tensor_parallel_size or 1) * config.pipeline_parallel_size
    share = config.gpu_memory_utilization or DEFAULT_GPU_MEMORY_UTILIZATION
    memory = site.system.gpu_memory_bytes
    cache_bytes = 1 if weights.cache_in_fp8(config, model) else 2
    return Place(
        device=site.device,
        gpu_name=site.system.gpu_kind,
        memory_bytes=None if memory is None else int(share * memory),
        weights_bytes=model.loaded_bytes(config.precision) // parts,
        kv_bytes_per_token=model.kv_bytes_per_token(cache_bytes) // parts,
        holds_demo=config.model == DEMO_MODEL,
        sharing=config.tensor_parallel_size or 1,
        parts=parts,
    )
