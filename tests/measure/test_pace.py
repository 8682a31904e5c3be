"""How fast the engine is in Offline: from an earlier run, or from bursts no longer than needed."""

from __future__ import annotations

import asyncio
import copy
import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig, Scenario
from harness.loadgen import planning
from harness.loadgen.burst import Burst, TimedAnswer
from harness.loadgen.planning import Pace
from harness.measure import pace
from tests.fakes import make_prompts

SEQUENCES = 1008
PROMPTS = make_prompts(13368)
ENTRIES: dict[str, dict[str, Any]] = {
    "flags": {"results_dir": "", "weights": "real", "scenario": "offline"},
    "resolved": {
        "min_duration_s": 600.0,
        "engine": {"max_num_seqs": 1008, "cudagraph_capture_sizes": [1, 2]},
        "engine_environment": {},
        "sampling": {"max_tokens": 128},
    },
    "dataset": {"checksum_sha256": "abc", "samples": 13368},
    "system": {"gpu_name": "NVIDIA H100", "git_commit": "c0ffee"},
}


class Bursts:
    """Answers each burst at the next of some rates, and notes how long it was."""

    def __init__(self, *rates: float):
        self.rates = iter(rates)
        self.prompts: list[Sequence[list[int]]] = []
        self.said: list[str] = []

    async def __call__(self, prompts: Sequence[list[int]]) -> Burst:
        self.prompts.append(prompts)
        rate = next(self.rates)
        times_s = [(number + 1) / rate for number in range(len(prompts))]
        answers = (TimedAnswer(0, t, t, 128, 128 * (n + 1)) for n, t in enumerate(times_s))
        return Burst(times_s[-1], tuple(answers))

    @property
    def lengths(self) -> list[int]:
        return [len(prompts) for prompts in self.prompts]


@pytest.fixture
def record(tmp_path: Path) -> dict[str, Any]:
    """config.json of the run that begins."""
    entries = copy.deepcopy(ENTRIES)
    entries["flags"]["results_dir"] = str(tmp_path)
    return entries


def warm_up(record: dict[str, Any], bursts: Bursts) -> Pace:
    return asyncio.run(pace.warm_up(record, PROMPTS, SEQUENCES, bursts, bursts.said.append))


def samples_of(found: Pace) -> int:
    return planning.offline_target(found, sample_count=13368, min_duration_s=600).samples


def test_a_rate_far_from_the_end_of_a_pass_takes_one_burst(record: dict[str, Any]) -> None:
    bursts = Bursts(37.0)

    found = warm_up(record, bursts)

    assert bursts.lengths == [2016]
    assert found.samples_per_second == pytest.approx(37.0)
    assert (found.source, found.margin) == ("the warm-up of 2,016 samples", 1.15)
    assert bursts.said == []


def test_a_longer_burst_saves_the_fourth_pass_of_an_h100(record: dict[str, Any]) -> None:
    bursts = Bursts(58.7, 61.5)

    found = warm_up(record, bursts)

    assert bursts.lengths == [2016, 3024]
    assert found.samples_per_second == pytest.approx(61.5)
    assert found.source == "the warm-up, 1,008 samples on a full engine"
    assert samples_of(found) == 3 * 13368
    assert bursts.said == [
        "warm-up: 3,024 samples more, as a better known rate may save a pass of the data set"
    ]


def test_a_rate_that_stays_too_near_the_end_takes_the_pass(record: dict[str, Any]) -> None:
    bursts = Bursts(62.0, 66.0)

    found = warm_up(record, bursts)

    assert bursts.lengths == [2016, 3024]
    assert samples_of(found) == 4 * 13368


def test_bursts_ask_for_samples_in_random_order_and_none_twice(record: dict[str, Any]) -> None:
    bursts = Bursts(58.7, 61.5)

    warm_up(record, bursts)

    asked = [tuple(prompt) for prompts in bursts.prompts for prompt in prompts]
    numbers = [prompt[0] - 1000 for prompt in asked]  # of the samples in the data set
    assert len(set(numbers)) == len(numbers)
    assert 0.45 < sum(numbers[:2016]) / 2016 / 13368 < 0.55


def earlier_run(results_dir: Path, name: str, rate: float, *changed: Any) -> None:
    """A finished run; `changed` is a path in its config.json, and what stands there."""
    folder = results_dir / name
    folder.mkdir()
    config: dict[str, Any] = {"schema_version": 1, "run": {"status": "finished"}}
    config |= copy.deepcopy(ENTRIES)
    if changed:
        (*path, key), value = changed
        functools.reduce(dict.__getitem__, path, config)[key] = value
    (folder / "config.json").write_text(json.dumps(config))
    summary = {
        "meta": {"status": "finished", "scenario": config["flags"]["scenario"]},
        "run": {"performance": {"samples_per_sec": rate}},
    }
    (folder / "summary.json").write_text(json.dumps(summary))


def test_the_fastest_earlier_run_of_the_same_settings_decides(
    record: dict[str, Any], tmp_path: Path
) -> None:
    earlier_run(tmp_path, "20261124-120000-datacenter-offline", 61.5)
    earlier_run(tmp_path, "20261124-130000-datacenter-offline", 60.9)
    bursts = Bursts(20.0)

    found = warm_up(record, bursts)

    assert bursts.lengths == [64], "no more than the warm-up itself"
    assert found == Pace(61.5, "the Offline run 20261124-120000-datacenter-offline", 1.03)
    assert samples_of(found) == 3 * 13368


@pytest.mark.parametrize(
    ("path", "value"),
    [
        *((path, "another") for path in pace.SAME),
        (("resolved", "engine_environment"), None),
        (("resolved", "min_duration_s"), 60.0),
        (("resolved", "min_duration_s"), None),
        (("flags", "scenario"), "server"),
    ],
)
def test_an_earlier_run_that_differs_says_nothing(
    path: tuple[str, ...], value: object, record: dict[str, Any], tmp_path: Path
) -> None:
    earlier_run(tmp_path, "20261124-120000-datacenter-offline", 61.5, path, value)

    assert pace.of_earlier_run(tmp_path, record) is None


@pytest.mark.parametrize(
    ("scenario", "mode", "min_duration_s", "wanted"),
    [
        (Scenario.OFFLINE, "performance", 600.0, True),
        (Scenario.OFFLINE, "both", 600.0, False),  # the accuracy test shows the rate
        (Scenario.OFFLINE, "performance", 0.0, False),
        (Scenario.SERVER, "performance", 600.0, False),
        (Scenario.SINGLESTREAM, "performance", 600.0, False),
    ],
)
def test_only_the_length_of_an_offline_test_alone_hangs_on_it(
    scenario: Scenario, mode: str, min_duration_s: float, wanted: bool
) -> None:
    config = RunConfig(scenario=scenario, mode=mode)

    assert pace.is_wanted(config, min_duration_s) is wanted
