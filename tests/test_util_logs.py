"""The program util_logs.py: everything in the logs as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness.results.folder import ACCURACY_LOG
from harness.rounds import V5_1
from tests.builders import DATA
from tests.conftest import PROJECT


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, str(PROJECT / "util_logs.py"), *arguments]
    return subprocess.run(program, capture_output=True, text=True, check=False)


def test_the_command_prints_everything_as_json() -> None:
    done = command(str(DATA / "offline-valid"))
    assert (done.returncode, done.stderr) == (0, "")
    printed = json.loads(done.stdout)
    assert printed["performance"]["valid"] is True
    assert printed["performance"]["loadgen"]["qsl_rng_seed"] == V5_1.seeds.qsl_rng_seed
    assert printed["accuracy"]["answers"] == 20
    assert printed["accuracy"]["tokens"] == {"total": 100, "min": 3, "mean": 5.0, "max": 7}


def test_the_command_helps() -> None:
    done = command("--help")
    assert done.returncode == 0
    assert "python util_logs.py results/latest" in done.stdout


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("nowhere", "nowhere: no such folder; give a run folder, for example results/latest."),
        (".", "holds no LoadGen logs: neither Performance/mlperf_log_detail.txt nor Accuracy/"),
    ],
)
def test_a_wrong_folder_is_one_sentence_and_status_2(folder: str, sentence: str) -> None:
    done = command(folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_a_damaged_log_is_one_sentence_and_status_1(run_dir: Path) -> None:
    (run_dir / "Accuracy" / ACCURACY_LOG).write_text("[\n")
    done = command(str(run_dir))
    assert (done.returncode, done.stdout) == (1, "")
    assert "breaks off after 0 answers" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_command_needs_neither_vllm_nor_loadgen_nor_torch() -> None:
    code = (
        "import sys, util_logs; "
        "print([m for m in ('torch', 'vllm', 'mlperf_loadgen', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_the_reasons_of_an_invalid_run_stand_beside_its_figures() -> None:
    printed = json.loads(command(str(DATA / "server-slow")).stdout)["performance"]
    assert list(printed)[:4] == ["scenario", "valid", "invalid_reasons", "duration_s"]
    assert printed["valid"] is False
    assert len(printed["invalid_reasons"]) == 1
