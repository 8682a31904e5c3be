"""Which runs may stand together in a submission."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.metrics import ComplianceCheck, ComplianceResult
from harness.results.folder import RunFolder
from harness.rules import verdict
from harness.submission import checks as submission_checks
from harness.submission.finished_run import FinishedRun
from tests.submission.conftest import changed


def refused(runs: list[FinishedRun], division: str = "closed") -> str:
    with pytest.raises(UsageError) as caught:
        submission_checks.check(runs, division)
    return str(caught.value)


def test_a_run_whose_verdict_fails_is_refused_with_its_reasons(good: list[FinishedRun]) -> None:
    good[1] = dataclasses.replace(
        good[1], result="VALID BUT UNOFFICIAL", reasons=("It ran 20 samples.",)
    )

    said = refused(good)

    assert f"{good[1].folder.name} is VALID BUT UNOFFICIAL:\n    It ran 20 samples." in said
    assert "--division open" in said


def test_a_failed_run_is_refused_in_open_too(good: list[FinishedRun]) -> None:
    good[0] = dataclasses.replace(good[0], result="FAILED", reasons=("The engine died.",))

    assert "The engine died." in refused(good, "open")


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (("server", "interactive"), "There is no Offline run, which is required."),
        (("offline",), "neither a Server nor an Interactive run"),
    ],
)
def test_a_missing_scenario_of_the_datacenter_is_named(
    names: tuple[str, ...], words: str, good: list[FinishedRun]
) -> None:
    assert words in refused([one for one in good if one.evidence.scenario.value in names])


@pytest.mark.parametrize(
    ("name", "words"),
    [("offline", "no SingleStream run"), ("singlestream", "no Offline run")],
)
def test_edge_needs_both_its_scenarios(
    name: str, words: str, whole: Callable[[str, str], list[FinishedRun]]
) -> None:
    kept = [one for one in whole("5.1", "edge") if one.evidence.scenario.value == name]

    assert words in refused(kept)


def test_two_scenarios_are_enough_for_the_datacenter(good: list[FinishedRun]) -> None:
    submission_checks.check(good[:2], "closed")


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        (("flags", "version"), "6.1", "The round differs"),
        (("flags", "category"), "edge", "The category differs"),
        (("system", "git_commit"), "f" * 40, "The commit of this program differs"),
        (("system", "gpu_name"), "another GPU", "The GPU differs"),
        (("system", "gpu_count"), 8, "The number of GPUs differs"),
        (("system", "vllm_version"), "0.1", "The vLLM differs"),
    ],
)
def test_runs_that_do_not_belong_together_are_refused(
    path: tuple[str, ...], value: object, words: str, good: list[FinishedRun]
) -> None:
    good[2] = changed(good[2], *path, value=value)

    said = refused(good, "open")

    assert words in said
    assert good[2].folder.name in said


def test_a_scenario_given_twice_is_refused(good: list[FinishedRun]) -> None:
    assert "Offline is there 2 times" in refused([*good, good[0]])


def judged_again(finished: FinishedRun, **evidence: Any) -> FinishedRun:
    """The run with other evidence, and the verdict on that."""
    changed = dataclasses.replace(finished.evidence, **evidence)
    judged = verdict.judge(changed)
    reasons = tuple(broken.sentence for broken in judged.failed)
    return FinishedRun(finished.folder, changed, judged.result, reasons)


def test_a_run_without_test06_is_refused_in_closed_alone(good: list[FinishedRun]) -> None:
    good[1] = judged_again(good[1], compliance=None)

    assert "TEST06, which a datacenter submission needs, was not run" in refused(good)
    submission_checks.check(good, "open")


def test_a_failed_test06_is_refused_with_what_failed(good: list[FinishedRun]) -> None:
    failed = ComplianceResult(
        False, (ComplianceCheck("answers", False, "Two of them are bad."),), verified=True
    )
    good[1] = judged_again(good[1], compliance=failed)

    assert "Two of them are bad." in refused(good)


@pytest.mark.parametrize(
    "name",
    [
        "Performance/mlperf_log_detail.txt",
        "Accuracy/mlperf_log_accuracy.json",
        "Compliance/TEST06/verify_accuracy.txt",
        "user.conf",
    ],
)
def test_a_log_that_is_not_there_is_named(
    name: str, good: list[FinishedRun], tmp_path: Path
) -> None:
    copy = tmp_path / good[0].folder.name
    shutil.copytree(good[0].folder.path, copy)
    (copy / name).unlink()
    good[0] = dataclasses.replace(good[0], folder=RunFolder(copy))

    assert f"there is no {name}" in refused(good, "open")


def test_a_run_that_was_not_scored_is_refused(good: list[FinishedRun]) -> None:
    evidence = dataclasses.replace(good[0].evidence, accuracy=None)
    good[0] = dataclasses.replace(good[0], evidence=evidence)

    assert "its answers were not scored" in refused(good, "open")


def test_scores_that_do_not_name_their_log_are_a_doubt(good: list[FinishedRun]) -> None:
    assert submission_checks.doubts(good) == ()
    accuracy = good[0].evidence.accuracy
    assert accuracy is not None
    older = dataclasses.replace(accuracy, log_sha256=None)
    good[0] = judged_again(good[0], accuracy=older)

    assert good[0].result == "OFFICIAL-READY"
    assert "does not record which accuracy log" in submission_checks.doubts(good)[0]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "\n",
        "*.Offline.target_qps = 20.052\n",
        "{whole}*.Offline.min_duration = 600000\n",
        "{whole}*.*.mode = 2\n",
        "{whole}{whole}",
        "# MLPerf Inference v5.1, datacenter, Offline\n*.Offline.target_qps = 21.052\n",
        "# MLPerf Inference v5.1, datacenter, Offline\n*.Offline.target_qps = --\n",
        "# MLPerf Inference v5.1, datacenter, Server\n*.Server.target_qps = 20.052\n",
    ],
)
@pytest.mark.parametrize("division", ["closed", "open"])
def test_a_user_conf_that_no_run_writes_is_refused(
    text: str, division: str, good: list[FinishedRun], tmp_path: Path
) -> None:
    copy = tmp_path / good[0].folder.name
    shutil.copytree(good[0].folder.path, copy)
    user_conf = copy / "user.conf"
    user_conf.write_text(text.replace("{whole}", user_conf.read_text()))
    good[0] = dataclasses.replace(good[0], folder=RunFolder(copy))

    assert "user.conf is not what a run of these settings gives" in refused(good, division)


@pytest.mark.parametrize("version", ["5.1", "6.1"])
@pytest.mark.parametrize("category", ["datacenter", "edge"])
def test_the_user_conf_of_a_run_is_taken(
    version: str, category: str, whole: Callable[[str, str], list[FinishedRun]]
) -> None:
    submission_checks.check(whole(version, category), "closed")
