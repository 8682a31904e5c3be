"""The performance test again and again on the loaded engine, as --repeat asks."""

from __future__ import annotations

import asyncio

from harness.language import phrase
from harness.loadgen.planning import Target
from harness.logs.performance import performance_result
from harness.measure import performance
from harness.measure.active import ActiveRun
from harness.metrics import PerformanceResult
from harness.results import repeats
from harness.rules.repeats import median_number


async def measure_again(run: ActiveRun, target: Target) -> None:
    """The further performance tests at the same target; then the median one is the run's own.

    Until all are measured, the run's own is the first one. No warm-up comes between, as the test
    before has just left the engine warm. Raises EngineError, LoadGenError, LogError, OSError.
    """
    asked = run.config.repeat
    if asked == 1:
        return
    for number in range(2, asked + 1):
        await performance.measure(run, target, number=number)
    tests = await asyncio.to_thread(_read, run)
    median = median_number(tests, run.config.scenario)
    repeats.make_own(run.folder, median)
    run.record.result_is_test(median)
    run.terminal.say(
        phrase("performance: test {median} of {count} is the median", median=median, count=asked)
    )


def _read(run: ActiveRun) -> dict[int, PerformanceResult]:
    """Every test as LoadGen logged it, by its number."""
    found = {}
    for number in range(1, run.config.repeat + 1):
        result = performance_result(repeats.folder_of(run.folder, number).path)
        assert result is not None  # LoadGen has just ended it
        found[number] = result
    return found
