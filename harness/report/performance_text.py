"""The performance test in the report's table and on the terminal, from run.performance."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from harness import formatting
from harness.language import phrase
from harness.report import efficiency, latency_text, repeats


def rows(performance: dict[str, Any] | None) -> Iterator[tuple[str, str]]:
    """The table of the report, without what the run does not tell; empty without the test."""
    if performance is None:
        return
    yield phrase("scenario"), performance["scenario"]
    yield phrase("duration"), formatting.duration(performance["duration_s"])
    yield phrase("samples answered"), formatting.count(performance["sample_count"])
    yield phrase("tokens generated"), formatting.count(performance["total_new_tokens"])
    yield phrase("tokens per second"), formatting.rate(performance["tokens_per_sec"], "tokens/s")
    yield phrase("samples per second"), formatting.rate(performance["samples_per_sec"], "samples/s")
    if performance["limits_ms"]:
        asked_for = formatting.rate(performance["target_qps"], "queries/s")
        yield phrase("queries per second asked for"), asked_for
    if extra := performance["extra"]:
        yield phrase("energy of the GPUs (not official)"), formatting.joules(extra["gpu_energy_j"])
    yield from efficiency.rows(performance["efficiency"])


def terminal_lines(performance: dict[str, Any] | None) -> Iterator[str]:
    """What the last lines of a run say of it."""
    if performance is None:
        return
    yield (
        phrase(
            "{samples} samples, {tokens} tokens in {duration}; LoadGen says {word}",
            samples=formatting.count(performance["sample_count"]),
            tokens=formatting.count(performance["total_new_tokens"]),
            duration=formatting.duration(performance["duration_s"]),
            word="VALID" if performance["loadgen_valid"] else "INVALID",
        )
    )
    for key, name in (("latency_ms", phrase("latency")), ("ttft_ms", "TTFT"), ("tpot_ms", "TPOT")):
        stats = performance[key]
        if stats and performance["scenario"] != "Offline":
            ms = {p: formatting.milliseconds(stats[p]) for p in ("p50", "p90", "p99")}
            yield phrase("{name} p50 {p50}, p90 {p90}, p99 {p99}", name=name, **ms)
    yield from filter(None, (latency_text.terminal_line(performance),))
    yield from list(repeats.sentences(performance["repeats"]))[:1]
