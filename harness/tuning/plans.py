"""What is worth trying on which machine: the variations of a search, as data, each with a reason.

The reasons are arithmetic and vLLM 0.26's source, not measurements: the search is what measures.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from harness.engine import one_query
from harness.engine.attention import BACKEND
from harness.engine.profiles import Place, Profile, graph_sizes, sequences_that_fit
from harness.language import phrase
from harness.tuning.search import (
    FIRST_GUESS_S,
    LATENCY,
    NOISE,
    TOKENS_PER_SECOND,
    Plan,
    Settings,
    Variation,
)

Pair = tuple[int, int]  # max_num_seqs, max_num_batched_tokens

_UNIFORM = phrase(
    "a step of B tokens holds B/7.8 answers in progress and their share of prompts (870 tokens in, "
    "128 out); with more sequences than that every step is full, with fewer the load goes in waves"
)
_OFFLINE_FP8: tuple[Pair, ...] = (
    (1024, 5120),
    (1024, 8192),
    (1536, 8192),
    (1792, 10240),
    (2048, 12288),
    (1024, 16384),
)
_OFFLINE: tuple[Pair, ...] = ((900, 6144), (1024, 8192), (1024, 16384))
_SERVER: tuple[Pair, ...] = (
    (1024, 4096),
    (1024, 4608),
    (1024, 5632),
    (1024, 8192),
    (1024, 16384),
)
_INTERACTIVE: tuple[Pair, ...] = ((256, 1408), (256, 1536), (256, 1152), (320, 1664), (320, 2048))
_SINGLE_STREAM: tuple[Pair, ...] = ((1, 4096),)
_CPU: tuple[Pair, ...] = ((32, 2048), (128, 8192))


def make_plan(
    place: Place, precision: str, scenario: str, profile: Profile, fixed: Sequence[str] = ()
) -> Plan:
    """The search for a machine, precision and scenario, as spelled on the command line.

    `fixed` are the engine arguments that the user gave.
    """
    if place.device == "cpu":
        variations = _cpu_variations()
    else:
        variations = _gpu_variations(place, precision, scenario)
    return Plan(
        base=dict(profile.settings),
        variations=variations,
        goal=LATENCY if scenario == "singlestream" else TOKENS_PER_SECOND,
        noise=NOISE[place.device],
        first_guess_s=FIRST_GUESS_S[place.device],
        fixed=frozenset(fixed),
    )


def _cpu_variations() -> tuple[Variation, ...]:
    return (
        _seats(_CPU, phrase("more sequences share the reading of the weights")),
        Variation(
            phrase("compiled"),
            phrase("fused kernels, for a minute of compiling"),
            _always({"enforce_eager": False}),
        ),
    )


def _gpu_variations(place: Place, precision: str, scenario: str) -> tuple[Variation, ...]:
    if scenario == "singlestream":
        return (
            _seats(_SINGLE_STREAM, phrase("one sequence needs two graphs alone")),
            Variation(
                phrase("compiled for one token"),
                phrase("kernels tuned for the one shape of every decode step"),
                _compiled_for_one_token,
            ),
            _blocks(128),
            _scheduling(),
        )
    most = sequences_that_fit(place)
    if scenario == "offline":
        pairs = _OFFLINE_FP8 if precision == "fp8" else _OFFLINE
        return (
            _seats(_fitting(pairs, most), _UNIFORM),
            _whole_steps(),
            Variation(
                phrase("compiled for full steps"),
                phrase("kernels tuned for the one shape"),
                _full_step,
            ),
            _graphs(),
            _blocks(224 if precision == "fp8" else 128),
            _attention(),
        )
    share = Variation(
        phrase("prompts share steps"),
        phrase("no prompt takes a whole step, which caps the tail of TPOT"),
        _always({"long_prefill_token_threshold": 768}),
    )
    why = phrase("fewer tokens a step lower TPOT, more lower TTFT")
    if scenario == "interactive":
        return (_seats(_fitting(_INTERACTIVE, most), why), share, _attention())
    seats = _seats(_fitting(_SERVER, most), why)
    return (seats, _whole_steps(), share, _graphs(), _attention())


def _compiled_for_one_token(best: Settings) -> Sequence[Settings]:
    if one_query.is_asked_for(best):
        return []  # its kernels were written for that, and nothing is compiled beside them
    return [{"compilation_config": {"compile_sizes": [1]}}]


def _seats(pairs: Sequence[Pair], why: str) -> Variation:
    changes = [{"max_num_seqs": seqs, "max_num_batched_tokens": tokens} for seqs, tokens in pairs]
    return Variation(phrase("sequences and tokens of a step"), why, _always(*changes))


def _whole_steps() -> Variation:
    def change(best: Settings) -> Sequence[Settings]:
        if best.get("enforce_eager"):
            return []
        sequences, tokens = best["max_num_seqs"], best["max_num_batched_tokens"]
        return [{"cudagraph_capture_sizes": [*graph_sizes(sequences), tokens]}]

    return Variation(
        phrase("a graph of the longest step"),
        phrase(
            "a step with prompts in it is launched kernel by kernel otherwise, which keeps the "
            "engine's core busy and can leave the GPU waiting"
        ),
        change,
    )


def _graphs() -> Variation:
    return Variation(
        phrase("graphs up to 512 sequences"),
        phrase("larger graphs make attention split its work for small batches, and take memory"),
        _graphs_up_to_512,
    )


def _blocks(tile: int) -> Variation:
    def change(best: Settings) -> Sequence[Settings]:
        if _by_flashinfer(best):
            return []  # its kernels are compiled for one size
        return [{"block_size": 64}, {"block_size": tile}]

    return Variation(
        phrase("KV cache blocks"),
        phrase("a block as large as the attention kernel's tile loads in one go; may also lose"),
        change,
    )


def _attention() -> Variation:
    def change(best: Settings) -> Sequence[Settings]:
        return [{"attention_backend": "FLASH_ATTN"}] if _by_flashinfer(best) else []

    return Variation(
        phrase("FlashAttention 3"),
        phrase("one kernel for prompts and answers together, and vLLM's second model runner"),
        change,
    )


def _by_flashinfer(best: Settings) -> bool:
    return best.get("attention_backend") == BACKEND


def _scheduling() -> Variation:
    return Variation(
        phrase("scheduling in turn"),
        phrase("tells whether the CPU is what limits"),
        _always({"async_scheduling": False}),
    )


def _always(*changes: Settings) -> Callable[[Settings], Sequence[Settings]]:
    return lambda _best: changes


def _full_step(best: Settings) -> Sequence[Settings]:
    return [{"compilation_config": {"compile_sizes": [best["max_num_batched_tokens"]]}}]


def _graphs_up_to_512(best: Settings) -> Sequence[Settings]:
    if "cudagraph_capture_sizes" in best:
        return []  # vLLM refuses a highest size beside a list that ends elsewhere
    return [{"max_cudagraph_capture_size": 512}]


def _fitting(pairs: Sequence[Pair], most: int | None) -> Sequence[Pair]:
    """The pairs with no more sequences than the memory holds, each once."""
    if most is None:
        return pairs
    return list(dict.fromkeys((min(sequences, most), tokens) for sequences, tokens in pairs))
