"""The highest Server rate of a run: probes on the loaded engine, then the whole test."""

from __future__ import annotations

from harness import formatting
from harness.errors import BenchmarkError
from harness.language import phrase
from harness.loadgen import rate_search
from harness.loadgen.latency_watch import LatencyWatch
from harness.loadgen.planning import Target
from harness.loadgen.rate_search import Probe
from harness.measure import performance, tests, warm_up
from harness.measure.active import ActiveRun
from harness.measure.targets import ServerRate
from harness.rounds import LatencyLimits


async def find_rate(run: ActiveRun) -> None:
    """Searches the highest rate that holds, with short LoadGen tests on the loaded engine."""
    assert run.pace is not None  # a warm-up comes first
    offline = run.last_offline
    start = offline.samples_per_second if offline else run.pace.samples_per_second
    limits = _limits(run)
    probes: list[Probe] = []
    while (qps := rate_search.next_rate(probes, rate_search.FIRST_SHARE * start)) is not None:
        may_be_brief = rate_search.may_be_brief(probes) and run.prepared.min_duration_s > 0
        probe = await _probe(run, qps, len(probes) + 1, limits, may_be_brief)
        probes.append(probe)
        run.record.probe(probe)
        found = rate_search.describe(probe)
        run.terminal.say(phrase("probe {number}: {found}", number=len(probes), found=found))
    best = rate_search.highest_that_holds(probes)
    if best is None:
        raise BenchmarkError(
            phrase(
                "--server-target-qps max: no rate down to {qps} kept the latency limits; the "
                "engine is too slow for this scenario as it is set.",
                qps=formatting.rate(probes[-1].qps, "queries/s"),
            )
        )
    run.server_rate = ServerRate(
        best, phrase("the search over {probes} probes", probes=len(probes))
    )


def _limits(run: ActiveRun) -> LatencyLimits:
    limits = run.config.round.latency_limits(run.config.scenario.value)
    assert limits is not None  # Server and Interactive have them, and they alone are searched
    return limits


async def _probe(
    run: ActiveRun, qps: float, number: int, limits: LatencyLimits, may_be_brief: bool
) -> Probe:
    full_s = run.prepared.min_duration_s
    # A smoke run is as long as its samples; a full one takes what p99 needs.
    queries = len(run.prompts)
    if full_s:
        queries = rate_search.probe_queries(qps, full_s, brief=False)
    target = Target(phrase("the search"), queries, queries / qps, qps=qps)
    plain_after = rate_search.probe_queries(qps, full_s, brief=True) if may_be_brief else None
    watch = LatencyWatch(limits, queries, plain_after, stops_when_decided=True)
    rate = formatting.rate(qps, "queries/s")
    name = phrase("probe {number} at {rate}", number=number, rate=rate)
    await tests.loadgen_test(run, tests.probe(run, target, number, name), watch)
    return watch.probe(qps, full_s=full_s)


async def measure_at_the_rate(run: ActiveRun) -> Target:
    """The performance test after a search, a little slower until its limits hold.

    Returns the target of the last one, whose logs count; those before are among the probes.
    """
    limits = _limits(run)
    for attempt in range(1, rate_search.MAX_FULL_TESTS + 1):
        assert run.server_rate is not None  # the search has set it
        target = performance.choose_target(run)
        last = attempt == rate_search.MAX_FULL_TESTS
        watch = LatencyWatch(limits, target.samples, stops_when_decided=not last)
        await performance.measure(run, target, watch)
        result = watch.probe(run.server_rate.qps, full_s=0)
        if result.holds or last:
            break
        await _step_down(run, run.server_rate, result, attempt)
    return target


async def _step_down(run: ActiveRun, rate: ServerRate, result: Probe, attempt: int) -> None:
    assert run.pace is not None  # every test sets it
    slower = rate_search.step_down(rate.qps, run.pace.samples_per_second)
    run.terminal.say(
        phrase(
            "at {rate} the whole test does not hold ({because}); once more at {slower}",
            rate=formatting.rate(rate.qps, "queries/s"), because=result.because,
            slower=formatting.rate(slower, "queries/s"),
        )
    )  # fmt: skip
    run.folder.performance.rename(run.folder.probes / f"full-{attempt}")
    run.server_rate = ServerRate(slower, phrase("{source}, stepped down", source=rate.source))
    await warm_up.warm_up(run)
