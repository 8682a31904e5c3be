"""What LoadGen is to expect of a test, from what is known of the engine's speed."""

from __future__ import annotations

from dataclasses import dataclass

from harness import formatting
from harness.config import RunConfig, Scenario
from harness.language import phrase
from harness.loadgen import planning
from harness.loadgen.planning import Pace
from harness.measure.last_offline import OfflineRate
from harness.measure.preparation import Prepared


@dataclass(frozen=True)
class ServerRate:
    """The rate of a Server test in queries per second, and where it comes from, for people."""

    qps: float
    source: str


def known_server_rate(config: RunConfig, offline: OfflineRate | None) -> ServerRate | None:
    """The Server rate that is known before the engine has run.

    `offline` is the last Offline run of these settings. None: only the loaded engine can tell.
    """
    asked = config.server_target_qps
    if isinstance(asked, float):
        return ServerRate(asked, "--server-target-qps")
    if asked == "max" or offline is None:
        return None
    share = planning.SERVER_SHARE_OF_OFFLINE
    return ServerRate(
        share * offline.samples_per_second,
        phrase(
            "{share:g} x the {rate} of the Offline run {run}",
            share=share,
            rate=formatting.rate(offline.samples_per_second, "samples/s"),
            run=offline.run,
        ),
    )


def server_rate_from_burst(pace: Pace) -> ServerRate:
    """The Server rate when no Offline run is there to take it from."""
    share = planning.SERVER_SHARE_OF_OFFLINE
    return ServerRate(
        share * pace.samples_per_second,
        phrase(
            "{share:g} x the {rate} of {source}, as there is no Offline run of these settings",
            share=share,
            rate=formatting.rate(pace.samples_per_second, "samples/s"),
            source=pace.source,
        ),
    )


def target(prepared: Prepared, pace: Pace, rate: ServerRate | None = None) -> planning.Target:
    """The target of the run's scenario. `rate` is that of Server and Interactive."""
    count, seconds = len(prepared.dataset), prepared.min_duration_s
    scenario = prepared.config.scenario
    if scenario is Scenario.OFFLINE:
        return planning.offline_target(pace, sample_count=count, min_duration_s=seconds)
    if scenario is Scenario.SINGLESTREAM:
        return planning.single_stream_target(pace, sample_count=count, min_duration_s=seconds)
    chosen = rate or server_rate_from_burst(pace)
    return planning.server_target(
        chosen.qps, sample_count=count, min_duration_s=seconds, source=chosen.source
    )
