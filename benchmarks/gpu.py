"""One GPU in a quarter of an hour: vLLM alone and every scenario through LoadGen, in bf16 and fp8.

  python benchmarks/gpu.py                                  (one GPU, neither model nor network)
  python benchmarks/gpu.py --minutes 60 --samples 13368
  python benchmarks/gpu.py --model demo --precisions bf16 --samples 100 --queries 8 --seconds 5

Each part is a run.py of its own, on random weights and synthetic prompts, with the settings that
run.py chooses for this GPU; LLM.generate answers the same prompts with the same settings. Server
and Interactive run at a share of what Offline reached, so one test says whether that rate holds:
find the highest with --server-target-qps max. A part that the time left does not allow is listed
as left out. Run it twice to see it with compiled kernels. Prints a table, and JSON last.
"""

from __future__ import annotations

import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import command, overhead
from harness import flags
from harness.config import DEMO_MODEL, MODEL_ALIASES, RunConfig
from harness.errors import BenchmarkError, UsageError
from harness.machine import system as system_info
from harness.measure import preparation

PROJECT = Path(__file__).resolve().parent.parent

# Of the Offline rate: what is asked of Server and of Interactive.
SHARES = {"server": 0.95, "interactive": 0.75}
# Seconds a part may take when nothing has been compiled yet; later parts are judged by the first.
FIRST_GUESS_S = 150.0


@dataclass(frozen=True)
class Part:
    """What was measured, or why it was not."""

    name: str
    precision: str
    value: float | None
    unit: str
    said: str  # p99 TTFT and TPOT, the verdict on the limits, or why it was left out
    first_query_s: float | None
    seconds: float


@dataclass(frozen=True)
class Asked:
    """The flags of this benchmark."""

    model: str
    samples: int
    queries: int
    seconds: float
    results: Path

    def run(self, scenario: str, precision: str, samples: int, *more: str) -> dict[str, Any]:
        """The summary.json of one run.py."""
        folder = self.results / precision
        weights = "real" if self.model == DEMO_MODEL else "dummy"
        command = [sys.executable, "run.py", "--model", self.model, "--weights", weights]
        command += ["--dataset", "synthetic", "--mode", "performance", "--precision", precision]
        command += ["--category", "edge" if scenario == "singlestream" else "datacenter"]
        command += ["--scenario", scenario, "--total-sample-count", str(samples)]
        command += ["--results-dir", str(folder), *more]
        done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
        if done.returncode not in (0, 3):
            lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
            raise RuntimeError(lines[-1])
        summary: dict[str, Any] = json.loads((folder / "latest" / "summary.json").read_text())
        return summary


def offline(asked: Asked, precision: str) -> Part:
    """Tokens per second through LoadGen."""
    summary = asked.run("offline", precision, asked.samples)
    performance = summary["run"]["performance"]
    return _part("Offline", precision, performance["tokens_per_sec"], "tokens/s", "", summary)


