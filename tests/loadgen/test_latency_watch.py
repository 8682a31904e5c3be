"""Latencies of a running Server test, and when it is broken off."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from harness.config import Scenario
from harness.loadgen.answering import Progress
from harness.loadgen.latency_watch import LatencyWatch, percentile
from harness.loadgen.sut import Serving, run_test
from harness.rounds import LatencyLimits
from tests.fakes import FakeEngine, make_prompts
from tests.loadgen.plans import plan_for


def test_percentiles_are_picked_as_loadgen_picks_them() -> None:
    assert percentile([], 0.99) is None
    assert percentile([5.0], 0.99) == 5.0
    assert percentile([float(value) for value in range(100)], 0.99) == 99.0
    assert percentile([float(value) for value in range(1000)], 0.99) == 990.0


def watched(
    engine: FakeEngine,
    watch: LatencyWatch,
    tmp_path: Path,
    *,
    samples: int,
    qps: float,
    min_duration_s: float,
) -> tuple[bool, Progress]:
    """A Server test that `watch` may break off: whether it came to its end, and where it stood."""
    progress = Progress()
    ended = asyncio.run(
        run_test(
            engine,
            make_prompts(samples),
            plan_for(
                tmp_path,
                samples=samples,
                scenario=Scenario.SERVER,
                target_qps=qps,
                min_duration_s=min_duration_s,
            ),
            Serving(stream_first_token=True, stall_timeout_s=20),
            progress,
            watch,
        )
    )
    return ended, progress


def test_a_test_that_cannot_pass_any_more_is_broken_off(tmp_path: Path) -> None:
    limits = LatencyLimits(ttft_p99_ms=200, tpot_p99_ms=100)
    watch = LatencyWatch(limits, planned_queries=500, stops_when_decided=True)

    ended, progress = watched(
        FakeEngine(first_token_after_s=0.6), watch, tmp_path, samples=50, qps=50, min_duration_s=10
    )

    probe = watch.probe(50, full_s=600)
    assert not ended
    assert (probe.holds, probe.broken_off, probe.brief) == (False, True, False)
    assert progress.elapsed_s < 5
    assert not (tmp_path / "samples.csv").exists()


@pytest.mark.parametrize("max_ttft_ms", [5000, 500], ids=["far below", "near"])
def test_a_test_is_broken_off_as_plain_only_far_below_the_limits(
    max_ttft_ms: float, tmp_path: Path
) -> None:
    engine = FakeEngine(first_token_after_s=0.3, seconds_per_answer=0.1)
    watch = LatencyWatch(
        LatencyLimits(max_ttft_ms, 1000), 500, plain_after=60, stops_when_decided=True
    )

    ended, _ = watched(engine, watch, tmp_path, samples=50, qps=100, min_duration_s=3)

    probe = watch.probe(100, full_s=600)
    far_below = max_ttft_ms == 5000
    assert ended is not far_below
    assert (probe.holds, probe.brief, probe.broken_off) == (True, far_below, False)
    assert probe.queries >= 60


def test_a_probe_that_keeps_both_limits_holds(tmp_path: Path) -> None:
    engine = FakeEngine(first_token_after_s=0.001, seconds_per_answer=0.01)
    watch = LatencyWatch(LatencyLimits(10_000, 5_000), 100, stops_when_decided=True)

    ended, _ = watched(engine, watch, tmp_path, samples=100, qps=100, min_duration_s=0)

    probe = watch.probe(100, full_s=600)
    assert ended
    assert (probe.holds, probe.because, probe.queries) == (True, "both limits kept", 100)
    assert probe.ttft_p99_ms is not None
    assert 1 <= probe.ttft_p99_ms < 10_000


def test_the_quick_answers_after_the_last_query_do_not_hide_a_drift(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = [0.0]
    monkeypatch.setattr("harness.loadgen.latency_watch.time.monotonic", lambda: clock[0])
    watch = LatencyWatch(LatencyLimits(2000, 100), planned_queries=600)
    for number in range(600):  # ten a second; each token takes 0.5 ms longer every second
        clock[0] = number / 10
        watch.issued(number)
        watch.first_token(number)
        clock[0] = min(clock[0] + (20 + 0.05 * number) * 127 / 1000, 60.0)
        watch.completed(number, 128)

    probe = watch.probe(10, full_s=600)

    assert not probe.holds
    assert probe.because.startswith("it falls behind: after 10 min the TPOT would be")
