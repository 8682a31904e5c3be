"""The text of user.conf: what LoadGen has to be given beyond the values built into it."""

from __future__ import annotations

from harness.config import RunConfig, Scenario
from harness.loadgen.planning import Target


def user_conf_text(
    config: RunConfig,
    *,
    sample_count: int,
    min_duration_s: float,
    target: Target,
    probe_queries: int | None = None,
) -> str:
    """The user.conf of a test: the target, and for a smoke run the sample count and duration.

    Nothing else is ever set: all other values are the ones built into LoadGen. A probe of
    `probe_queries` is no result and is not padded to whole passes of the data set.
    """
    record, category = config.round, config.category_record
    scenario = config.scenario.loadgen_name
    lines = [f"# MLPerf Inference v{record.name}, {config.category}, {config.scenario.label}"]
    if target.qps is not None:
        lines.append(f"*.{scenario}.target_qps = {target.qps:.9g}")
    if target.latency_ms is not None:
        lines.append(f"*.{scenario}.target_latency = {target.latency_ms:.9g}")
    if sample_count != category.dataset_samples:
        lines.append(f"*.{scenario}.performance_sample_count_override = {sample_count}")
        # In SingleStream LoadGen fills any count up to the next whole pass, a full one included.
        minimum = 1 if config.scenario is Scenario.SINGLESTREAM else sample_count
        if probe_queries is None:
            lines.append(f"*.{scenario}.min_query_count = {minimum}")
    if probe_queries is not None:
        lines.append(f"*.{scenario}.min_query_count = {probe_queries}")
        lines.append(f"*.{scenario}.sample_concatenate_permutation = 0")
    if min_duration_s != record.min_duration_s:
        lines.append(f"*.{scenario}.min_duration = {round(min_duration_s * 1000)}")
    return "\n".join(lines) + "\n"
