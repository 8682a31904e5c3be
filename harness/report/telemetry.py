"""What telemetry.csv says of a test: its figures, and what of it casts doubt on the result."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from statistics import fmean, median
from typing import Any

from harness import formatting
from harness.language import phrase
from harness.metrics import TelemetryPoint

# Below these shares of the seconds a limit was only touched.
OFTEN_BY_POWER = 0.05
OFTEN_BY_HEAT = 0.01
BUSY_CLIENT_PERCENT = 90.0
# A GPU that is used to less than this while the engine has requests waits for its next step; one of
# the engine's processes then has a core to itself.
USED_GPU_PERCENT = 95.0
BUSY_ENGINE_PERCENT = 90.0
OFTEN_BY_PROCESSOR = 0.05


def summarise(points: Sequence[TelemetryPoint]) -> dict[str, Any] | None:
    """The figures of summary.json's `telemetry`; None in a folder without telemetry.csv."""
    if not points:
        return None
    last = points[-1]
    steps, tokens = last.engine_steps, last.engine_tokens
    return {
        "seconds": len(points),
        "gpu_utilisation_percent_mean": _mean(points, "gpu_utilisation_percent"),
        "gpu_power_w_mean": _mean(points, "gpu_power_w"),
        "gpu_sm_mhz_mean": _mean(points, "gpu_sm_mhz"),
        "gpu_temperature_c_max": _most(points, "gpu_temperature_c"),
        "gpu_memory_mib_max": _most(points, "gpu_memory_mib"),
        "gpu_held_back_share": {
            limit: share
            for limit in ("power", "temperature", "hardware")
            if (share := _held_back_share(points, limit)) is not None
        },
        "gpu_ecc_errors": _rise(points, "gpu_ecc_errors"),
        "client_cpu_percent_median": _median(points, "client_cpu_percent"),
        "engine_cpu_percent_median": _median(points, "engine_cpu_percent"),
        "processes_cpu_percent_mean": _mean(points, "processes_cpu_percent"),
        "processes_memory_mib_max": _most(points, "processes_memory_mib"),
        "engine_running_mean": _mean(points, "engine_running"),
        "engine_waiting_max": _most(points, "engine_waiting"),
        "kv_cache_percent_max": _most(points, "kv_cache_percent"),
        "engine_preemptions": last.engine_preemptions,
        "engine_tokens_per_step": tokens / steps if tokens is not None and steps else None,
        "doubts": list(doubts(points)),
    }


def doubts(points: Sequence[TelemetryPoint]) -> Iterator[str]:
    """A sentence for each thing that may have made the machine slower than it is."""
    power = _held_back_share(points, "power") or 0.0
    if power >= OFTEN_BY_POWER:
        yield phrase(
            "The GPU was held back by its power limit at some moment of {power:.0f} % of the "
            "seconds: usual under full load, and nothing against the result.",
            power=100 * power,
        )
    heat = _held_back_share(points, "temperature") or 0.0
    if heat >= OFTEN_BY_HEAT:
        first = next(p for p in points if "temperature" in (p.gpu_held_back_by or ""))
        yield phrase(
            "The GPU was slowed down by its temperature {heat:.0f} % of the time, first after "
            "{time}: look at its cooling.",
            heat=100 * heat,
            time=formatting.duration(first.time_s),
        )
    hardware = _held_back_share(points, "hardware") or 0.0
    if hardware >= OFTEN_BY_HEAT and heat < OFTEN_BY_HEAT:
        yield (
            phrase(
                "The GPU's own hardware slowed it down {hardware:.0f} % of the time: look at its "
                "power supply and cooling.",
                hardware=100 * hardware,
            )
        )
    if errors := _rise(points, "gpu_ecc_errors"):
        yield (
            phrase(
                "The GPU counted {errors} memory errors (ECC) during the test.",
                errors=formatting.count(int(errors)),
            )
        )
    if preemptions := points[-1].engine_preemptions if points else None:
        yield (
            phrase(
                "The KV cache was full: the engine put requests back {preemptions} times "
                "(preemptions) and computed them again. Fewer sequences at once (--engine-arg "
                "max_num_seqs=N) or more memory (--gpu-memory-utilization) avoid that.",
                preemptions=formatting.count(preemptions),
            )
        )
    if others := _most(points, "gpu_other_processes"):
        count = f"{others:.0f}"
        many = phrase("{count} other processes used the GPU during the test.", count=count)
        yield phrase("1 other process used the GPU during the test.") if others == 1 else many
    waits = [point for point in points if _waits_for_processor(point)]
    if waits and len(waits) >= OFTEN_BY_PROCESSOR * len(points):
        yield phrase(
            "The GPU waited for the processor: in {share:.0f} % of the seconds it worked for only "
            "{utilisation:.0f} % of the time, while a process of the engine kept its CPU core "
            "busy. A faster core, or one with nothing else to do, would make this faster.",
            share=100 * len(waits) / len(points),
            utilisation=_mean(waits, "gpu_utilisation_percent"),
        )
    client = _median(points, "client_cpu_percent")
    if client is not None and client >= BUSY_CLIENT_PERCENT:
        yield (
            phrase(
                "The process that answers LoadGen kept its core busy to {client:.0f} %: the "
                "engine may have waited for it.",
                client=client,
            )
        )


