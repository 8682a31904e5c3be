"""The verdict on run folders: what is read from them, and that nothing else counts."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

import report
from harness.config import Scenario
from harness.errors import LogError
from tests.rules.runs import OFFLINE, SCENARIOS, good, write_run
from tests.rules.test_run import BROKEN_CHECK


@pytest.fixture(autouse=True)
def quick_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Figure, "savefig", lambda _self, path, **_options: Path(path).touch())


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_real_logs_of_twenty_samples_are_never_official_whatever_config_json_claims(
    tmp_path: Path, scenario: Scenario
) -> None:
    folder = write_run(tmp_path, good(scenario), scenario)
    record = report.make_report(folder)["verdict"]
    assert record["official"] is False
    broken = {rule["id"] for rule in record["rules"] if rule["outcome"] == "failed"}
    assert broken >= {"performance-samples", "least-duration", "accuracy-samples"}
    assert record["reasons"] == [
        rule["sentence"]
        for kind in ("validity", "official")
        for rule in record["rules"]
        if (rule["kind"], rule["outcome"]) == (kind, "failed")
    ]


def compliance_json(folder: Path, **changes: Any) -> None:
    result = {"passed": True, "checks": [{"name": "x", "passed": True, "sentence": "It holds."}]}
    (folder / "Compliance" / "TEST06").mkdir(parents=True, exist_ok=True)
    (folder / "Compliance/TEST06/result.json").write_text(json.dumps(result | changes))


def test_compliance_test_is_read_from_the_run_folder(tmp_path: Path) -> None:
    folder = write_run(tmp_path, good(), OFFLINE)

    def rule() -> dict[str, Any]:
        rules: list[dict[str, Any]] = report.make_report(folder)["verdict"]["rules"]
        return next(rule for rule in rules if rule["id"] == "compliance-test06")

    assert rule()["outcome"] == "failed" and "was not run" in rule()["sentence"]
    compliance_json(folder)
    assert "no complete result" in rule()["sentence"]
    (folder / "Compliance/TEST06/verify_accuracy.txt").write_text("TEST PASS\n")
    assert rule()["outcome"] == "passed"
    compliance_json(folder, passed=False, checks=[dataclasses.asdict(BROKEN_CHECK)])
    assert rule()["sentence"] == "TEST06 failed: 3 answers have another length."
    (folder / "Compliance/TEST06/result.json").write_text('{"passed": true}')
    with pytest.raises(LogError, match="compliance 1"):
        report.make_report(folder)


def test_verdict_depends_on_the_folder_alone(tmp_path: Path) -> None:
    folder = write_run(tmp_path, good(), OFFLINE)
    first = report.make_report(folder)["verdict"]
    moved = folder.rename(tmp_path / "20300101-000000-datacenter-offline")
    assert report.make_report(moved)["verdict"] == first


def test_answer_that_came_twice_is_found_in_the_log(tmp_path: Path) -> None:
    folder = write_run(tmp_path, good(), OFFLINE)
    log = folder / "Accuracy" / "mlperf_log_accuracy.json"
    entries = json.loads(log.read_text())
    log.write_text(json.dumps([*entries, entries[0]]))
    rules = report.make_report(folder)["verdict"]["rules"]
    (complete,) = [rule for rule in rules if rule["id"] == "accuracy-complete"]
    assert "several answers to 1 of 20 samples" in complete["sentence"]