def raw(asked: Asked, precision: str) -> Part:
    """Tokens per second of LLM.generate, in a process of its own."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_generate, args=(asked, precision, theirs))
    process.start()
    theirs.close()
    try:
        speed = ours.recv()
    except EOFError:
        raise RuntimeError("LLM.generate ended without a figure") from None
    finally:
        process.join()
    if isinstance(speed, str):
        raise RuntimeError(speed)
    return Part("LLM.generate", precision, speed, "tokens/s", "", None, 0.0)


def _generate(asked: Asked, precision: str, answer: Connection) -> None:
    """Sends tokens per second, or why there are none."""
    config = RunConfig(
        model=asked.model,
        weights="real" if asked.model == DEMO_MODEL else "dummy",
        dataset="synthetic",
        mode="performance",
        precision=precision,
        total_sample_count=asked.samples,
    )
    try:
        prepared = preparation.prepare(config, lambda _text: None)
        prompts = [sample.token_ids for sample in prepared.dataset.samples]
        answer.send(overhead.raw_speed(prepared, prompts, repeat=1).tokens_per_second)
    except BenchmarkError as error:
        answer.send(str(error))


def at_share(scenario: str) -> Callable[[Asked, str], Part]:
    """Server or Interactive at its share of what Offline reached in this precision."""

    def measure(asked: Asked, precision: str) -> Part:
        known = json.loads((asked.results / "offline.json").read_text())[precision]
        qps = SHARES[scenario] * known
        queries = max(1, round(qps * asked.seconds))
        summary = asked.run(scenario, precision, queries, "--server-target-qps", f"{qps:.4f}")
        performance = summary["run"]["performance"]
        limits = performance["limits_ms"]
        times = {name: performance[f"{name}_ms"]["p99"] for name in ("ttft", "tpot")}
        kept = all(times[name] < limits[f"{name}_p99_ms"] for name in times)
        said = (
            f"{qps:.1f} queries/s, p99 TTFT {times['ttft']:.0f} ms, TPOT {times['tpot']:.1f} ms: "
            f"limits {'kept' if kept else 'missed'}"
        )
        name = performance["scenario"]
        return _part(name, precision, performance["tokens_per_sec"], "tokens/s", said, summary)

    return measure


def single_stream(asked: Asked, precision: str) -> Part:
    """The p90 latency of queries one after another."""
    summary = asked.run("singlestream", precision, asked.queries)
    performance = summary["run"]["performance"]
    said = f"mean TPOT {performance['tpot_ms']['mean']:.2f} ms"
    p90_ms = performance["latency_ms"]["p90"]
    return _part("SingleStream p90", precision, p90_ms, "ms", said, summary)


def _part(
    name: str, precision: str, value: float, unit: str, said: str, summary: dict[str, Any]
) -> Part:
    return Part(name, precision, value, unit, said, summary["meta"]["first_query_s"], 0.0)


def measure(asked: Asked, precisions: Sequence[str], minutes: float) -> list[Part]:
    """The parts in the order of what they tell, as far as the time goes."""
    fast = precisions[-1]
    plan: list[tuple[str, Callable[[Asked, str], Part], str]] = []
    for precision in reversed(precisions):
        plan += [("Offline", offline, precision), ("LLM.generate", raw, precision)]
    plan[2:2] = [
        ("Server", at_share("server"), fast),
        ("Interactive", at_share("interactive"), fast),
    ]
    plan += [("SingleStream p90", single_stream, precision) for precision in precisions]
    ends = time.monotonic() + 60 * minutes
    parts: list[Part] = []
    for name, work, precision in plan:
        began = time.monotonic()
        longest = max((part.seconds for part in parts), default=FIRST_GUESS_S)
        if parts and began + longest > ends:
            part = Part(name, precision, None, "", "left out: no time left", None, 0.0)
        else:
            part = _tried(name, work, asked, precision)
        parts.append(Part(**asdict(part) | {"seconds": time.monotonic() - began}))
        _print(parts[-1])
        _remember_offline(asked, parts)
    return parts


def _tried(name: str, work: Callable[[Asked, str], Part], asked: Asked, precision: str) -> Part:
    try:
        return work(asked, precision)
    except (RuntimeError, OSError, KeyError) as error:
        return Part(name, precision, None, "", f"failed: {error}", None, 0.0)


def _remember_offline(asked: Asked, parts: Sequence[Part]) -> None:
    rates = {p.precision: (p.value or 0) / 128 for p in parts if p.name == "Offline" and p.value}
    (asked.results / "offline.json").write_text(json.dumps(rates))


def _print(part: Part) -> None:
    value = "-" if part.value is None else f"{part.value:,.1f} {part.unit}"
    start = "" if part.first_query_s is None else f"; first query after {part.first_query_s:.0f} s"
    print(f"{part.name:<18}{part.precision:<6}{value:>18}   {part.said}{start}", flush=True)


def ratios(parts: Sequence[Part]) -> dict[str, float]:
    """What is left of one figure in another: through LoadGen of raw, Server of Offline."""
    values = {(part.name, part.precision): part.value for part in parts if part.value}
    shares = {}
    for (name, precision), value in values.items():
        over = {"Offline": "LLM.generate", "Server": "Offline", "Interactive": "Offline"}.get(name)
        base = values.get((over, precision)) if over else None
        if base:
            shares[f"{name} / {over}, {precision}"] = value / base
    return shares


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints a line for each part as it comes, then the ratios."""
    parser = flags.Parser(__doc__ or "")
    parser.add_argument(
        "--model",
        choices=(*MODEL_ALIASES, DEMO_MODEL),
        default=next(iter(MODEL_ALIASES)),
        help="its shape; the weights are random",
    )
    parser.add_argument(
        "--precisions",
        nargs="+",
        choices=("bf16", "fp8"),
        default=["bf16", "fp8"],
        help="Server and Interactive take the last",
    )
    parser.add_argument(
        "--minutes",
        type=command.above_zero,
        default=20.0,
        help="no part begins that would end later",
    )
    parser.add_argument(
        "--samples", type=command.count, default=2500, help="prompts of Offline and LLM.generate"
    )
    parser.add_argument("--queries", type=command.count, default=64, help="queries of SingleStream")
    parser.add_argument(
        "--seconds", type=command.above_zero, default=40.0, help="of Server and Interactive"
    )
    values = parser.parse_args(arguments)
    system = system_info.collect()
    if not system.gpu_count and values.model != DEMO_MODEL:
        raise UsageError(
            f"--model {values.model}: no GPU is visible here; --model demo --precisions bf16 runs "
            "on a CPU."
        )
    print(f"{system.gpu_count} x {system.gpu_name}, vLLM {system.vllm_version}, random weights")
    with tempfile.TemporaryDirectory() as results:
        asked = Asked(values.model, values.samples, values.queries, values.seconds, Path(results))
        parts = measure(asked, values.precisions, values.minutes)
    shares = ratios(parts)
    for name, ratio in shares.items():
        print(f"{name:<42}{ratio:.3f}")
    record = {"system": asdict(system), "parts": [asdict(part) for part in parts], "ratios": shares}
    print(json.dumps(record))
    return 0 if all(part.value is not None for part in parts) else 1


if __name__ == "__main__":
    sys.exit(command.carry_out(main))
