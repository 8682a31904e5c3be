"""Engine settings per GPU family, precision and scenario, each with where it came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from harness.engine.kernels import OF_VLLM, Kernels, are_those_of
from harness.language import phrase

# vLLM's AsyncLLM silently takes 128 sequences and 2,048 batched tokens when nothing is said; on an
# H200 that cost 7 % of Offline throughput in bf16 (4,766 against 5,120 tokens/s), so every profile
# names both.
#
# What is known of one GPU family is not handed on to another: an unknown one gets `_computed`. Only
# the settings for FlashInfer and cuBLASLt's products go from the H100 to the H200, which computes
# as fast, from more and faster memory, and those of GPUs that share the model from the H200 to the
# H100; their source says where they were measured.


@dataclass(frozen=True)
class Profile:
    """Settings that decide speed; any of them can be overridden with --engine-arg."""

    name: str
    settings: Mapping[str, Any]  # engine arguments of vLLM
    source: str
    environment: Mapping[str, str] = field(default_factory=dict)  # vLLM's variables beside them


@dataclass(frozen=True)
class Place:
    """What an engine runs on, and what it has to hold there. Bytes are of one GPU."""

    device: str  # "gpu" or "cpu"
    gpu_name: str | None = None
    memory_bytes: int | None = None  # that the engine may use
    weights_bytes: int = 0
    kv_bytes_per_token: int = 0
    holds_demo: bool = False  # the demo model, whose whole run is shorter than a start with graphs
    sharing: int = 1  # GPUs that share each layer, by tensor parallel
    parts: int = 1  # GPUs that share the model, by that and by pipeline parallel


def _seats(sequences: int, tokens: int, **more: Any) -> dict[str, Any]:
    return {"max_num_seqs": sequences, "max_num_batched_tokens": tokens, **more}


_UNMEASURED = phrase("not measured here")

# Prompts of mean 870 tokens unless it says 765; the experiments are in docs/performance.md.
_PROTOTYPE = "measured on one H200 with vLLM 0.26.0, dummy weights"
_H200 = {
    ("bf16", "offline"): (
        _seats(1024, 16384),
        f"{_PROTOTYPE}: 5,120 tokens/s of prompts of mean 765",
    ),
    ("fp8", "offline"): (
        _seats(1024, 16384),
        f"{_PROTOTYPE}: 6,962 tokens/s by CUTLASS, 2026-11-24",
    ),
    ("fp8", "server"): (
        _seats(1024, 16384),
        f"{_PROTOTYPE}: p99 TTFT 370 ms, p99 TPOT 80 ms at 54.8 queries/s by CUTLASS, 2026-11-24",
    ),
    ("bf16", "singlestream"): (
        # Compiled for one token a step, the matrix products become sums that read each weight once.
        _seats(1, 4096, compilation_config={"compile_sizes": [1]}),
        f"{_PROTOTYPE}: mean 619 ms, p90 626 ms of 24 queries, 2026-11-24; "
        "655 ms mean with 8 sequences and nothing compiled for one token",
    ),
}
_H100_80GB = "measured on one H100 of 80 GB with vLLM 0.26.0, dummy weights, 2026-11-25"
_H100_ONE_BY_ONE = "measured on one H100 of 80 GB with vLLM 0.26.0, dummy weights, 2026-11-26"
# Compiled for one token a step, the matrix products become sums that read each weight once.
_ONE_AT_A_TIME = _seats(1, 4096, compilation_config={"compile_sizes": [1]})
_H100 = {
    ("fp8", "offline"): (
        _seats(896, 16384),
        f"{_H100_80GB}: LLM.generate 6,735 tokens/s of 2,500 prompts, by CUTLASS",
    ),
    ("bf16", "singlestream"): (
        _ONE_AT_A_TIME,
        f"{_H100_ONE_BY_ONE}: p90 787 ms of 64 queries; 806 ms with Inductor's search "
        "Inductor as well, 888 ms with 8 sequences and nothing compiled for one token",
    ),
    ("fp8", "singlestream"): (
        _ONE_AT_A_TIME,
        f"{_H100_ONE_BY_ONE}: p90 598 ms of 64 queries; 624 ms with one sequence alone",
    ),
}
_MEASURED = {"H200": _H200, "H100": _H100}
# Compiled for one token, Inductor's own products turned out faster than those that its search for
# the fastest product prefers.
_ENVIRONMENT = {
    ("H100", precision, "singlestream"): {"VLLM_ENABLE_INDUCTOR_MAX_AUTOTUNE": "0"}
    for precision in ("bf16", "fp8")
}
_H200_IN_TWO = "on one H200, two processes"
# fp8 with FlashInfer's attention kernels and cuBLASLt's products. A step's length bounds TPOT.
_FLASHINFER = {
    "offline": (
        _seats(1024, 5120),
        f"{_H100_80GB}: 7,793 tokens/s of 2,500 prompts; "
        f"{_H200_IN_TWO}, 2026-11-30: 8,736 of 53,472",
    ),
    "server": (
        _seats(1024, 5120),
        f"{_H100_80GB}: p99 TTFT 1,008 ms, p99 TPOT 84 ms of 5,000 queries at 62 queries/s; "
        f"{_H200_IN_TWO}, 2026-11-29: 893 and 76 ms of 40,104 at 65.8 queries/s",
    ),
    "interactive": (
        _seats(256, 1408),
        f"{_H100_80GB}: p99 TTFT 255 ms, p99 TPOT 23.6 ms of 2,000 queries at 50 queries/s; "
        f"{_H200_IN_TWO}, 2026-11-29: 400 and 23.7 ms of 40,104 at 53.5 queries/s",
    ),
}

# Of GPUs that share each layer. By the rate of Offline two H200 take 97 ms for a step of 10,240
# tokens, and one 75 ms for 5,120; the processor launches it once. In Server that would come too
# near to the limit of 100 ms.
_MEASURED_SHARING = 2  # GPUs
_TWO_H200 = "measured on two H200 that share the model with vLLM 0.26.0, dummy weights, 2026-11-30"
_H200_SHARED = {
    ("bf16", "singlestream"): (_ONE_AT_A_TIME, f"{_TWO_H200}: p90 456 ms of 64 queries"),
    ("fp8", "singlestream"): (_seats(8, 4096), f"{_TWO_H200}: p90 416 ms of 64 queries"),
}
_MEASURED_SHARED = {"H200": _H200_SHARED}
_FLASHINFER_SHARED = {
    "offline": (
        _seats(2048, 10240),
        f"{_TWO_H200}: 13,552 tokens/s of 3,000 prompts; 12,405 of 2,500 with 1,024 and 5,120",
    ),
    "server": (
        _seats(1024, 5120),
        f"{_TWO_H200}: p99 TTFT 523 ms, p99 TPOT 56 ms of 3,800 queries at 95 queries/s",
    ),
}

# One query at a time, by the kernels for steps of one token; p90 of 64 queries.
_ONE_TOKEN_ON = "with vLLM 0.26.0, dummy weights, 2026-11-29"
_ONE_TOKEN = {
    ("H100", "bf16"): f"measured on two H100 of 80 GB {_ONE_TOKEN_ON}: p90 718 and 747 ms",
    ("H100", "fp8"): f"measured on two H100 of 80 GB {_ONE_TOKEN_ON}: p90 442 and 490 ms",
    ("H200", "bf16"): f"measured on one H200 {_ONE_TOKEN_ON}: p90 542 ms",
    ("H200", "fp8"): f"measured on one H200 {_ONE_TOKEN_ON}: p90 361 ms",
    ("H200", "int4"): "measured on one H200 with vLLM 0.26.0, dummy weights, 2026-11-30: p90 326 "
    "ms of W4A16 in two processes, 344 in one",
}

_CPU = Profile(
    name="cpu",
    # Compiling takes longer than the demo model runs.
    settings=_seats(64, 4096, enforce_eager=True),
    source=phrase("2 cores and the demo model: loads in about 20 s instead of 55 s"),
)
_DEMO = Profile(
    name="gpu-demo",
    # Compiling and capturing took most of 80 s on an H100, for a run of less than one.
    settings=_seats(64, 4096, enforce_eager=True),
    source=phrase("the demo model: loaded eagerly, as its run is short; not measured here"),
)
_PUBLISHED_INTERACTIVE = (256, 4096)  # harnesses of earlier rounds, for the 500 / 30 ms limits
_SINGLE_STREAM = (8, 4096)
# A prompt of CNN/DailyMail takes 870 tokens on average and its answer 128.
_TOKENS_OF_A_SEQUENCE = 1000
_RESERVED_BYTES = 4 << 30  # activations, graphs, the logits of a full batch
_MOST_SEQUENCES = 1024
_LEAST_SEQUENCES = 16
_SMALL_GPU_BYTES = 40 << 30
_LONGEST_GRAPH = 2048  # tokens: a longer step takes the GPU longer than the processor


def choose(
    place: Place,
    precision: str,
    scenario: str,
    kernels: Kernels = OF_VLLM,
    tuned: Profile | None = None,
) -> Profile:
    """The profile for a machine; precision and scenario as spelled on the command line.

    `tuned` is what a search on this very machine has found, if there was one; it counts while the
    kernels are the same.
    """
    if tuned is not None and are_those_of(tuned.settings, kernels):
        return tuned
    profile = _choose(place, precision, scenario, kernels)
    source = profile.source
    if _is_new_when_shared(place, precision, scenario, kernels) and _UNMEASURED not in source:
        source += f"; not measured on {place.parts} GPUs that share the model"
    if kernels.products and kernels.from_checkpoint:
        source += "; all of weights made fp8 while loading, with their KV cache in fp8"
    if kernels.products and "CUTLASS" in source:
        source += "; by cuBLASLt here"
    elif kernels.flashinfer and not kernels.products:
        source += "; with cuBLASLt's products, not with vLLM's own"
    return replace(profile, settings={**profile.settings, **kernels.settings}, source=source)


def _choose(place: Place, precision: str, scenario: str, kernels: Kernels) -> Profile:
    if place.device == "cpu":
        return _CPU
    if place.holds_demo:
        return _DEMO
    if kernels.one_token and kernels.kind:
        return _one_token(place, kernels.kind)
    if kernels.flashinfer:
        return _flashinfer(place, scenario)
    for family, of_one in _MEASURED.items():
        shared = _MEASURED_SHARED.get(family, {}) if place.sharing > 1 else {}
        measured = {**of_one, **shared}
        if family in (place.gpu_name or "") and (precision, scenario) in measured:
            settings, source = measured[precision, scenario]
            name = f"{family.lower()}-{precision}-{scenario}"
            variables = _ENVIRONMENT.get((family, precision, scenario), {})
            return Profile(name, settings, source, variables)
    return _computed(place, scenario)


def _is_new_when_shared(place: Place, precision: str, scenario: str, kernels: Kernels) -> bool:
    """Whether GPUs share the model on which these settings have not been measured so."""
    if place.device == "cpu" or place.parts == 1:
        return False
    if not place.parts == place.sharing == _MEASURED_SHARING:
        return True
    if kernels.flashinfer:
        return scenario not in _FLASHINFER_SHARED
    return not any(
        family in (place.gpu_name or "") and (precision, scenario) in measured
        for family, measured in _MEASURED_SHARED.items()
    )


def _one_token(place: Place, kind: str) -> Profile:
    family = next(family for family in _MEASURED if family in (place.gpu_name or ""))
    source = _ONE_TOKEN.get((family, kind), _UNMEASURED)
    return Profile(f"one-token-{kind}-singlestream", _seats(1, 4096), source)


def _flashinfer(place: Place, scenario: str) -> Profile:
    shared = _FLASHINFER_SHARED if place.sharing > 1 else {}
    settings, source = shared.get(scenario, _FLASHINFER[scenario])
    sequences = settings["max_num_seqs"]
    fitting = sequences_that_fit(place)
    if fitting is not None:
        sequences = min(sequences, fitting)
    return Profile(f"flashinfer-fp8-{scenario}", {**settings, "max_num_seqs": sequences}, source)


def graph_sizes(sequences: int) -> list[int]:
    """The numbers of answers for which a decode step is captured as a CUDA graph, ascending.

    A step between two of them is padded, by 63 answers at most. vLLM's own list is nearly four
    times as long, and every entry is captured twice at every start.
    """
    small = [size for size in (1, 2, 4, 8, 16, 32) if size < sequences]
    return [*small, *range(64, sequences, 64), sequences]


def mixed_graph_sizes(sequences: int, tokens: int) -> list[int]:
    """The numbers of tokens for which a step becomes CUDA graphs, prompts in it or not, ascending.

    Launched kernel by kernel, a step with prompts took 40 to 57 ms of the processor beside an H100,
    however few its tokens; that suits Offline and Server, whose steps take the GPU longer.
    """
    small = [size for size in (1, 2, 4, 8, 16) if size < sequences]
    answers = [*small, *range(32, sequences, 16), sequences]
    longest = min(tokens, _LONGEST_GRAPH)
    mixed = [*range(sequences + 128, longest, 128), longest]
    return [*answers, *(size for size in mixed if size > sequences)]


def _computed(place: Place, scenario: str) -> Profile:
    """Safe settings for a GPU that nobody has measured: as many sequences as its memory holds."""
    if scenario == "singlestream":
        source = phrase("one query at a time; not measured here")
        return Profile("gpu-singlestream", _seats(*_SINGLE_STREAM), source)
    fitting = sequences_that_fit(place)
    sequences = _MOST_SEQUENCES if fitting is None else min(fitting, _MOST_SEQUENCES)
    tokens = 16384
    if place.memory_bytes is not None and place.memory_bytes < _SMALL_GPU_BYTES:
        tokens = 8192
    if scenario == "interactive":
        sequences, tokens = min(sequences, _PUBLISHED_INTERACTIVE[0]), _PUBLISHED_INTERACTIVE[1]
    return Profile(
        f"gpu-{scenario}",
        _seats(sequences, tokens),
        phrase("computed from the GPU's memory and the model's shape; not measured here"),
    )


def sequences_that_fit(place: Place) -> int | None:
    """How many sequences of the usual length the memory holds; None: not known."""
    if place.memory_bytes is None or not place.kv_bytes_per_token:
        return None
    free = place.memory_bytes - place.weights_bytes - _RESERVED_BYTES
    fitting = free // (place.kv_bytes_per_token * _TOKENS_OF_A_SEQUENCE)
    return max(_LEAST_SEQUENCES, fitting // _LEAST_SEQUENCES * _LEAST_SEQUENCES)
