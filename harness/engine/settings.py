"""The engine arguments of a run: what the flags, the rules, the profile and the user ask for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from harness import engine_args
from harness.config import DEFAULT_GPU_MEMORY_UTILIZATION, RunConfig, Scenario
from harness.engine import executor, kernels, one_query, profiles
from harness.inputs.model_source import ModelSource

# The demo model needs 2 KiB a token; vLLM would otherwise reserve most of a laptop's memory.
CPU_KV_CACHE_BYTES = 1 << 30


@dataclass(frozen=True)
class Purpose:
    """What an engine is for, beyond the flags."""

    max_model_len: int  # tokens of a prompt and its answer
    prefix_caching: bool = False  # the rules forbid reuse across queries; MMLU may have it
    arithmetic: str | None = None  # the number format to compute in; None: that of the weights
    copies_here: int | None = None  # copies of the model on each machine, where Ray spreads them


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen: the likeliest, until an end token or the longest answer."""

    max_tokens: int
    min_tokens: int  # no end token before so many
    end_token_ids: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """What vLLM is given, and config.json shows, beside the end tokens."""
        return {
            "temperature": 0.0,
            "max_tokens": self.max_tokens,
            "min_tokens": self.min_tokens,
        }


def engine_settings(
    config: RunConfig,
    model: ModelSource,
    device: str,
    profile: profiles.Profile,
    purpose: Purpose,
) -> dict[str, Any]:
    """The engine arguments of a run, as handed to vLLM and as shown in config.json."""
    settings = {
        **_of_every_engine(config, model, purpose),
        **profile.settings,
        **_of_processes(config, purpose, device, profile),
    }
    if model.revision:
        settings["revision"] = model.revision
    if config.precision == "fp8":  # a profile may name another scheme of fp8
        settings = {"quantization": "fp8", "kv_cache_dtype": "fp8"} | settings
    if config.weights == "dummy":
        settings["load_format"] = "dummy"
    settings |= _memory(config, device)
    settings |= config.engine_args
    sequences, tokens = (int(settings[name]) for name in engine_args.WHOLE_NUMBERS)
    if "max_num_batched_tokens" not in config.engine_args:
        tokens = _longest_step(tokens, sequences, purpose.max_model_len)
        settings["max_num_batched_tokens"] = tokens
    if device == "cpu":
        return settings
    if not (settings.get("enforce_eager") or _names_graphs(settings)):
        # vLLM captures up to 512 sequences; above that every decode step leaves the full graph.
        settings["cudagraph_capture_sizes"] = _graph_sizes(config, settings, sequences, tokens)
    return kernels.without_compiling(settings)


def _graph_sizes(
    config: RunConfig, settings: Mapping[str, Any], sequences: int, tokens: int
) -> list[int]:
    if one_query.is_asked_for(settings):
        return one_query.graph_sizes(tokens)
    if config.scenario is Scenario.INTERACTIVE:
        return profiles.mixed_graph_sizes(sequences, tokens)
    return profiles.graph_sizes(sequences)


def dtype_of(config: RunConfig) -> str:
    """vLLM's name of the number format to compute in."""
    return "float16" if config.precision == "fp16" else "bfloat16"


def _of_every_engine(config: RunConfig, model: ModelSource, purpose: Purpose) -> dict[str, Any]:
    return {
        "model": model.path,
        "dtype": purpose.arithmetic or dtype_of(config),
        "tensor_parallel_size": config.tensor_parallel_size or 1,
        "data_parallel_size": config.data_parallel_size,
        "pipeline_parallel_size": config.pipeline_parallel_size,
        "max_model_len": purpose.max_model_len,
        # The rules forbid reuse across queries (inference_rules.adoc, caching);
        # vLLM's default is on.
        "enable_prefix_caching": purpose.prefix_caching,
        # Only the first and the last output of a request matter to LoadGen.
        "stream_interval": config.max_new_tokens,
        # Prompts are token ids and answers stay token ids: no text is made while the clock runs.
        "skip_tokenizer_init": True,
        # What the schedulers say of each step costs microseconds. A step of SingleStream's one
        # sequence is short, and edge's Offline goes on with its engine.
        "disable_log_stats": config.category == "edge",
        "seed": 42,  # the reference's seed; greedy decoding does not draw from it
    }


def _of_processes(
    config: RunConfig, purpose: Purpose, device: str, profile: profiles.Profile
) -> dict[str, Any]:
    short_steps = one_query.has_short_steps(profile.settings)
    backend = executor.choose(config, device, short_steps=short_steps)
    if backend is None:
        return {}
    settings: dict[str, Any] = {"distributed_executor_backend": backend}
    if backend == "ray" and config.data_parallel_size > 1:
        settings["data_parallel_backend"] = "ray"
        if purpose.copies_here is not None:
            # Unsaid, vLLM wants all copies on this machine and refuses when they do not fit.
            settings["data_parallel_size_local"] = purpose.copies_here
    return settings


def _memory(config: RunConfig, device: str) -> dict[str, Any]:
    if device == "cpu" and config.gpu_memory_utilization is None:
        return {"kv_cache_memory_bytes": CPU_KV_CACHE_BYTES}
    return {
        "gpu_memory_utilization": config.gpu_memory_utilization or DEFAULT_GPU_MEMORY_UTILIZATION
    }


def _longest_step(tokens: int, sequences: int, max_model_len: int) -> int:
    """At most `tokens`, and so few that no sequence is longer than it may be when vLLM shares them.

    With FlashInfer installed, vLLM 0.26 warms up with its longest step, shared among all sequences
    and the rest to the last, and reads past its table of blocks where one is too long.
    """
    sequences = min(sequences, tokens)
    tokens = min(tokens, sequences * max_model_len)
    rest = tokens % sequences
    return tokens if tokens // sequences + rest <= max_model_len else tokens - rest


def _names_graphs(settings: Mapping[str, Any]) -> bool:
    """Whether the settings say already which CUDA graphs there are to be."""
    names = {"max_cudagraph_capture_size", "cudagraph_capture_sizes"}
    compilation = settings.get("compilation_config")
    inside = compilation.keys() if isinstance(compilation, Mapping) else set()
    return bool(names & (settings.keys() | inside))
