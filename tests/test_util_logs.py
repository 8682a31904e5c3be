"""The program util_logs.py: everything in the logs as JSON, or a table of runs."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet
import pytest

from harness.config import RunConfig
from harness.report.run_table import COLUMNS
from harness.results.folder import ACCURACY_LOG
from harness.rounds import V5_1
from tests.builders import DATA, SAMPLES, rouge, write_run
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


RUNS = [str(DATA / name) for name in ("server-valid", "offline-valid", "server-slow")]


def test_a_table_has_a_row_for_each_run() -> None:
    done = command("--format", "csv", *RUNS)
    assert (done.returncode, done.stderr) == (0, "")
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [row["run"] for row in rows] == ["offline-valid", "server-slow", "server-valid"]
    assert [row["valid"] for row in rows] == ["TRUE", "FALSE", "TRUE"]
    assert [row["scenario"] for row in rows] == ["offline", "server", "server"]
    assert float(rows[2]["ttft_p99_ms"]) == 1.222161
    assert rows[0]["ttft_p99_ms"] == ""  # LoadGen asks for no first token in Offline


def test_a_table_holds_the_settings_and_scores_of_a_run_folder(tmp_path: Path) -> None:
    settings = RunConfig(model="demo", dataset="sample", total_sample_count=SAMPLES)
    folder = write_run(tmp_path / "a-run", settings, test="offline-valid", scores=rouge(0.5))
    done = command("--format", "json", str(folder))
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = json.loads(done.stdout)
    assert (row["run"], row["status"], row["model"]) == ("a-run", "finished", "demo")
    assert (row["gpu_name"], row["gpu_count"], row["max_num_seqs"]) == ("NVIDIA H200", 1, 64)
    assert row["accuracy_passed"] is False
    assert row["rouge1"] == pytest.approx(0.5 * 0.387792)
    assert row["verdict"] is None  # there is no summary.json yet


def test_a_table_of_the_same_run_twice_has_it_once(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(DATA / "offline-valid")
    done = command("--format", "csv", RUNS[1], str(tmp_path / "latest"))
    (row,) = csv.DictReader(done.stdout.splitlines())
    assert (row["run"], row["path"]) == ("offline-valid", RUNS[1])


def test_a_parquet_table_keeps_the_types_of_empty_columns(tmp_path: Path) -> None:
    file = tmp_path / "runs.parquet"
    done = command("--format", "parquet", "--output", str(file), *RUNS)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    table = pyarrow.parquet.read_table(file)
    assert table.num_rows == 3
    types = {name: str(table.schema.field(name).type) for name in COLUMNS}
    assert (types["valid"], types["rouge1"], types["gpu_count"]) == ("bool", "double", "int64")
    assert [path.name for path in tmp_path.iterdir()] == ["runs.parquet"]


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_a_damaged_run_costs_a_table_its_row_alone(run_dir: Path) -> None:
    (run_dir / "samples.csv").write_text("torn")
    done = command("--format", "csv", str(run_dir), str(run_dir.parent), *RUNS)
    assert done.returncode == 1
    assert len(list(csv.DictReader(done.stdout.splitlines()))) == 3
    damaged, no_run = done.stderr.splitlines()
    assert "samples.csv does not begin with the line" in damaged
    assert f"{run_dir.parent} holds no LoadGen logs, so it has no row" in no_run


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (RUNS[:2], "2 folders: everything is printed of one folder alone; add --format csv"),
        ([RUNS[0], "--output", "x"], "--output x is for a table; add --format csv."),
        ([RUNS[0], "--format", "parquet"], "say with --output FILE where it goes"),
        ([str(DATA), "--format", "csv"], "none of these folders has a run in it"),
        ([RUNS[0], "--format", "csv", "--output", "no/x"], "no/x cannot be written: No such file"),
    ],
)
def test_a_table_that_cannot_be_made_is_refused_in_a_sentence(
    arguments: list[str], sentence: str
) -> None:
    done = command(*arguments)
    assert done.returncode == (1 if "no/x" in sentence else 2)
    assert done.stdout == ""
    assert sentence in done.stderr.splitlines()[-1]
