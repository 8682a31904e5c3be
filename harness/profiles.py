"""Engine settings per device, precision and scenario, each with where it came from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Profile:
    """The settings that decide speed; any of them can be overridden with --engine-arg."""

    name: str
    max_num_seqs: int
    max_num_batched_tokens: int
    enforce_eager: bool
    source: str


# vLLM's AsyncLLM silently takes 128 sequences and 2,048 batched tokens when nothing is said; on an
# H200 that cost 7 % of Offline throughput in bf16 (4,766 against 5,120 tokens/s), so every profile
# names both.
_GPU_OFFLINE = Profile(
    name="gpu-offline",
    max_num_seqs=1024,
    max_num_batched_tokens=16384,
    enforce_eager=False,
    source="measured on one H200 with vLLM 0.26.0: bf16 5,120, fp8 7,570 tokens/s",
)
_GPU_SERVER = Profile(
    name="gpu-server",
    max_num_seqs=1024,
    max_num_batched_tokens=16384,
    enforce_eager=False,
    source="measured on one H200 with vLLM 0.26.0, fp8: "
    "p99 TTFT 200 ms, p99 TPOT 34 ms at 52.8 queries/s",
)
_GPU_INTERACTIVE = Profile(
    name="gpu-interactive",
    max_num_seqs=256,
    max_num_batched_tokens=4096,
    enforce_eager=False,
    source="published harnesses for the 500 / 30 ms limits; not measured here",
)
_GPU_SINGLE_STREAM = Profile(
    name="gpu-singlestream",
    max_num_seqs=8,
    max_num_batched_tokens=4096,
    enforce_eager=False,
    source="measured on one H200 with vLLM 0.26.0: bf16 mean TPOT 4.88 ms",
)
_CPU = Profile(
    name="cpu",
    max_num_seqs=64,
    max_num_batched_tokens=4096,
    # Compiling takes longer than the demo model runs.
    enforce_eager=True,
    source="2 cores and the demo model: loads in about 20 s instead of 55 s",
)


def choose(device: str, scenario: str) -> Profile:
    """The profile for "gpu" or "cpu" and a scenario as spelled on the command line."""
    if device == "cpu":
        return _CPU
    return {
        "offline": _GPU_OFFLINE,
        "server": _GPU_SERVER,
        "interactive": _GPU_INTERACTIVE,
        "singlestream": _GPU_SINGLE_STREAM,
    }[scenario]
