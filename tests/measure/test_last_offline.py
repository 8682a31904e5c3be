"""The Offline run that the rate of a Server test is taken from."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig, Scenario
from harness.measure import last_offline
from harness.measure.last_offline import OfflineRate
from tests.builders import config_json

SERVER = RunConfig(model="demo", dataset="sample", scenario=Scenario.SERVER, min_duration_s=60.0)


@pytest.fixture
def record() -> dict[str, Any]:
    """config.json of the Server run that begins."""
    return config_json(SERVER, status="running")


def offline_run(results_dir: Path, name: str, *changed: Any) -> None:
    """A finished run at 10 samples/s; `changed` is a path in its config.json and its value."""
    config = config_json(SERVER.with_values(scenario=Scenario.OFFLINE))
    if changed:
        (*path, key), value = changed
        functools.reduce(dict.__getitem__, path, config)[key] = value
    performance = {"tokens_per_sec": 1280.0, "total_new_tokens": 12800, "sample_count": 100}
    meta = {"status": "finished", "scenario": config["flags"]["scenario"]}
    folder = results_dir / name
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(config))
    summary = {"meta": meta, "run": {"performance": performance}}
    (folder / "summary.json").write_text(json.dumps(summary))


def test_an_offline_run_of_the_same_settings_and_machine_tells_its_samples_per_second(
    record: dict[str, Any], tmp_path: Path
) -> None:
    offline_run(tmp_path, "20261124-120000-datacenter-offline")

    found = last_offline.find(tmp_path, record)

    assert found == OfflineRate("20261124-120000-datacenter-offline", 10.0)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *((path, "another") for path in last_offline.SAME),
        (("resolved", "min_duration_s"), 0.0),  # a smoke run
        (("flags", "scenario"), "server"),
    ],
)
def test_a_run_that_differs_or_was_shorter_says_nothing(
    path: tuple[str, ...], value: object, record: dict[str, Any], tmp_path: Path
) -> None:
    offline_run(tmp_path, "20261124-120000-datacenter-offline", path, value)

    assert last_offline.find(tmp_path, record) is None
