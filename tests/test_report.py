"""The program report.py."""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from pathlib import Path

import pytest

import report
from harness.config import RunConfig
from tests.builders import SAMPLES, rouge, text_of, write_run
from tests.conftest import PROJECT


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run folder."""
    settings = RunConfig(model="demo", dataset="sample", total_sample_count=SAMPLES)
    name = "20261123-141500-datacenter-offline"
    return write_run(tmp_path / name, settings, test="offline-valid", scores=rouge(1.0))


def test_program_prints_the_path_and_the_headline(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main([str(folder)]) == 0
    path, page, headline = capsys.readouterr().out.splitlines()
    assert (path, page) == (f"{folder}/report.md", f"{folder}/report.html")
    assert " tokens/s (" in headline


def test_program_names_a_folder_that_is_none_of_ours_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for folder in (tmp_path, tmp_path / "absent"):
        assert report.main([str(folder)]) == 2
        captured = capsys.readouterr()
        assert captured.err.count("\n") == 1
        assert str(folder) in captured.err and "results/latest" in captured.err
    assert list(tmp_path.iterdir()) == []


def test_program_ends_with_1_when_a_log_is_damaged(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "Accuracy" / "rouge.json").write_text("{}")
    assert report.main([str(folder)]) == 1
    assert "rouge.json is damaged" in capsys.readouterr().err
    (folder / "config.json").write_text("[")
    assert report.main([str(folder)]) == 1
    assert "config.json cannot be read" in capsys.readouterr().err


def test_report_is_written_without_matplotlib_and_says_so(folder: Path) -> None:
    absent = ("vllm", "torch", "mlperf_loadgen", "nltk", "rouge_score", "transformers", "numpy")
    code = (
        "import sys\n"
        f"for name in {(*absent, 'matplotlib')!r}: sys.modules[name] = None\n"
        "import report\n"
        "sys.exit(report.main(sys.argv[1:]))\n"
    )
    subprocess.run([sys.executable, "-c", code, str(folder)], check=True, cwd=PROJECT)
    assert "pip install matplotlib" in text_of(folder)
    record = json.loads((folder / "summary.json").read_text())
    assert set(record["plots"].values()) == {None}


def test_a_run_whose_process_died_is_called_failed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["run"].update(status="running", error=None)
    path.write_text(json.dumps(config))
    (folder / ".running").touch()  # the lock of a process that is gone is free

    assert report.main([str(folder)]) == 0

    record = json.loads((folder / "summary.json").read_text())
    assert record["meta"]["status"] == "failed"
    assert "its process ended without a word" in text_of(folder)
    assert capsys.readouterr().out.splitlines()[-1] == "No result: the run failed"


def test_a_run_still_at_work_is_not_called_failed(folder: Path) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["run"].update(status="running", error=None)
    path.write_text(json.dumps(config))
    with (folder / ".running").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert report.main([str(folder)]) == 0
    assert json.loads((folder / "summary.json").read_text())["meta"]["status"] == "running"
