"""config.json of a run: whatever is wrong in it, one sentence says so, or it does not matter."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig, Scenario
from harness.errors import LogError
from harness.loadgen.rate_search import Probe
from harness.report import summary, text
from harness.results.folder import RunFolder
from harness.rules.read import read_evidence
from tests.builders import SAMPLES, config_json, rouge, write_run

PROBES = (Probe(12.0, True, "It holds.", 720, 60.0, 120.5, 31.25),)
LOST = object()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A Server run with a search."""
    settings = RunConfig(
        model="demo", dataset="sample", total_sample_count=SAMPLES, scenario=Scenario.SERVER
    )
    record = config_json(settings, probes=PROBES)
    name = "20261123-141500-datacenter-server"
    run = write_run(
        tmp_path / name, settings, test="server-valid", scores=rouge(1.0), record=record
    )
    (run / "Accuracy" / "mlperf_log_accuracy.json").write_text("[]")  # quick to read
    return run


def places(value: Any) -> Iterator[tuple[Any, ...]]:
    """The way to every part of a value."""
    inside = value.items() if isinstance(value, dict) else enumerate(value)
    for key, part in inside:
        yield (key,)
        if isinstance(part, dict | list):
            yield from ((key, *rest) for rest in places(part))


def mutated(record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The record with each of its parts lost, null, and of another kind."""
    for *way, last in places(record):
        if way[:1] == ["official"]:  # for people: the rules have their own
            continue
        for value in (LOST, None, Ellipsis):
            changed = copy.deepcopy(record)
            part: Any = changed
            for key in way:
                part = part[key]
            if value is LOST:
                del part[last]
            else:
                part[last] = None if value is None else of_another_kind(part[last])
            yield changed


def of_another_kind(value: object) -> object:
    others: tuple[object, ...] = ("text", -3, [3], {"id": 3})
    return next(other for other in others if type(other) is not type(value))


def test_no_value_in_it_is_more_than_a_sentence(folder: Path) -> None:
    run = RunFolder(folder)
    path = run.config_json
    refused = 0
    for changed in mutated(json.loads(path.read_text())):
        path.write_text(json.dumps(changed))
        try:
            evidence = read_evidence(run)
        except LogError as error:
            refused += 1
            assert str(error).startswith(str(folder))
            continue
        record = summary.build(evidence) | {"plots": {}}
        record["meta"]["name"] = run.name
        text.render(record, evidence.config, run)
        text.terminal_summary(record)
    assert refused > 200


@pytest.mark.parametrize(
    ("part", "key", "value", "words"),
    [
        ("run", "started", 5, "run.started is 5 and not a text"),
        ("flags", "version", "7.0", "flags.version is '7.0' and not one of 5.1, 6.0, 6.1"),
        ("resolved", "sample_count", -1, "resolved.sample_count is -1 and not a whole number"),
        ("system", "memory_bytes", "a lot", "system.memory_bytes is 'a lot' and not a whole"),
        ("run", "phases", {"load_s": 1e300}, "run.phases.load_s is 1e+300 and not a number"),
    ],
)
def test_the_field_and_what_it_is_are_named(
    folder: Path, part: str, key: str, value: object, words: str
) -> None:
    path = folder / "config.json"
    record = json.loads(path.read_text())
    record[part][key] = value
    path.write_text(json.dumps(record))

    with pytest.raises(LogError) as refused:
        read_evidence(RunFolder(folder))

    assert f"{path} is not the whole record of a run: {words}" in str(refused.value)


@pytest.mark.parametrize(
    ("part", "key", "value", "words"),
    [
        ("resolved", "sample_count", 1, "resolved.sample_count, dataset.samples"),
        ("flags", "model", "another", "flags.model, model.requested"),
    ],
)
def test_what_it_says_twice_and_differently_is_a_contradiction(
    folder: Path, part: str, key: str, value: object, words: str
) -> None:
    path = folder / "config.json"
    record = json.loads(path.read_text())
    record[part][key] = value
    path.write_text(json.dumps(record))

    with pytest.raises(LogError, match=f"contradicts itself .{words}"):
        read_evidence(RunFolder(folder))