def rows(telemetry: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """The table of the report, without what could not be seen."""
    for key, name, unit in (
        ("gpu_utilisation_percent_mean", phrase("GPU utilisation, mean"), "%"),
        ("gpu_power_w_mean", phrase("power of the GPUs together, mean"), "W"),
        ("gpu_sm_mhz_mean", phrase("clock of the slowest GPU, mean"), "MHz"),
        ("gpu_temperature_c_max", phrase("temperature of the hottest GPU, highest"), "°C"),
        ("gpu_memory_mib_max", phrase("memory of the fullest GPU, most"), "MiB"),
        ("engine_running_mean", phrase("requests running in the engine, mean"), ""),
        ("engine_waiting_max", phrase("requests waiting in the engine, most"), ""),
        ("engine_tokens_per_step", phrase("tokens generated in an engine step, mean"), ""),
        ("kv_cache_percent_max", phrase("KV cache in use, most"), "%"),
        ("engine_preemptions", phrase("requests put back (preemptions)"), ""),
        (
            "client_cpu_percent_median",
            phrase("CPU of the process that answers LoadGen"),
            phrase("% of a core"),
        ),
        (
            "engine_cpu_percent_median",
            phrase("CPU of the engine's busiest process"),
            phrase("% of a core"),
        ),
        (
            "processes_cpu_percent_mean",
            phrase("CPU of all processes of the run, mean"),
            phrase("% of a core"),
        ),
        ("processes_memory_mib_max", phrase("memory of all processes of the run, most"), "MiB"),
    ):
        value = telemetry[key]
        if value is not None:
            digits = 1 if value < 100 and not float(value).is_integer() else 0
            yield name, f"{value:,.{digits}f} {unit}".rstrip()


def _waits_for_processor(point: TelemetryPoint) -> bool:
    # A process of vLLM's that waits keeps its core busy as well: what tells is the waiting request.
    used, engine = point.gpu_utilisation_percent, point.engine_cpu_percent
    if used is None or engine is None or not point.engine_waiting:
        return False
    return used < USED_GPU_PERCENT and engine >= BUSY_ENGINE_PERCENT


def _values(points: Sequence[TelemetryPoint], column: str) -> list[float]:
    found = (getattr(point, column) for point in points)
    return [float(value) for value in found if value is not None]


def _mean(points: Sequence[TelemetryPoint], column: str) -> float | None:
    values = _values(points, column)
    return fmean(values) if values else None


def _median(points: Sequence[TelemetryPoint], column: str) -> float | None:
    values = _values(points, column)
    return median(values) if values else None


def _most(points: Sequence[TelemetryPoint], column: str) -> float | None:
    return max(_values(points, column), default=None)


def _rise(points: Sequence[TelemetryPoint], column: str) -> float | None:
    values = _values(points, column)
    return values[-1] - values[0] if values else None


def _held_back_share(points: Sequence[TelemetryPoint], limit: str) -> float | None:
    """The share of the seconds in which this held a GPU back; None: it could not be seen."""
    words = [point.gpu_held_back_by for point in points if point.gpu_held_back_by is not None]
    return sum(limit in word.split("+") for word in words) / len(words) if words else None
