"""The performance test of a run folder, from LoadGen's logs and samples.csv."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from harness.logs.cross_check import cross_check
from harness.logs.detail import number, read_detail_log, read_summary_log
from harness.logs.times import read_samples
from harness.metrics import LatencyStats, LoadGenRun, PerformanceResult, SampleTimes
from harness.results.folder import DETAIL_LOG, SUMMARY_LOG, RunFolder

# The fields of LatencyStats by LoadGen's names.
_LATENCIES = {
    "mean_ms": "mean",
    "p50_ms": "50.00_percentile",
    "p90_ms": "90.00_percentile",
    "p95_ms": "95.00_percentile",
    "p97_ms": "97.00_percentile",
    "p99_ms": "99.00_percentile",
    "p999_ms": "99.90_percentile",
    "min_ms": "min",
    "max_ms": "max",
}


def performance_result(run_dir: Path) -> PerformanceResult | None:
    """The performance test of a run folder, None where there is none.

    Raises LogError when the logs contradict each other: validity in LoadGen's two logs, or the
    samples and tokens that LoadGen and the harness counted.
    """
    folder = RunFolder(run_dir)
    detail = folder.performance / DETAIL_LOG
    if not detail.is_file():
        return None
    run = read_detail_log(detail)
    samples = read_samples(folder.samples_csv) if folder.samples_csv.is_file() else []
    if run.ended:
        summary = read_summary_log(folder.performance / SUMMARY_LOG)
        cross_check(run, summary, samples, folder.performance)
    ttft = tpot = None
    if run.scenario != "Offline":
        ttft = _latencies(run, "result_first_token_{}_latency_ns")
        tpot = _latencies(
            run, "result_time_per_output_token_{}_ns", "result_time_to_output_token_{}"
        )
    samples_per_second = _first(
        run,
        "result_samples_per_second",
        "result_completed_samples_per_sec",
        "result_qps_with_loadgen_overhead",
    )
    return PerformanceResult(
        scenario=run.scenario,
        duration_s=_duration_s(run, samples),
        sample_count=run.sample_count,
        total_new_tokens=sum(sample.tokens for sample in samples) if samples else None,
        tokens_per_second=_first(
            run, "result_tokens_per_second", "result_completed_tokens_per_second"
        ),
        samples_per_second=samples_per_second,
        target_qps=None if run.scenario == "SingleStream" else number(run.effective, "target_qps"),
        achieved_qps=samples_per_second,
        latency=_latencies(run, "result_{}_latency_ns"),
        ttft=ttft,
        tpot=tpot,
        loadgen=run,
    )


def _first(run: LoadGenRun, *keys: str) -> float | None:
    return next((n for key in keys if (n := number(run.results, key)) is not None), None)


def _latencies(run: LoadGenRun, *patterns: str) -> LatencyStats:
    """The latencies named by a pattern; LoadGen's name for TPOT has a second spelling."""
    latencies_ns = {
        field: _first(run, *(pattern.format(name) for pattern in patterns))
        for field, name in _LATENCIES.items()
    }
    return LatencyStats(**{f: None if ns is None else ns / 1e6 for f, ns in latencies_ns.items()})


def _duration_s(run: LoadGenRun, samples: Sequence[SampleTimes]) -> float | None:
    if samples:
        return max(s.completed_s for s in samples) - min(s.issued_s for s in samples)
    longest_ns = number(run.results, "result_max_latency_ns")
    return longest_ns / 1e9 if run.scenario == "Offline" and longest_ns is not None else None
