"""The verdict on run folders: what is read from them, and that nothing else counts."""

from __future__ import annotations

import dataclasses
import json
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

import report
from harness.config import Scenario
from harness.errors import LogError
from tests.builders import PACKED
from tests.rules.runs import OFFLINE, SCENARIOS, SERVER, good, write_run
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
    assert broken >= {"performance-samples", "minimum-duration", "accuracy-samples"}
    assert record["reasons"] == [
        rule["sentence"]
        for kind in ("validity", "official")
        for rule in record["rules"]
        if (rule["kind"], rule["outcome"]) == (kind, "failed")
    ]


@pytest.fixture(scope="module")
def official(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Run folders of official length with their TEST06, as LoadGen 5.1.2 wrote them."""
    target = tmp_path_factory.mktemp("official")
    with tarfile.open(PACKED) as archive:
        archive.extractall(target, filter="data")
    return target / "v5.1"


def with_test06(tmp_path: Path, official: Path, scenario: Scenario = OFFLINE) -> Path:
    folder = write_run(tmp_path, good(scenario), scenario)
    (packed,) = official.glob(f"*-datacenter-{scenario.value}")
    shutil.copytree(packed / "Compliance", folder / "Compliance")
    config = json.loads((folder / "config.json").read_text())
    config["run"]["finished"] = "2026-11-25T00:00:00+00:00"  # TEST06 ran a day later
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def rule_on_test06(folder: Path) -> dict[str, Any]:
    rules: list[dict[str, Any]] = report.make_report(folder)["verdict"]["rules"]
    return next(rule for rule in rules if rule["id"] == "compliance-test06")


def test_compliance_test_is_read_from_the_run_folder(tmp_path: Path, official: Path) -> None:
    folder = with_test06(tmp_path, official)
    test06 = folder / "Compliance" / "TEST06"
    result = test06 / "result.json"

    assert rule_on_test06(folder)["outcome"] == "passed"
    verified = (test06 / "verify_accuracy.txt").read_text()
    (test06 / "verify_accuracy.txt").unlink()
    assert "no complete result" in rule_on_test06(folder)["sentence"]
    (test06 / "verify_accuracy.txt").write_text(verified)
    recorded = json.loads(result.read_text())
    result.write_text(json.dumps({"passed": False, "checks": [dataclasses.asdict(BROKEN_CHECK)]}))
    assert "result.json does not say what" in rule_on_test06(folder)["sentence"]
    (test06 / "mlperf_log_accuracy.json").unlink()
    assert rule_on_test06(folder)["sentence"] == "TEST06 failed: 3 answers have another length."
    result.write_text(json.dumps(recorded))
    assert "There is no mlperf_log_accuracy.json of TEST06" in rule_on_test06(folder)["sentence"]
    result.write_text('{"passed": true}')
    with pytest.raises(LogError, match="compliance 1"):
        report.make_report(folder)
    shutil.rmtree(test06)
    assert "was not run" in rule_on_test06(folder)["sentence"]


def edit_answers(change: Callable[[dict[str, Any]], None]) -> Callable[[Path, Path], None]:
    """Changes the first answer that LoadGen logged."""

    def edit_log(test06: Path, _official: Path) -> None:
        path = test06 / "mlperf_log_accuracy.json"
        answers = json.loads(path.read_text())
        change(answers[0])
        path.write_text(json.dumps(answers))

    return edit_log


def two_end_tokens(answer: dict[str, Any]) -> None:
    end = (128009).to_bytes(4, "little").hex()
    answer["data"] = answer["data"][: -2 * len(end)] + 2 * end


def write(name: str, text: str) -> Callable[[Path, Path], None]:
    def change(test06: Path, _official: Path) -> None:
        (test06 / name).write_text(text)

    return change


def of_another_scenario(scenario: str) -> Callable[[Path, Path], None]:
    def swap(test06: Path, official: Path) -> None:
        (other,) = official.glob(f"*-datacenter-{scenario}")
        shutil.copytree(other / "Compliance" / "TEST06", test06, dirs_exist_ok=True)

    return swap


SAYS_FALSE = (
    "First token check pass: False\nEOS check pass: True\n"
    "Sample length check pass: True\nTEST06 verification complete\n"
)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (write("verify_accuracy.txt", SAYS_FALSE), "verify_accuracy.txt does not say"),
        (write("verify_accuracy.txt", ""), "verify_accuracy.txt does not say"),
        (write("mlperf_log_accuracy.json", "[]"), "0 answers where 100 are asked for"),
        (edit_answers(two_end_tokens), "lengthened by further end tokens"),
        (edit_answers(lambda answer: answer.update(token_count=1)), "another number of tokens"),
        (of_another_scenario("offline"), "not of Server but of Offline"),
        (of_another_scenario("interactive"), "not of Server but of Server with other limits"),
    ],
)
def test_test06_is_judged_anew_from_its_log_whatever_its_files_say(
    change: Callable[[Path, Path], None], words: str, tmp_path: Path, official: Path
) -> None:
    folder = with_test06(tmp_path, official, SERVER)
    assert rule_on_test06(folder)["outcome"] == "passed"

    change(folder / "Compliance" / "TEST06", official)

    rule = rule_on_test06(folder)
    assert rule["outcome"] == "failed" and words in rule["sentence"]


@pytest.mark.parametrize("name", ["mlperf_log_accuracy.json", "mlperf_log_detail.txt"])
def test_an_empty_log_of_test06_is_named(name: str, tmp_path: Path, official: Path) -> None:
    folder = with_test06(tmp_path, official, SERVER)
    (folder / "Compliance" / "TEST06" / name).write_text("")

    with pytest.raises(LogError, match=name):
        report.make_report(folder)


def test_end_tokens_of_the_model_are_those_that_the_run_recorded(
    tmp_path: Path, official: Path
) -> None:
    folder = with_test06(tmp_path, official, SERVER)
    answers = json.loads((folder / "Compliance/TEST06/mlperf_log_accuracy.json").read_text())
    last = bytes.fromhex(answers[0]["data"])[-8:]
    config = json.loads((folder / "config.json").read_text())
    config["resolved"]["end_token_ids"] = [
        int.from_bytes(last[:4], "little"),
        int.from_bytes(last[4:], "little"),
    ]
    (folder / "config.json").write_text(json.dumps(config))

    assert "further end tokens" in rule_on_test06(folder)["sentence"]


def test_answers_changed_after_scoring_are_found(tmp_path: Path) -> None:
    folder = write_run(tmp_path, good(), OFFLINE)
    log = folder / "Accuracy" / "mlperf_log_accuracy.json"

    def outcome() -> str:
        rules = report.make_report(folder)["verdict"]["rules"]
        return next(str(rule["outcome"]) for rule in rules if rule["id"] == "scored-log")

    assert outcome() == "passed"
    entries = json.loads(log.read_text())
    entries[0] |= {"data": "", "token_count": 0}
    log.write_text(json.dumps(entries))
    assert outcome() == "failed"


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
