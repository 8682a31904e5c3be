"""The highest Server rate of a run: probes on the loaded engine, then the whole test."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from harness import formatting
from harness.errors import BenchmarkError
from harness.loadgen import planning, rate_search, sut
from harness.loadgen import process as loadgen
from harness.loadgen.answering import AnsweringEngine, Progress
from harness.loadgen.latency_watch import LatencyWatch
from harness.loadgen.user_conf import user_conf_text
from harness.measure import last_offline
from harness.results.folder import write_json, write_text
from harness.rounds import LatencyLimits

if TYPE_CHECKING:
    from harness.measure.session import Session


async def find_rate(session: Session, engine: AnsweringEngine) -> None:
    """Searches the highest rate that holds, with short LoadGen tests on the loaded engine."""
    assert session.pace is not None
    start = offline_rate(session) or session.pace.samples_per_second
    limits = session.config.round.latency_limits(session.config.scenario.value)
    assert limits is not None  # Server and Interactive have them
    probes: list[rate_search.Probe] = []
    while (qps := rate_search.next_rate(probes, rate_search.FIRST_SHARE * start)) is not None:
        may_be_brief = rate_search.may_be_brief(probes) and session.prepared.min_duration_s > 0
        probe = await _probe(session, engine, qps, len(probes) + 1, limits, may_be_brief)
        probes.append(probe)
        session.record["resolved"]["probes"] = [dataclasses.asdict(each) for each in probes]
        write_json(session.folder.config_json, session.record)
        session.terminal.say(f"probe {len(probes)}: {rate_search.describe(probe)}")
    best = rate_search.highest_that_holds(probes)
    if best is None:
        raise BenchmarkError(
            f"--server-target-qps max: no rate down to "
            f"{formatting.rate(probes[-1].qps, 'queries/s')} kept the latency limits; "
            "the engine is too slow for this scenario as it is set."
        )
    session.server_rate = best, f"the search over {len(probes)} probes"


def offline_rate(session: Session) -> float | None:
    """Samples per second of the last Offline run of these settings, if there is one."""
    known = last_offline.find(Path(session.config.results_dir), session.config)
    return known.samples_per_second if known else None


async def _probe(
    session: Session,
    engine: AnsweringEngine,
    qps: float,
    number: int,
    limits: LatencyLimits,
    may_be_brief: bool,
) -> rate_search.Probe:
    full_s = session.prepared.min_duration_s
    # A smoke run is as long as its samples; a full one takes what p99 needs.
    queries = len(session.prompts)
    if full_s:
        queries = rate_search.probe_queries(qps, full_s, brief=False)
    target = planning.Target("the search", queries, queries / qps, qps=qps)
    plain_after = rate_search.probe_queries(qps, full_s, brief=True) if may_be_brief else None
    watch = LatencyWatch(limits, queries, plain_after, stops_when_decided=True)
    progress = Progress()
    label = f"probe {number} at {formatting.rate(qps, 'queries/s')}"
    async with session.phase("probes_s", label, progress, queries):
        await sut.run_test(
            engine,
            session.prompts,
            _probe_plan(session, target, f"{number:02d}"),
            sut.Serving(stream_first_token=True, stall_timeout_s=session.config.stall_timeout_s),
            progress,
            watch,
        )
    return watch.probe(qps, full_s=full_s)


async def measure_performance(session: Session, engine: AnsweringEngine) -> None:
    """The performance test; after a search, a little slower until its limits hold."""
    limits = session.config.round.latency_limits(session.config.scenario.value)
    searched = session.config.server_target_qps == "max" and limits is not None
    if not searched or limits is None:
        await session.test(engine, accuracy=False)
        return
    for attempt in range(1, rate_search.MAX_FULL_TESTS + 1):
        assert session.server_rate is not None  # the search has set it
        qps, source = session.server_rate
        last = attempt == rate_search.MAX_FULL_TESTS
        queries = session.choose_target(accuracy=False).samples
        watch = LatencyWatch(limits, queries, stops_when_decided=not last)
        await session.test(engine, accuracy=False, watch=watch)
        result = watch.probe(qps, full_s=0)
        if result.holds or last:
            return
        assert session.pace is not None  # every test sets it
        slower = rate_search.step_down(qps, session.pace.samples_per_second)
        session.terminal.say(
            f"at {formatting.rate(qps, 'queries/s')} the whole test does not hold "
            f"({result.because}); once more at {formatting.rate(slower, 'queries/s')}"
        )
        session.folder.performance.rename(session.folder.probes / f"full-{attempt}")
        session.server_rate = slower, f"{source}, stepped down"
        await session.warm_up(engine)


def _probe_plan(session: Session, target: planning.Target, name: str) -> loadgen.LoadGenPlan:
    log_dir = session.folder.probes / name
    log_dir.mkdir(parents=True)
    user_conf = log_dir / "user.conf"
    text = user_conf_text(
        session.config,
        sample_count=len(session.prompts),
        min_duration_s=0,
        target=target,
        probe_queries=target.samples,
    )
    write_text(user_conf, text)
    return loadgen.LoadGenPlan(
        loadgen_model=session.record["resolved"]["loadgen_model"],
        scenario=session.config.scenario.loadgen_name,
        accuracy=False,
        user_conf=user_conf,
        log_dir=log_dir,
        total_samples=len(session.prompts),
        samples_csv=log_dir / "samples.csv",
    )
