"""The submission tree, made from LoadGen logs of full official length: complete, and only then."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.rounds import ROUNDS
from harness.rules.evidence import Repeat
from harness.submission import checks as submission_checks
from harness.submission import system_description
from harness.submission import tree as submission
from harness.submission.finished_run import FinishedRun
from tests import submission_rules
from tests.submission.conftest import NAME, WORDS, changed, make


@pytest.mark.parametrize("category", ["datacenter", "edge"])
@pytest.mark.parametrize("version", ["5.1", "6.1"])
def test_a_tree_of_official_length_runs_breaks_no_rule(
    version: str,
    category: str,
    whole: Callable[[str, str], list[FinishedRun]],
    tmp_path: Path,
    project: Path,
    system_json: Path,
) -> None:
    out = make(whole(version, category), tmp_path, project, system_json)

    assert submission_rules.problems(out, version) == []


def test_loadgens_logs_are_in_the_tree_byte_for_byte(
    good: list[FinishedRun], tmp_path: Path, project: Path, system_json: Path
) -> None:
    out = make(good, tmp_path, project, system_json)

    for one in good:
        results = out / "closed/ACME/results" / NAME / "llama3.1-8b" / one.evidence.scenario.label
        for source, target in (("Performance", "performance/run_1"), ("Accuracy", "accuracy")):
            for log in ("mlperf_log_summary.txt", "mlperf_log_detail.txt"):
                there = (results / target / log).read_bytes()
                assert there == (one.folder.path / source / log).read_bytes()


def test_answers_that_people_can_read_stay_out_of_the_tree(
    good: list[FinishedRun], tmp_path: Path, project: Path, system_json: Path
) -> None:
    for one in good:
        one.folder.answers_jsonl.write_text("{}\n")
    out = make(good, tmp_path, project, system_json)

    for one in good:
        one.folder.answers_jsonl.unlink()
    folder = out / "closed/ACME/results" / NAME / "llama3.1-8b/Offline/accuracy"
    assert sorted(path.name for path in folder.iterdir()) == [
        "accuracy.txt", "mlperf_log_accuracy.json", "mlperf_log_detail.txt",
        "mlperf_log_summary.txt",
    ]  # fmt: skip
    assert list(out.rglob("answers.jsonl")) == []


def test_of_repeated_tests_the_one_in_performance_is_submitted_alone(
    good: list[FinishedRun], tmp_path: Path, project: Path, system_json: Path
) -> None:
    once, often = tmp_path / "once", tmp_path / "often"
    once.mkdir()
    often.mkdir()
    expected = make(good, once, project, system_json)
    repeated = [with_a_repeat(one) for one in good]
    out = make(repeated, often, project, system_json)
    for one in good:
        shutil.rmtree(one.folder.path / "Repeats")

    assert submission_rules.problems(out, "5.1") == []
    assert [path.relative_to(out) for path in sorted(out.rglob("*"))] == [
        path.relative_to(expected) for path in sorted(expected.rglob("*"))
    ]


def with_a_repeat(run: FinishedRun) -> FinishedRun:
    """The same run, its performance test repeated once with the same logs."""
    shutil.copytree(run.folder.performance, run.folder.path / "Repeats" / "2" / "Performance")
    asked = changed(run, "flags", "repeat", value=2)
    assert asked.evidence.performance is not None
    again = Repeat(2, asked.evidence.performance, asked.evidence.samples)
    evidence = dataclasses.replace(asked.evidence, repeats=(again,))
    return dataclasses.replace(asked, evidence=evidence)


def test_the_accuracy_log_is_cut_as_the_official_tool_does_and_its_hash_is_of_the_whole(
    good: list[FinishedRun], tmp_path: Path, project: Path, system_json: Path
) -> None:
    out = make(good, tmp_path, project, system_json)

    whole_log = (good[0].folder.accuracy / "mlperf_log_accuracy.json").read_bytes()
    folder = out / "closed/ACME/results" / NAME / "llama3.1-8b/Offline/accuracy"
    cut = (folder / "mlperf_log_accuracy.json").read_bytes()
    assert len(whole_log) > 1_000_000
    assert cut == whole_log[:4096] + b"\n\n...\n\n" + whole_log[-4096:]
    lines = (folder / "accuracy.txt").read_text().splitlines()
    assert lines[-1] == f"hash={hashlib.sha256(whole_log).hexdigest()}"
    assert lines[:4] == [
        "",
        "Results",
        "",
        "{'rouge1': '100.0', 'rouge2': '100.0', 'rougeL': '100.0', 'rougeLsum': '100.0', "
        f"'gen_len': {good[0].evidence.accuracy and good[0].evidence.accuracy.gen_len}, "
        "'gen_num': 13368}",
    ]


def test_a_short_accuracy_log_is_not_cut(tmp_path: Path) -> None:
    log = tmp_path / "mlperf_log_accuracy.json"
    log.write_text("[\n]\n")

    assert submission.truncated(log) == "[\n]\n"


def test_the_layouts_differ_where_the_rounds_do(
    whole: Callable[[str, str], list[FinishedRun]],
    tmp_path: Path,
    project: Path,
    system_json: Path,
) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    old = make(whole("5.1", "datacenter"), tmp_path / "old", project, system_json)
    new = make(whole("6.1", "datacenter"), tmp_path / "new", project, system_json)

    def files(tree: Path) -> set[str]:
        place = tree / "closed/ACME"
        found = {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
        return {name.replace(NAME, "SYS") for name in found if "Server" in name or "run.py" in name}

    logs = {
        "results/SYS/llama3.1-8b/Server/performance/run_1/mlperf_log_detail.txt",
        "results/SYS/llama3.1-8b/Server/performance/run_1/mlperf_log_summary.txt",
        "results/SYS/llama3.1-8b/Server/accuracy/accuracy.txt",
        "results/SYS/llama3.1-8b/Server/accuracy/mlperf_log_accuracy.json",
        "results/SYS/llama3.1-8b/Server/accuracy/mlperf_log_detail.txt",
        "results/SYS/llama3.1-8b/Server/accuracy/mlperf_log_summary.txt",
    }
    assert files(old) == logs | {
        "code/llama3.1-8b/run.py",
        "measurements/SYS/llama3.1-8b/Server/SYS.json",
        "measurements/SYS/llama3.1-8b/Server/user.conf",
        "measurements/SYS/llama3.1-8b/Server/README.md",
        "compliance/SYS/llama3.1-8b/Server/TEST06/verify_accuracy.txt",
        "compliance/SYS/llama3.1-8b/Server/TEST06/accuracy/mlperf_log_accuracy.json",
    }
    assert files(new) == logs | {
        "src/run.py",
        "results/SYS/llama3.1-8b/Server/measurements.json",
        "results/SYS/llama3.1-8b/Server/user.conf",
        "results/SYS/llama3.1-8b/Server/README.md",
        "results/SYS/llama3.1-8b/Server/TEST06/verify_accuracy.txt",
        "results/SYS/llama3.1-8b/Server/TEST06/accuracy/mlperf_log_accuracy.json",
    }


def test_every_round_has_a_layout() -> None:
    assert submission.LAYOUTS.keys() == ROUNDS.keys()


def test_open_takes_a_run_that_is_not_official_and_a_single_scenario(
    good: list[FinishedRun], tmp_path: Path, project: Path, system_json: Path
) -> None:
    one = dataclasses.replace(good[1], result="INVALID", reasons=("Too short.",))

    out = make([one], tmp_path, project, system_json, division="open")

    described = json.loads((out / "open/ACME/systems" / f"{NAME}.json").read_text())
    assert described["division"] == "open"
    assert submission_checks.doubts([one]) == (
        f"{one.folder.name} is INVALID, which open takes:\n    Too short.",
    )


def test_all_missing_words_are_listed_at_once_with_their_meaning_and_nothing_is_written(
    good: list[FinishedRun], tmp_path: Path, project: Path
) -> None:
    with pytest.raises(UsageError) as caught:
        make(good, tmp_path, project, None)

    said = str(caught.value)
    for name in WORDS:
        assert f"  {name}: {system_description.FIELDS[name]}" in said
    assert "gpu" not in said
    assert list(tmp_path.iterdir()) == []


def test_a_tree_that_cannot_be_finished_leaves_nothing(
    good: list[FinishedRun], tmp_path: Path, project: Path, system_json: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    def no_space(_path: Path) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(submission, "sha256", no_space)

    with pytest.raises(OSError, match="No space"):
        make(good, tmp_path, project, system_json)
    assert [path.name for path in tmp_path.iterdir()] == ["system.json"]


def test_an_existing_folder_is_never_touched(
    good: list[FinishedRun], tmp_path: Path, project: Path, system_json: Path
) -> None:
    (tmp_path / "out").mkdir()

    with pytest.raises(UsageError, match="it exists already"):
        make(good, tmp_path, project, system_json)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize("name", ["My Company", "../up", ".hidden", "a/b", ""])
def test_a_submitter_that_is_no_folder_name_is_refused(
    name: str, good: list[FinishedRun], tmp_path: Path, project: Path, system_json: Path
) -> None:
    with pytest.raises(UsageError, match="names a folder"):
        make(good, tmp_path, project, system_json, submitter=name)
