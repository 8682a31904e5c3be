"""The plan of a small LoadGen test."""

from __future__ import annotations

import functools
from pathlib import Path

from harness.config import RunConfig, Scenario
from harness.loadgen.planning import Target
from harness.loadgen.process import LoadGenPlan
from harness.loadgen.user_conf import user_conf_text
from harness.logs.times import write_samples


def plan_for(
    folder: Path,
    *,
    samples: int,
    scenario: Scenario = Scenario.OFFLINE,
    category: str = "datacenter",
    accuracy: bool = False,
    target_qps: float | None = None,
    min_duration_s: float = 0.0,
) -> LoadGenPlan:
    """A test that leaves everything in `folder`."""
    config = RunConfig(scenario=scenario, category=category)
    user_conf = folder / "user.conf"
    user_conf.write_text(
        user_conf_text(
            config,
            sample_count=samples,
            min_duration_s=min_duration_s,
            target=Target("a test", samples, 1, qps=target_qps),
        )
    )
    return LoadGenPlan(
        loadgen_model=config.round.loadgen_model(category, scenario.value),
        scenario=scenario.loadgen_name,
        accuracy=accuracy,
        user_conf=user_conf,
        log_dir=folder,
        total_samples=samples,
        write_samples=None
        if accuracy
        else functools.partial(write_samples, folder / "samples.csv"),
    )
