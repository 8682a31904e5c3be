"""The accuracy and the performance test of a run: what LoadGen is to expect, and what they showed
of the engine's speed.
"""

from __future__ import annotations

from harness import formatting
from harness.engine import ray_energy
from harness.errors import BenchmarkError
from harness.language import joined, phrase
from harness.loadgen import planning
from harness.loadgen.answering import Progress
from harness.loadgen.latency_watch import LatencyWatch
from harness.loadgen.planning import Pace, Target
from harness.measure import targets, tests
from harness.measure.active import ActiveRun
from harness.measure.pace import ESTIMATE_FILLS


def choose_target(run: ActiveRun) -> Target:
    """The target of the next test, from the Server rate or the engine's speed as last seen.

    Raises BenchmarkError for a test that should not be tried.
    """
    assert run.pace is not None  # every test follows a warm-up
    if run.is_server and run.server_rate is None:
        run.server_rate = targets.server_rate_from_burst(run.pace)
    target = targets.target(run.prepared, run.pace, run.server_rate)
    if why := planning.beyond_reason(target):
        raise BenchmarkError(
            phrase(
                "At {rate} {why}; give a shorter --min-duration or fewer samples.",
                rate=formatting.rate(run.pace.samples_per_second, "samples/s"),
                why=why,
            )
        )
    return target


async def collect_answers(run: ActiveRun) -> None:
    """The accuracy test. Raises EngineError, LoadGenError."""
    test = tests.accuracy_test(run, choose_target(run))
    _announce(run, test)
    progress = await tests.loadgen_test(run, test)
    _note(run, test, progress)


async def measure(
    run: ActiveRun, target: Target, watch: LatencyWatch | None = None, number: int = 1
) -> None:
    """The performance test at this target, which config.json then holds.

    `watch` may have it broken off; `number` is which of the repeated tests it is. Raises
    EngineError, LoadGenError.
    """
    run.record.target(target)
    test = tests.performance_test(run, target, number)
    _announce(run, test)
    system = run.prepared.plan.system
    energy_before_j = ray_energy.joules(system) if run.config.extra_metrics else None
    progress = await tests.loadgen_test(run, test, watch)
    if energy_before_j is not None and (after_j := ray_energy.joules(system)) is not None:
        run.record.gpu_energy(after_j - energy_before_j, number)
    _note(run, test, progress)


def _note(run: ActiveRun, test: tests.LoadGenTest, progress: Progress) -> None:
    run.record.first_query(progress.elapsed_s)
    long_enough = progress.samples_done >= ESTIMATE_FILLS * run.max_num_seqs
    run.pace = Pace(
        progress.samples_done / progress.timeline[-1].time_s,
        phrase("the {name} test", name=test.name),
        planning.FULL_TEST_MARGIN if long_enough else planning.BURST_MARGIN,
    )


def _announce(run: ActiveRun, test: tests.LoadGenTest) -> None:
    """How long the test will take and why, before the first query."""
    target = test.target
    seconds = test.samples * target.expected_duration_s / target.samples
    if target.latency_ms is not None:
        each = formatting.milliseconds(1000 * seconds / test.samples)
        pace = phrase("one after another, {latency} each", latency=each)
    else:
        unit = "queries/s" if run.is_server else "samples/s"
        pace = phrase("at {rate}", rate=formatting.rate(test.samples / seconds, unit))
    run.terminal.say(
        phrase(
            "{name}: {count} samples, about {duration} ({pace}; from {source})",
            name=test.name, count=formatting.count(test.samples),
            duration=formatting.duration(seconds), pace=pace, source=target.source,
        )
    )  # fmt: skip
    # A search has just shown that more would not hold.
    if target.advice and not test.accuracy and run.config.server_target_qps != "max":
        run.terminal.say(joined("", ("  ", target.advice)))
