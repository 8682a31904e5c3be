"""What the end of a run does to the results folder: whole after every kind of end."""

from __future__ import annotations

import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.results import folder as run_folder
from harness.results.folder import RunFolder
from tests.results.conftest import began, finished, index, measured, runs


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
