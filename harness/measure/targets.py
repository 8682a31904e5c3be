"""What LoadGen is given to expect of a test, from what is known of the engine's speed."""

from __future__ import annotations

from pathlib import Path

from harness import formatting
from harness.config import Scenario
from harness.loadgen import planning
from harness.loadgen.planning import Pace
from harness.measure import last_offline
from harness.measure.preparation import Prepared


def server_rate(prepared: Prepared) -> tuple[float, str] | None:
    """The Server rate that is known before the engine has run, and where it comes from.

    None: only a burst on the loaded engine can tell.
    """
    asked = prepared.config.server_target_qps
    if isinstance(asked, float):
        return asked, "--server-target-qps"
    if asked == "max":
        return None  # searched on the loaded engine
    offline = last_offline.find(Path(prepared.config.results_dir), prepared.config)
    if offline is None:
        return None
    share = planning.SERVER_SHARE_OF_OFFLINE
    return (
        share * offline.samples_per_second,
        f"{share:g} x the {formatting.rate(offline.samples_per_second, 'samples/s')} of the "
        f"Offline run {offline.run}",
    )


def server_rate_from_burst(pace: Pace) -> tuple[float, str]:
    """The Server rate when no Offline run is there to take it from."""
    share = planning.SERVER_SHARE_OF_OFFLINE
    return (
        share * pace.samples_per_second,
        f"{share:g} x the {formatting.rate(pace.samples_per_second, 'samples/s')} "
        f"of {pace.source}, as there is no Offline run of these settings",
    )


def target(
    prepared: Prepared, pace: Pace, rate: tuple[float, str] | None = None
) -> planning.Target:
    """The target of the run's scenario. `rate` is the Server rate and its source."""
    count, seconds = len(prepared.dataset), prepared.min_duration_s
    scenario = prepared.config.scenario
    if scenario is Scenario.OFFLINE:
        return planning.offline_target(pace, sample_count=count, min_duration_s=seconds)
    if scenario is Scenario.SINGLESTREAM:
        return planning.single_stream_target(pace, sample_count=count, min_duration_s=seconds)
    qps, source = rate or server_rate_from_burst(pace)
    return planning.server_target(qps, sample_count=count, min_duration_s=seconds, source=source)
