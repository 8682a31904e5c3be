"""How fast the engine is in Offline, known well enough to plan no pass of the data set too many.

A test that ends before its minimum duration is INVALID, and each whole pass more than it takes
costs minutes. An earlier run of the same settings on the same machine says it best. Without one, a
burst of two engine fills does in most cases; where it leaves open whether a pass is needed, a
longer burst decides, as long as it costs less than the pass.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import formatting
from harness.config import RunConfig, Scenario
from harness.language import phrase
from harness.loadgen import planning
from harness.loadgen.burst import Burst
from harness.loadgen.planning import Pace
from harness.results.files import read_object
from harness.results.folder import RunFolder, finished_runs

# Enough to compile and touch every kernel that a test needs.
WARM_UP_SAMPLES = 64
# A burst of two engine fills has a steady middle to estimate the speed from.
ESTIMATE_FILLS = 2
# What two runs agree in, as config.json says it, when the rate of one holds for the other.
SAME = (
    ("system",),
    ("resolved", "engine"),
    ("resolved", "engine_environment"),
    ("resolved", "sampling"),
    ("dataset", "checksum_sha256"),
    ("dataset", "samples"),
    ("flags", "weights"),
)


def is_wanted(config: RunConfig, min_duration_s: float) -> bool:
    """Whether the length of a test hangs on a rate that no test of this run shows beforehand."""
    only_offline = config.scenario is Scenario.OFFLINE and not config.runs_accuracy
    return only_offline and min_duration_s > 0


async def warm_up(
    record: Mapping[str, Any],
    prompts: Sequence[list[int]],
    sequences: int,
    answer: Callable[[Sequence[list[int]]], Awaitable[Burst]],
    say: Callable[[str], None],
) -> Pace:
    """Warms the engine up by `answer`, and says how fast it is.

    `record` is config.json of this run, and `sequences` what the engine takes at once.
    """
    resolved = record["resolved"]
    lengths = {"sample_count": len(prompts), "min_duration_s": resolved["min_duration_s"]}
    # In a random order, as LoadGen asks: CNN/DailyMail has all articles of one paper first, and the
    # two differ in length.
    shuffled = itertools.cycle(random.Random(0).sample(prompts, len(prompts)))

    async def burst(samples: int) -> Burst:
        return await answer(list(itertools.islice(shuffled, samples)))

    known = of_earlier_run(Path(record["flags"]["results_dir"]), record)
    if known is not None:
        await burst(WARM_UP_SAMPLES)
        return known
    result = await burst(ESTIMATE_FILLS * sequences)
    source = phrase("the warm-up of {samples} samples", samples=formatting.count(result.samples))
    pace = Pace(result.samples_per_second, source, planning.BURST_MARGIN)
    spent = 0
    while samples := planning.samples_of_longer_burst(pace, fill=sequences, spent=spent, **lengths):
        say(
            phrase(
                "warm-up: {count} samples more, as a better known rate may save a pass of the data "
                "set",
                count=formatting.count(samples),
            )
        )
        result = await burst(samples)
        spent += samples
        counted = samples - 2 * sequences
        pace = Pace(
            result.steady_samples_per_second(sequences),
            phrase(
                "the warm-up, {counted} samples on a full engine", counted=formatting.count(counted)
            ),
            planning.steady_margin(counted),
        )
    return pace


def of_earlier_run(results_dir: Path, record: Mapping[str, Any]) -> Pace | None:
    """The pace of the fastest Offline run that agrees with `record`, if there is one.

    The fastest, as what slowed another one down may be gone.
    """
    fastest: Pace | None = None
    for entry in finished_runs(results_dir):
        if entry.get("scenario") != Scenario.OFFLINE.value:
            continue
        folder = RunFolder(results_dir / str(entry["run"]))
        rate = entry["samples_per_sec"]
        if not rate or not agree(read_object(folder.config_json), record, SAME):
            continue
        if fastest is None or rate > fastest.samples_per_second:
            fastest = Pace(
                rate,
                phrase("the Offline run {folder}", folder=folder.name),
                planning.FULL_TEST_MARGIN,
            )
    return fastest


def agree(
    earlier: Mapping[str, Any], record: Mapping[str, Any], paths: Sequence[Sequence[str]]
) -> bool:
    """Whether two runs say the same at these paths, and the earlier one was to last as long."""
    lasted = _part(earlier, ("resolved", "min_duration_s"))
    if not isinstance(lasted, int | float) or lasted < record["resolved"]["min_duration_s"]:
        return False
    # By their JSON, as that is what the earlier run's side has been through.
    return all(
        json.dumps(_part(earlier, path), sort_keys=True)
        == json.dumps(_part(record, path), sort_keys=True)
        for path in paths
    )


def _part(value: Any, path: Sequence[str]) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value
