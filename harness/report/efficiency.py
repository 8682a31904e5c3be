"""How far a run was from what its GPUs can do, and what its tokens cost; docs/metrics.md explains.

None of it is official.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from harness import formatting, precision
from harness.language import phrase
from harness.machine import cards
from harness.rules.evidence import Evidence

_HEAD_BYTES = 2  # a value of the output layer, which stays 16 bits


@dataclass(frozen=True)
class Shape:
    """What a Llama computes and reads for a token."""

    layers: int
    hidden: int
    inner: int
    heads: int
    kv_heads: int
    head_size: int
    vocabulary: int

    @property
    def layer_weights(self) -> int:
        """Values that all layers together multiply a token with."""
        attention = self.hidden * self.head_size * (2 * self.heads + 2 * self.kv_heads)
        return self.layers * (attention + 3 * self.hidden * self.inner)

    @property
    def head_weights(self) -> int:
        """Values of the output layer."""
        return self.hidden * self.vocabulary


@dataclass(frozen=True)
class Work:
    """What a performance test had to do."""

    samples: int
    prompt_tokens: float  # of a sample, on average
    new_tokens: int  # of all samples
    steps: int | None  # of the engine, all copies of the model together; None: not known

    @property
    def computed_tokens(self) -> float:
        """Tokens that went through the layers: the last of an answer does not."""
        return self.samples * self.prompt_tokens + self.new_tokens - self.samples


def model_flop(shape: Shape, work: Work) -> float:
    """The products of a test: layers, output layer, and attention over what came before."""
    longest = work.computed_tokens / work.samples  # that a sample's last token looks back on
    pairs = work.samples * longest * (longest + 1) / 2
    layers = 2 * shape.layer_weights * work.computed_tokens
    head = 2 * shape.head_weights * work.new_tokens
    return layers + head + 4 * shape.layers * shape.heads * shape.head_size * pairs


def model_bytes(shape: Shape, work: Work, *, weight_bytes: float, kv_bytes: float) -> float | None:
    """What has to be moved: the weights once a step, keys and values written once and read again.

    `weight_bytes` and `kv_bytes` are those of one value.
    """
    if work.steps is None:
        return None
    weights = shape.layer_weights * weight_bytes + shape.head_weights * _HEAD_BYTES
    of_token = 2 * shape.kv_heads * shape.head_size * shape.layers * kv_bytes
    answer = work.new_tokens / work.samples
    read = work.samples * ((answer - 1) * work.prompt_tokens + (answer - 1) * answer / 2)
    return work.steps * weights + of_token * (work.computed_tokens + read)


@dataclass(frozen=True)
class Efficiency:
    """summary.json's run.performance.efficiency; None: it is not known. GPUs are all together."""

    model_flop: float | None = None
    model_bytes: float | None = None
    card: str | None = None  # whose datasheet the peaks are of
    source: str | None = None
    peak_flop_per_s: float | None = None
    peak_bytes_per_s: float | None = None
    mfu: float | None = None  # shares of the peaks
    mbu: float | None = None
    measured_flop_per_s: float | None = None  # with --extra-metrics 1
    measured_bytes_per_s: float | None = None
    mfu_of_measured: float | None = None
    mbu_of_measured: float | None = None
    gpu_power_w: float | None = None
    joules_per_token: float | None = None
    tokens_per_second_per_watt: float | None = None
    price_per_hour: float | None = None
    price_per_million_tokens: float | None = None


def of(evidence: Evidence, gpu_power_w: float | None) -> dict[str, Any] | None:
    """The efficiency of a performance test; None without one.

    `gpu_power_w`: the mean of telemetry.csv, which the energy of --extra-metrics 1 goes before.
    """
    result = evidence.performance
    if result is None:
        return None
    seconds, tokens = result.duration_s, result.total_new_tokens
    rate = tokens / seconds if tokens and seconds else None
    flop, moved = _work_of(evidence)
    peak_flop, peak_bytes, card = _peaks(evidence)
    ceilings = evidence.config["run"].get("ceilings") or {}
    gpus = _gpus(evidence)
    most_flop, most_bytes = (
        1e12 * gpus * ceilings[key] if key in ceilings else None
        for key in ("tflop_per_s", "terabytes_per_s")
    )
    joules = evidence.config["run"].get("gpu_energy_j")
    watts = joules / seconds if joules and seconds else gpu_power_w
    price = evidence.config["flags"].get("price_per_hour")
    return asdict(
        Efficiency(
            model_flop=flop,
            model_bytes=moved,
            card=card.name if card else None,
            source=card.source if card else None,
            peak_flop_per_s=peak_flop,
            peak_bytes_per_s=peak_bytes,
            mfu=_share(flop, seconds, peak_flop),
            mbu=_share(moved, seconds, peak_bytes),
            measured_flop_per_s=most_flop,
            measured_bytes_per_s=most_bytes,
            mfu_of_measured=_share(flop, seconds, most_flop),
            mbu_of_measured=_share(moved, seconds, most_bytes),
            gpu_power_w=watts,
            joules_per_token=watts / rate if watts and rate else None,
            tokens_per_second_per_watt=rate / watts if watts and rate else None,
            price_per_hour=price,
            price_per_million_tokens=1e6 * price / (3600 * rate) if price and rate else None,
        )
    )


