"""docs/summary.schema.json describes every summary.json that the programs write."""

from __future__ import annotations

import copy
import json
import tarfile
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from matplotlib.figure import Figure

import report
from harness.config import RunConfig, Scenario
from harness.logs.times import write_telemetry
from harness.metrics import TelemetryPoint
from harness.mmlu.questions import Question
from harness.mmlu.results import to_json
from harness.mmlu.score import Answered, score
from tests.builders import DATA, PACKED, SAMPLES, config_json, rouge, write_run
from tests.conftest import PROJECT
from tests.report.conftest import PROBES

SCHEMA = json.loads((PROJECT / "docs" / "summary.schema.json").read_text())
# The scenario of each fixture of tests/data.
FIXTURES = {
    path.name: Scenario(path.name.split("-")[0]) for path in DATA.iterdir() if path.is_dir()
}


@pytest.fixture(autouse=True)
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda _self, path, **_options: Path(path).touch())


def summary_of(folder: Path) -> dict[str, Any]:
    """summary.json as the report of this folder writes it."""
    report.make_report(folder)
    summary: dict[str, Any] = json.loads((folder / "summary.json").read_text())
    return summary


def check(summary: dict[str, Any]) -> None:
    jsonschema.validate(summary, SCHEMA, cls=jsonschema.Draft202012Validator)


def settings_of(scenario: Scenario) -> RunConfig:
    category = "edge" if scenario is Scenario.SINGLESTREAM else "datacenter"
    return RunConfig(
        scenario=scenario, category=category, mode="performance", total_sample_count=SAMPLES
    )


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


@pytest.mark.parametrize("fixture", FIXTURES)
def test_every_fixture_gets_a_summary_of_the_schema(tmp_path: Path, fixture: str) -> None:
    folder = write_run(tmp_path / "run", settings_of(FIXTURES[fixture]), test=fixture)
    check(summary_of(folder))


def test_a_run_of_everything_gets_a_summary_of_the_schema(tmp_path: Path) -> None:
    settings = settings_of(Scenario.SERVER).with_values(mode="both", extra_metrics=True)
    record = config_json(settings, probes=PROBES)
    folder = write_run(
        tmp_path / "run", settings, test="server-valid", scores=rouge(0.5), record=record
    )
    second = TelemetryPoint(1.0, 97.0, 700.0, 1600.0, 71.0, 7e4, "power", 0, 10.0, 1, 95.0, 200.0)
    write_telemetry(folder / "telemetry.csv", [second])
    check(summary_of(folder))


@pytest.mark.parametrize("status", ["failed", "interrupted"])
def test_a_run_without_a_result_gets_a_summary_of_the_schema(tmp_path: Path, status: str) -> None:
    settings = settings_of(Scenario.OFFLINE)
    record = config_json(settings, status=status, error="The engine died.")
    record["run"]["finished"] = None
    check(summary_of(write_run(tmp_path / "run", settings, record=record)))


def test_runs_of_official_length_get_a_summary_of_the_schema(tmp_path: Path) -> None:
    with tarfile.open(PACKED) as archive:
        archive.extractall(tmp_path, filter="data")
    folders = [path.parent for path in tmp_path.glob("*/*/config.json")]
    assert len(folders) > 4
    for folder in folders:
        check(summary_of(folder))


@pytest.mark.parametrize("finished", [True, False])
def test_an_evaluation_gets_a_summary_of_the_schema(tmp_path: Path, finished: bool) -> None:
    record = config_json(RunConfig(), status="finished" if finished else "failed", error=None)
    record["flags"] |= {
        "version": None,
        "category": "mmlu",
        "scenario": None,
        "mode": "accuracy",
        "protocol": "plain",
        "num_fewshot": 5,
        "total_limit": 1,
        "subjects": ["anatomy"],
    }
    record["dataset"] |= {"available": 285, "subjects": 1}
    record["resolved"]["sample_count"] = 1
    record["model"]["source"] = "built on this machine"
    (tmp_path / "config.json").write_text(json.dumps(record))
    question = Question("anatomy", 0, "?", ("a", "b", "c", "d"), 1)
    answers = [Answered(question, 1, None, "", 1.0, 10, 1)]
    if finished:
        for name, content in to_json(score(answers), "plain", 5).items():
            (tmp_path / name).write_text(json.dumps(content))
    check(summary_of(tmp_path))


def test_what_the_schema_does_not_know_is_refused(tmp_path: Path) -> None:
    folder = write_run(
        tmp_path / "run", settings_of(Scenario.OFFLINE), test="offline-valid", scores=rouge(1.0)
    )
    summary = summary_of(folder)
    for path in ((), ("meta",), ("run", "performance"), ("verdict", "rules", 0)):
        changed = copy.deepcopy(summary)
        part: Any = changed
        for key in path:
            part = part[key]
        part["surprise"] = 1
        with pytest.raises(jsonschema.ValidationError, match="surprise"):
            check(changed)
        del part["surprise"]
        part.popitem()
        with pytest.raises(jsonschema.ValidationError, match="required"):
            check(changed)
