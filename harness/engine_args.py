"""--engine-arg NAME=VALUE: how it is read, and which names are settings of speed alone."""

from __future__ import annotations

import difflib
import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from harness import json_text
from harness.errors import UsageError

# What has a flag of its own is refused, so that no report names one thing while another runs.
FLAG_OF = {
    "model": "--model",
    "revision": "--model",
    "tokenizer": "--model",
    "skip_tokenizer_init": "--model",
    "dtype": "--precision",
    "quantization": "--precision",
    "quantization_config": "--precision",
    "load_format": "--weights",
    "tensor_parallel_size": "--tensor-parallel-size",
    "data_parallel_size": "--data-parallel-size",
    "pipeline_parallel_size": "--pipeline-parallel-size",
    "distributed_executor_backend": "--distributed-executor-backend",
    "max_model_len": "--max-model-len",
    "gpu_memory_utilization": "--gpu-memory-utilization",
}
# Settings of speed that the rules leave free; any other engine argument is listed as a departure.
TUNING = frozenset(
    {
        "async_scheduling",
        "attention_backend",
        "block_size",
        "compilation_config",
        "cudagraph_capture_sizes",
        "data_parallel_backend",
        "disable_log_stats",
        "enable_chunked_prefill",
        "enable_prefix_caching",  # a departure of its own
        "enforce_eager",
        "kv_cache_dtype",
        "kv_cache_memory_bytes",
        "linear_backend",
        "long_prefill_token_threshold",
        "max_cudagraph_capture_size",
        "max_long_partial_prefills",
        "max_num_batched_tokens",
        "max_num_partial_prefills",
        "max_num_seqs",
        "num_gpu_blocks_override",
        "optimization_level",
        "performance_mode",
        "stream_interval",
    }
)
WHOLE_NUMBERS = ("max_num_seqs", "max_num_batched_tokens")
# An engine argument that holds one of these words would end up in config.json and in vLLM's log.
SECRET_WORDS = ("token_secret", "hf_token", "api_key", "password")


def field_name(name: str) -> str:
    """The engine argument that a person means: `--max-num-seqs` is max_num_seqs."""
    return name.strip().lstrip("-").replace("-", "_")


def parse(pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """NAME=VALUE pairs as Python values: JSON where it parses, else text.

    Of a name given twice the last counts. Raises UsageError for a name that may hold a secret.
    """
    parsed: dict[str, Any] = {}
    for name, text in pairs:
        field = field_name(name)
        if any(word in field.lower() for word in SECRET_WORDS):
            raise UsageError(
                f"--engine-arg {field}=...: a secret here would end up in config.json; "
                "put HF_TOKEN in the file .env instead."
            )
        parsed[field] = _value(text)
    return parsed


def _value(text: str) -> Any:
    lowered = text.strip().lower()
    if lowered in ("true", "false"):
        return lowered == "true"
    try:
        return json_text.loads(text)
    except ValueError:
        return text


def as_text(given: Mapping[str, Any]) -> dict[str, str]:
    """The arguments as config.json holds them; `parse` makes the same values of their items."""
    return {
        name: value if isinstance(value, str) and _value(value) == value else json.dumps(value)
        for name, value in given.items()
    }


def beyond_tuning(given: Collection[str]) -> tuple[str, ...]:
    """The names of which it is not known that the rules leave them free."""
    return tuple(sorted(set(given) - TUNING))


def _note(name: str) -> str:
    if not name.startswith("quantization"):
        return ""
    return "; a checkpoint that comes quantised runs by its own scheme, without a flag"


def check(given: Mapping[str, Any], known: Collection[str]) -> None:
    """Refuses an argument that has a flag of its own, or that this vLLM does not know.

    `known` are the engine arguments of the installed vLLM. Raises UsageError.
    """
    for name, value in given.items():
        if name in FLAG_OF:
            raise UsageError(f"--engine-arg {name}: use {FLAG_OF[name]} for that{_note(name)}.")
        if name == "hf_overrides" and "quantization_config" in str(value):
            raise UsageError(
                "--engine-arg hf_overrides: how the weights are quantised is not to be overridden, "
                "or the report would name another model; change the folder's config.json."
            )
        if name in WHOLE_NUMBERS and (type(value) is not int or value < 1):
            raise UsageError(
                f"--engine-arg {name}={value}: a whole number of at least 1 is needed."
            )
    for name in given:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else "."
            raise UsageError(f"--engine-arg {name}: this vLLM has no such engine argument{hint}")