def _share(amount: float | None, seconds: float | None, most_per_s: float | None) -> float | None:
    return amount / seconds / most_per_s if amount and seconds and most_per_s else None


def _gpus(evidence: Evidence) -> int:
    flags = evidence.flags
    tensor = evidence.config["resolved"].get("tensor_parallel_size") or 1
    return int(tensor * flags.data_parallel_size * flags.pipeline_parallel_size)


def _work_of(evidence: Evidence) -> tuple[float | None, float | None]:
    """FLOP and bytes of the test; None in a folder that does not hold the model's shape."""
    result, config = evidence.performance, evidence.config
    values = config["model"].get("shape")
    assert result is not None
    if not values or not result.sample_count or not result.total_new_tokens:
        return None, None
    shape = Shape(**values)
    steps = evidence.telemetry[-1].engine_steps if evidence.telemetry else None
    work = Work(
        result.sample_count, config["dataset"]["mean_prompt_tokens"], result.total_new_tokens, steps
    )
    kv_type = str(_kv_cache_type(config))
    moved = model_bytes(
        shape,
        work,
        weight_bytes=weight_bytes_of(config),
        kv_bytes=1 if kv_type.startswith("fp8") else 2,
    )
    return model_flop(shape, work), moved


def _kv_cache_type(config: dict[str, Any]) -> str | None:
    """Of a checkpoint's own where no engine argument asks for another."""
    asked: str | None = config["resolved"]["engine"].get("kv_cache_dtype")
    if asked not in (None, "auto"):
        return asked
    return (config["model"].get("quantization") or {}).get("kv_cache")


def weight_bytes_of(config: dict[str, Any]) -> float:
    """Bytes of a weight, by a run's config.json; of a quantised one with its part of a scale."""
    quantised = config["model"].get("quantization") or {}
    if bits := quantised.get("bits"):
        return float(bits) / 8
    return 1 if config["flags"]["precision"] == "fp8" else 2


def _peaks(evidence: Evidence) -> tuple[float | None, float | None, cards.Card | None]:
    card = cards.find(evidence.config["system"].get("gpu_name"))
    if card is None:
        return None, None, None
    quantised = evidence.config["model"].get("quantization") or {}
    multiplied_in = precision.of_products(
        evidence.config["flags"]["precision"], quantised.get("activations")
    )
    flop_per_s = card.flop_per_s(multiplied_in)
    gpus = _gpus(evidence)
    return (gpus * flop_per_s if flop_per_s else None), gpus * card.memory_bytes_per_s, card


def rows(efficiency: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    """The rows of a report's table, without what is not known."""
    found = Efficiency(**efficiency) if efficiency else Efficiency()
    for name, share, most, unit in (
        (phrase("use of the arithmetic (MFU)"), found.mfu, found.peak_flop_per_s, "TFLOP/s"),
        (phrase("use of the memory (MBU)"), found.mbu, found.peak_bytes_per_s, "TB/s"),
    ):
        if share is not None:
            yield (
                name,
                phrase(
                    "{share} % of {most} by the datasheet of {card}",
                    share=formatting.percent(share, 1),
                    most=_tera(most, unit),
                    card=found.card,
                ),
            )
    for name, share, most, unit in (
        (
            phrase("use of the arithmetic, of what was measured"),
            found.mfu_of_measured,
            found.measured_flop_per_s,
            "TFLOP/s",
        ),
        (
            phrase("use of the memory, of what was measured"),
            found.mbu_of_measured,
            found.measured_bytes_per_s,
            "TB/s",
        ),
    ):
        if share is not None:
            yield (
                name,
                phrase(
                    "{share} % of {most}, measured on this machine",
                    share=formatting.percent(share, 1),
                    most=_tera(most, unit),
                ),
            )
    if found.joules_per_token is not None:
        yield phrase("energy of a token"), f"{found.joules_per_token:.3g} J"
        yield (
            phrase("tokens per second and watt"),
            f"{found.tokens_per_second_per_watt:.3g} tokens/s/W",
        )
    if found.price_per_million_tokens is not None:
        yield (
            phrase("price of a million tokens"),
            phrase(
                "{price} at {hourly} an hour",
                price=f"{found.price_per_million_tokens:.4g}",
                hourly=f"{found.price_per_hour:g}",
            ),
        )


def _tera(per_s: float | None, unit: str) -> str:
    return formatting.NOT_KNOWN if per_s is None else f"{per_s / 1e12:,.4g} {unit}"
