"""Run folders, the index and `latest`: whole after every kind of end."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from harness.errors import UsageError
from harness.results import folder as run_folder
from harness.results.folder import RunFolder

ROOT = Path(__file__).resolve().parents[2]
NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def began(results: Path, minute: int = 0) -> RunFolder:
    """A run that has described itself, as run.py does before the engine starts."""
    now = NOON + timedelta(minutes=minute)
    folder = RunFolder.create(results, "datacenter", "offline", now)
    run_folder.write_json(
        folder.config_json,
        {
            "schema_version": 1,
            "run": {"status": "running"},
            "flags": {"scenario": "offline", "category": "datacenter", "model": "demo"},
            "resolved": {"sample_count": 20, "full_size": False},
            "departures": [
                {"id": "model", "sentence": "x"},
                {"id": "sample_count", "sentence": "y"},
            ],
        },
    )
    return folder


def measured(folder: RunFolder, minute: int = 0, **meta: object) -> RunFolder:
    """The same with results."""
    finished = (NOON + timedelta(minutes=minute, seconds=30)).isoformat()
    summary: dict[str, Any] = {
        "schema_version": 1,
        "meta": {
            "category": "datacenter",
            "scenario": "offline",
            "mode": "both",
            "model": "demo",
            "precision": "bf16",
            "dataset": "sample",
            "finished": finished,
            "status": "finished",
            **meta,
        },
        "run": {
            "performance": {"tokens_per_sec": 7570.4, "samples_per_sec": 59.1, "valid": True},
            "accuracy": {"passed": False, "rouge": {"rougeLsum": 0.35}},
        },
    }
    run_folder.write_json(folder.summary_json, summary)
    return folder


def finished(results: Path, minute: int = 0) -> RunFolder:
    folder = measured(began(results, minute), minute)
    assert run_folder.finish(folder, keep_all=True) == ()
    return folder


def index(results: Path) -> list[dict[str, Any]]:
    value: list[dict[str, Any]] = json.loads((results / "index.json").read_text())
    return value


def runs(results: Path) -> list[str]:
    """The names of the run folders that are there."""
    return sorted(
        path.name for path in results.iterdir() if path.is_dir() and path.name != "latest"
    )


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


def test_finishing_enters_the_index_and_moves_latest(tmp_path: Path) -> None:
    first, second = finished(tmp_path, 0), finished(tmp_path, 5)
    assert (tmp_path / "latest").readlink() == Path(second.name)
    assert index(tmp_path)[0] == {
        "run": second.name,
        "finished": "2026-11-23T12:05:30+00:00",
        "category": "datacenter",
        "scenario": "offline",
        "mode": "both",
        "model": "demo",
        "precision": "bf16",
        "dataset": "sample",
        "sample_count": 20,
        "full_size": False,
        "headline": "7,570 tokens/s",
        "tokens_per_sec": 7570.4,
        "samples_per_sec": 59.1,
        "verdict": None,
        "valid": True,
        "accuracy_passed": False,
        "status": "finished",
        "unofficial": 2,
        "departures": ["model", "sample_count"],
    }
    assert [entry["run"] for entry in index(tmp_path)] == [second.name, first.name]


def test_the_index_for_people_is_a_table_with_links(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    assert (tmp_path / "index.md").read_text().splitlines()[4] == (
        f"| [{folder.name}]({folder.name}/report.md) | datacenter offline | both | demo | bf16 "
        "| 20 | 7,570 tokens/s | VALID, gate missed | model, sample_count |"
    )


def test_a_single_stream_run_is_headed_by_its_90th_percentile(tmp_path: Path) -> None:
    folder = began(tmp_path)
    summary = {
        "meta": {"scenario": "singlestream", "status": "finished"},
        "run": {"performance": {"tokens_per_sec": 90.0, "latency_ms": {"p90": 812.3}}},
    }
    run_folder.write_json(folder.summary_json, summary)
    run_folder.finish(folder, keep_all=True)
    assert "| p90 812.3 ms |" in (tmp_path / "index.md").read_text()


def test_the_index_has_the_headline_that_summary_json_gives(tmp_path: Path) -> None:
    folder = began(tmp_path)
    summary = {
        "headline": {"text": "7,570 tokens/s (59.1 samples/s)"},
        "meta": {"status": "finished"},
        "run": {"performance": {"tokens_per_sec": 7570.4}},
    }
    run_folder.write_json(folder.summary_json, summary)
    run_folder.finish(folder, keep_all=True)
    assert index(tmp_path)[0]["headline"] == "7,570 tokens/s (59.1 samples/s)"


def test_the_index_has_the_verdict_of_a_run_that_was_judged(tmp_path: Path) -> None:
    folder = finished(tmp_path, 0)
    summary = json.loads(folder.summary_json.read_text())
    summary["verdict"] = {"result": "VALID BUT UNOFFICIAL"}
    folder.summary_json.write_text(json.dumps(summary))
    finished(tmp_path, 5)
    cells = (tmp_path / "index.md").read_text().splitlines()[-1]
    assert "| VALID BUT UNOFFICIAL, gate missed |" in cells


def test_a_failed_run_is_in_the_index_and_leaves_latest_where_it_was(tmp_path: Path) -> None:
    good = finished(tmp_path, 0)
    bad = began(tmp_path, 5)
    config = json.loads(bad.config_json.read_text())
    config["run"] = {"status": "failed", "finished": "2026-11-23T12:06:00+00:00"}
    run_folder.write_json(bad.config_json, config)
    run_folder.finish(bad, keep_all=False)
    assert (tmp_path / "latest").readlink() == Path(good.name)
    assert [(e["run"], e["status"]) for e in index(tmp_path)] == [
        (bad.name, "failed"),
        (good.name, "finished"),
    ]
    assert [e["run"] for e in run_folder.finished_runs(tmp_path)] == [good.name]
    assert (index(tmp_path)[0]["model"], index(tmp_path)[0]["tokens_per_sec"]) == ("demo", None)


def test_a_run_that_died_without_a_word_counts_as_failed(tmp_path: Path) -> None:
    dead = began(tmp_path, 0)
    assert dead._lock is not None
    dead._lock.close()  # what the kernel does when a process ends
    finished(tmp_path, 5)
    assert index(tmp_path)[1]["status"] == "failed"


def test_a_living_run_is_not_in_the_index(tmp_path: Path) -> None:
    living = began(tmp_path, 0)
    folder = finished(tmp_path, 5)
    assert living.is_alive()
    assert [entry["run"] for entry in index(tmp_path)] == [folder.name]


def test_keep_all_0_deletes_finished_and_failed_runs_of_ours_only(tmp_path: Path) -> None:
    finished(tmp_path, 0)
    dead = began(tmp_path, 1)
    dead.release()
    living = began(tmp_path, 2)
    (tmp_path / "20261123-120300-datacenter-offline").mkdir()  # no config.json: not ours
    (tmp_path / "my-notes").mkdir()
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    finished(elsewhere, 4).path.rename(elsewhere / "kept")
    (tmp_path / "20261123-120400-datacenter-offline").symlink_to(elsewhere / "kept")
    newest = measured(began(tmp_path, 5), 5)
    run_folder.finish(newest, keep_all=False)
    assert runs(tmp_path) == [
        living.name,
        "20261123-120300-datacenter-offline",
        "20261123-120400-datacenter-offline",
        newest.name,
        "my-notes",
    ]
    assert (elsewhere / "kept" / "summary.json").is_file()
    assert [entry["run"] for entry in index(tmp_path)] == [newest.name]
    assert (tmp_path / "latest").readlink() == Path(newest.name)


def test_keep_all_1_deletes_nothing(tmp_path: Path) -> None:
    names = [finished(tmp_path, minute).name for minute in range(3)]
    assert runs(tmp_path) == names


def test_a_link_inside_a_deleted_run_is_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").write_text("x")
    old = finished(tmp_path / "results", 0)
    (old.path / "plots").symlink_to(precious)
    new = measured(began(tmp_path / "results", 1), 1)
    run_folder.finish(new, keep_all=False)
    assert not old.path.exists()
    assert (precious / "file").read_text() == "x"


def test_entries_of_folders_deleted_by_hand_go_at_the_next_write(tmp_path: Path) -> None:
    old = finished(tmp_path, 0)
    for path in old.path.iterdir():
        path.unlink()
    old.path.rmdir()
    new = finished(tmp_path, 5)
    assert [entry["run"] for entry in index(tmp_path)] == [new.name]


def test_finished_runs_survive_a_damaged_index(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    (tmp_path / "index.json").write_text("[{")
    assert [entry["run"] for entry in run_folder.finished_runs(tmp_path)] == [folder.name]
    assert run_folder.finished_runs(tmp_path / "nowhere") == []


def test_a_folder_named_latest_is_left_alone_with_a_word(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    folder = measured(began(tmp_path))
    (doubt,) = run_folder.finish(folder, keep_all=False)
    assert doubt == (
        f"{tmp_path}/latest is not a link of this program, so it was left alone; "
        f"this run is in {folder.path}."
    )
    assert (tmp_path / "latest").is_dir()
    assert [entry["run"] for entry in index(tmp_path)] == [folder.name]


class Crash(BaseException):
    """A process that ends between two steps."""


def crash_at(patch: pytest.MonkeyPatch, function: str, target: str, call: int, after: bool) -> None:
    """Makes the n-th call of os.replace, os.rename or shutil.rmtree for a target the last one."""
    owner: Any = shutil if function == "rmtree" else os
    original = getattr(owner, function)
    calls = 0

    def crash(*paths: Any) -> None:
        nonlocal calls
        calls += target in Path(paths[-1]).name
        if calls < call:
            original(*paths)
            return
        if after:
            original(*paths)
        raise Crash

    patch.setattr(owner, function, crash)


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    ("function", "target", "call"),
    [
        ("replace", "index.json", 1),
        ("replace", "index.md", 1),
        ("replace", "latest", 1),
        ("rename", ".deleting-", 1),
        ("rmtree", ".deleting-", 1),
        ("replace", "index.json", 2),
        ("replace", "index.md", 2),
    ],
)
def test_a_crash_at_any_moment_leaves_a_whole_results_folder(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    function: str,
    target: str,
    call: int,
    after: bool,
) -> None:
    finished(tmp_path, 0)
    new = measured(began(tmp_path, 5), 5)
    with monkeypatch.context() as patch:
        crash_at(patch, function, target, call, after)
        with pytest.raises(Crash):
            run_folder.finish(new, keep_all=False)
    assert len(index(tmp_path)) in (1, 2)
    latest = tmp_path / "latest"
    assert json.loads((latest / "summary.json").read_text())["meta"]["status"] == "finished"
    assert list(tmp_path.glob(".*.tmp")) == []
    assert new._lock is not None
    new._lock.close()  # the crashed process is gone, and the next run tidies up after it
    next_run = measured(began(tmp_path, 9), 9)
    run_folder.finish(next_run, keep_all=False)
    assert runs(tmp_path) == [next_run.name]
    assert [entry["run"] for entry in index(tmp_path)] == [next_run.name]


def test_runs_that_finish_together_are_all_in_the_index(tmp_path: Path) -> None:
    folders: list[RunFolder] = []

    def one_run() -> None:
        folder = measured(began(tmp_path))
        folders.append(folder)
        run_folder.finish(folder, keep_all=True)

    threads = [threading.Thread(target=one_run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({folder.name for folder in folders}) == 8
    assert {entry["run"] for entry in index(tmp_path)} == {folder.name for folder in folders}
    assert (tmp_path / "latest" / "summary.json").is_file()


def test_a_run_is_alive_until_its_process_is_killed(tmp_path: Path) -> None:
    code = (
        "import pathlib, sys, time; from datetime import datetime\n"
        "from harness.results import folder as run_folder\n"
        "folder = run_folder.RunFolder.create("
        "pathlib.Path(sys.argv[1]), 'edge', 'offline', datetime.now())\n"
        "print(folder.path, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
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


def test_json_is_replaced_whole_and_nan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    run_folder.write_json(path, {"model": "Ünï", "rate": 1.5, "unknown": None})
    assert path.read_text() == '{\n  "model": "Ünï",\n  "rate": 1.5,\n  "unknown": null\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        run_folder.write_json(path, {"rate": float("nan")})
    assert json.loads(path.read_text())["rate"] == 1.5
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]


def test_files_have_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        run_folder.write_text(tmp_path / "x", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640
