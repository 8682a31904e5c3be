"""The results folder fails in the middle of a run: it says which path, what is kept, what to do."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import os
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import run
from harness.config import RunConfig
from harness.errors import LogError, UsageError
from harness.measure import lifecycle, preparation, tests
from harness.measure.preparation import Prepared
from harness.measure.runs import Series
from harness.report import make
from harness.results import room
from harness.terminal import Terminal
from tests.fakes import PlannedEngine


@pytest.fixture(autouse=True)
def stays_alive(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run that failed would end this process."""
    monkeypatch.setattr(lifecycle, "end_now", lambda _status: None)


@pytest.fixture
def prepared(tmp_path: Path) -> Prepared:
    config = RunConfig(
        model="demo",
        dataset="sample",
        mode="performance",
        total_sample_count=4,
        results_dir=str(tmp_path / "results"),
    )
    return preparation.prepare(config, lambda _text: None)


def run_with(prepared: Prepared, fault: Callable[[], None]) -> tuple[int, Path]:
    """A run in which the fault comes with the first answer; its exit status and folder."""

    class FaultyEngine(PlannedEngine):
        async def answer(self, *arguments: Any) -> list[int]:
            if not self.prompts:
                fault()
            return await super().answer(*arguments)

    make_engine: Any = FaultyEngine
    series = Series([prepared], ["python", "run.py"], Terminal(), make_engine)
    status, _ = series.execute()
    return status, series.outcomes[0].folder.path


def test_a_results_folder_that_is_removed_is_named(
    prepared: Prepared, capfd: pytest.CaptureFixture[str]
) -> None:
    results = Path(prepared.config.results_dir)

    status, folder = run_with(prepared, lambda: shutil.rmtree(results))

    said = capfd.readouterr()
    assert status == 1
    assert f"run.py: {folder} is gone: it was removed or moved while the run was" in said.err
    assert not results.exists()


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOSPC, "could not be written: the disk is full, "),
        (errno.EDQUOT, "could not be written: the quota is used up, "),
        (errno.EROFS, "could not be written: Read-only file system. What was written until then"),
        (errno.EACCES, "could not be written: Permission denied. What was written until then"),
    ],
)
@pytest.mark.parametrize("for_ever", [False, True])
def test_a_file_that_cannot_be_written_is_named_and_the_run_has_failed(
    number: int,
    text: str,
    for_ever: bool,
    prepared: Prepared,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """The disk has room again when the run ends, or it has not."""
    before = prepared.config.results_dir

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    def fault() -> None:
        monkeypatch.setattr(tests, "write_timeline", refuse)
        if for_ever:
            monkeypatch.setattr(Path, "open", refuse)

    status, folder = run_with(prepared, fault)
    monkeypatch.undo()

    said = capfd.readouterr()
    assert (status, before) == (1, prepared.config.results_dir)
    assert text in said.err
    assert "type the command again." in said.err
    record = json.loads((folder / "config.json").read_text())["run"]
    if not for_ever:
        assert (record["status"], text in record["error"]) == ("failed", True)
        assert (folder / "report.md").is_file()
    assert not (folder / ".running").exists()


@pytest.mark.parametrize("error", [LogError("The logs disagree."), ValueError("The logs disagree")])
def test_a_report_that_cannot_be_made_costs_no_measurement_and_is_told_with_its_cause(
    error: Exception,
    prepared: Prepared,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    def refuse(_run_dir: Path) -> dict[str, Any]:
        raise error

    monkeypatch.setattr(make, "make_report", refuse)
    status, folder = run_with(prepared, lambda: None)

    assert status == 1
    assert capfd.readouterr().err.splitlines()[-1] == (
        "run.py: The run was measured, but its report could not be made: The logs disagree. Once "
        f"that is mended, python report.py {folder} makes it. (log: {folder / 'run.log'})"
    )
    assert json.loads((folder / "config.json").read_text())["run"]["status"] == "finished"


def test_a_limit_on_the_size_of_files_is_the_cause_that_is_named(
    prepared: Prepared, capfd: pytest.CaptureFixture[str]
) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, hard))
    try:
        status, folder = run_with(prepared, lambda: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    said = capfd.readouterr()
    assert status == 1
    assert "the limit of this shell on the size of a file (0.0 MB; ulimit -f)" in said.err
    assert json.loads((folder / "config.json").read_text())["run"]["status"] == "failed"


def test_a_run_that_needs_more_than_is_free_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "free_bytes", lambda _path: 3_000_000)
    with pytest.raises(UsageError) as refused:
        room.check(tmp_path / "results", room.needed_bytes(13368, 128, 13368))
    assert str(refused.value) == (
        f"--results-dir {tmp_path}/results: 3.0 MB are free there and the run will need 79 MB; "
        "free some, or choose another folder."
    )


def test_a_series_needs_room_for_all_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(room, "free_bytes", lambda _path: 2 * room.BYTES_OF_ANY_RUN)
    words = ["--scenario", "all", "--model", "demo", "--dataset", "sample"]

    assert run.main([*words, "--results-dir", str(tmp_path / "results")]) == 2
    assert "are free there and the 3 runs together will need 5" in capfd.readouterr().err


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB, where this machine lets a test have one."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(place)]
    if (
        shutil.which("mount") is None
        or subprocess.run(command, capture_output=True, check=False).returncode
    ):
        pytest.skip("no file system may be mounted here")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_disk_that_fills_up_leaves_a_run_that_says_so(
    small_disk: Path, prepared: Prepared, capfd: pytest.CaptureFixture[str]
) -> None:
    config = prepared.config.with_values(results_dir=str(small_disk / "results"))
    on_it = dataclasses.replace(prepared, config=config)

    def fill() -> None:
        with contextlib.suppress(OSError), (small_disk / "filler").open("wb", 0) as filler:
            while True:
                filler.write(bytes(4096))

    status, folder = run_with(on_it, fill)

    said = capfd.readouterr().err.splitlines()[-1]
    record = json.loads((folder / "config.json").read_text())["run"]
    assert status == 1
    assert said.startswith(f"run.py: {folder}")
    assert "could not be written: the disk is full, 0.0 MB are free. What was written" in said
    assert said.count("the disk is full") == 1  # told once, with the file that was met first
    assert (record["status"], said.startswith(f"run.py: {record['error']}")) == ("failed", True)
    assert "the disk is full" in (folder / "report.md").read_text()
    assert json.loads((small_disk / "results" / "index.json").read_text())[0]["status"] == "failed"
