"""Run folders: their names, their paths, whose they are and whether a run is alive in them."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from harness.errors import UsageError
from harness.results import folder as run_folder
from harness.results.folder import RunFolder
from tests.conftest import PROJECT
from tests.results.conftest import NOON


def test_a_folder_is_named_after_time_category_and_scenario(tmp_path: Path) -> None:
    now = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    folder = RunFolder.create(tmp_path / "new" / "results", "edge", "singlestream", now)
    assert folder.path == tmp_path / "new" / "results" / "20260102-030405-edge-singlestream"
    assert folder.path.is_dir()


def test_two_runs_of_the_same_second_get_folders_of_their_own(tmp_path: Path) -> None:
    names = [RunFolder.create(tmp_path, "edge", "offline", NOON).name for _ in range(3)]
    assert names == [
        "20261123-120000-edge-offline",
        "20261123-120000-edge-offline-2",
        "20261123-120000-edge-offline-3",
    ]


def test_loadgens_files_and_ours_lie_where_the_readme_says(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    paths = [
        folder.config_json,
        folder.summary_json,
        folder.report_md,
        folder.plots,
        folder.run_log,
        folder.rouge_json,
        folder.samples_csv,
        folder.timeline_csv,
        folder.user_conf,
    ]
    assert [str(path.relative_to(tmp_path)) for path in paths] == [
        "config.json",
        "summary.json",
        "report.md",
        "plots",
        "run.log",
        "Accuracy/rouge.json",
        "samples.csv",
        "timeline.csv",
        "user.conf",
    ]


def test_a_run_is_alive_until_its_process_is_killed(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, time; from datetime import datetime\n"
        "from harness.results import folder as run_folder\n"
        "folder = run_folder.RunFolder.create("
        "pathlib.Path(sys.argv[1]), 'edge', 'offline', datetime.now())\n"
        "print(folder.path, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        folder = RunFolder(Path(process.stdout.readline().strip()))
        alive_before = folder.is_alive()
        process.kill()
    assert alive_before
    assert not folder.is_alive()


def test_a_results_folder_that_can_be_made_is_accepted_and_not_made(tmp_path: Path) -> None:
    run_folder.check_results_dir(tmp_path)
    run_folder.check_results_dir(tmp_path / "a" / "b")
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_place_of_the_results_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path in (tmp_path / "file", tmp_path / "file" / "results"):
        with pytest.raises(UsageError) as caught:
            run_folder.check_results_dir(path)
        assert str(caught.value) == (
            f"--results-dir {path}: {tmp_path}/file is not a folder; choose another one."
        )


def test_a_link_to_nowhere_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("nowhere")
    with pytest.raises(UsageError, match="is not a folder; choose another one"):
        run_folder.check_results_dir(tmp_path / "link")


def test_a_results_folder_that_cannot_be_written_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(UsageError) as caught:
        run_folder.check_results_dir(tmp_path / "results")
    assert str(caught.value) == (
        f"--results-dir {tmp_path}/results: {tmp_path} cannot be written (Permission denied); "
        "choose a folder you may write to."
    )
