"""A finished accuracy log scored again by report.py --rescore."""

from __future__ import annotations

import fcntl
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import report
from harness.config import RunConfig
from harness.inputs import articles
from harness.inputs.demo_model import ensure_demo_model
from harness.measure import lifecycle, preparation, runs
from harness.measure.runs import Series
from harness.results.folder import ACCURACY_LOG, TEST06_RESULT, TEST06_VERIFIED, RunFolder
from harness.terminal import Terminal
from tests.builders import config_json, write_evaluation
from tests.conftest import PROJECT
from tests.fakes import PlannedEngine

SAMPLES = 4


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model's folder and a file of articles, as a user has them."""
    folder = tmp_path_factory.mktemp("inputs")
    shutil.copytree(ensure_demo_model(), folder / "model")
    entries = articles.read_entries(articles.SAMPLE_ARTICLES)[:SAMPLES]
    (folder / "articles.json").write_text(json.dumps(entries))
    return folder


def carry_out(inputs: Path, results: Path, **flags: Any) -> RunFolder:
    """A run on an engine double, through real LoadGen."""
    config = RunConfig(
        model=str(inputs / "model"),
        dataset_path=str(inputs / "articles.json"),
        compliance=True,
        results_dir=str(results),
        **flags,
    )
    prepared = preparation.prepare(config, lambda _text: None)
    series = Series([prepared], ["python", "run.py"], Terminal(), PlannedEngine)  # type: ignore[arg-type]
    series.execute()
    return series.outcomes[0].folder


@pytest.fixture(scope="module")
def whole(inputs: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run that finished. Read it only."""
    return carry_out(inputs, tmp_path_factory.mktemp("results"))


@pytest.fixture
def folder(whole: RunFolder, tmp_path: Path) -> RunFolder:
    """A copy of it."""
    return RunFolder(Path(shutil.copytree(whole.path, tmp_path / whole.name)))


def config_of(folder: RunFolder) -> Any:
    return json.loads(folder.config_json.read_text())


def summary_of(folder: RunFolder) -> Any:
    return json.loads(folder.summary_json.read_text())


def rescored(folder: RunFolder) -> int:
    return report.main([str(folder.path), "--rescore"])


def test_what_was_deleted_is_written_again_to_the_byte(whole: RunFolder, folder: RunFolder) -> None:
    verified, result = folder.test06 / TEST06_VERIFIED, folder.test06 / TEST06_RESULT
    lost = (folder.rouge_json, folder.answers_jsonl, verified, result, folder.report_md)
    for path in lost:
        path.unlink()

    assert rescored(folder) == 0

    for path in lost[:-1]:
        assert path.read_bytes() == (whole.path / path.relative_to(folder.path)).read_bytes()
    assert folder.report_md.is_file()
    assert summary_of(folder)["run"]["accuracy"] == summary_of(whole)["run"]["accuracy"]
    assert config_of(folder)["run"].pop("scored_again")


def test_other_answers_get_another_score_and_the_scores_are_theirs(
    whole: RunFolder, folder: RunFolder
) -> None:
    log = folder.accuracy / ACCURACY_LOG
    entries = json.loads(log.read_text())
    for entry in entries[:2]:
        entry.update(data=entries[2]["data"], token_count=entries[2]["token_count"])
    log.write_text(json.dumps(entries))
    assert report.main([str(folder.path)]) == 0
    assert rule(folder, "scored-log")["outcome"] == "failed"
    assert "report.py --rescore" in rule(folder, "scored-log")["sentence"]

    assert rescored(folder) == 0

    before, after = (json.loads(f.rouge_json.read_text()) for f in (whole, folder))
    assert after["rougeLsum"] != before["rougeLsum"]
    assert after["accuracy_log_sha256"] != before["accuracy_log_sha256"]
    assert rule(folder, "scored-log")["outcome"] == "passed"
    lines = [json.loads(line) for line in folder.answers_jsonl.read_text().splitlines()]
    assert lines[entries[0]["qsl_idx"]]["text"] == lines[entries[2]["qsl_idx"]]["text"]


def rule(folder: RunFolder, name: str) -> Any:
    (found,) = (r for r in summary_of(folder)["verdict"]["rules"] if r["id"] == name)
    return found


@pytest.fixture
def crash(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Scoring ends with an error that nobody foresaw."""

    def score(*_arguments: object) -> None:
        raise RuntimeError("out of luck")

    monkeypatch.setattr(runs, "score", score)
    monkeypatch.setattr(lifecycle, "end_now", lambda _status: None)
    yield


@pytest.mark.usefixtures("crash")
def test_a_run_that_broke_off_while_scoring_is_finished_by_it(
    inputs: Path, whole: RunFolder, tmp_path: Path
) -> None:
    folder = carry_out(inputs, tmp_path)
    assert summary_of(folder)["meta"]["status"] == "failed"
    assert not folder.rouge_json.exists()

    assert rescored(folder) == 0

    run = config_of(folder)["run"]
    assert (run["status"], run["error"], run["scoring"]) == ("finished", None, "done")
    assert run["scoring_error"] == "unexpected RuntimeError: out of luck"
    summary = summary_of(folder)
    assert summary["meta"]["status"] == "finished"
    assert summary["run"]["accuracy"]["rouge"] == summary_of(whole)["run"]["accuracy"]["rouge"]
    assert summary["verdict"]["result"] == summary_of(whole)["verdict"]["result"]
    assert rule(folder, "same-code")["outcome"] == "passed"


def test_a_run_that_broke_off_before_stays_a_failed_one(folder: RunFolder) -> None:
    config = config_of(folder)
    config["run"].update(status="failed", error="The engine died.")
    del config["run"]["scoring"]
    folder.config_json.write_text(json.dumps(config))
    folder.rouge_json.unlink()

    assert rescored(folder) == 0

    assert folder.rouge_json.is_file()
    assert summary_of(folder)["meta"]["status"] == "failed"
    assert summary_of(folder)["meta"]["error"] == "The engine died."


def without_a_log(folder: RunFolder) -> None:
    (folder.accuracy / ACCURACY_LOG).unlink()


def with_another_data_set(folder: RunFolder) -> None:
    config = config_of(folder)
    config["dataset"]["checksum_sha256"] = "0" * 64
    folder.config_json.write_text(json.dumps(config))


def without_the_data_set(folder: RunFolder) -> None:
    config = config_of(folder)
    config["flags"]["dataset_path"] = str(folder.path / "gone.json")
    folder.config_json.write_text(json.dumps(config))


def without_the_tokenizer(folder: RunFolder) -> None:
    config = config_of(folder)
    config["model"]["path"] = str(folder.path / "gone")
    folder.config_json.write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (without_a_log, "--rescore: there is no accuracy log to score"),
        (with_another_data_set, "is not that of the run"),
        (without_the_data_set, "The data set of the run cannot be read again."),
        (without_the_tokenizer, "The tokenizer of the run is gone"),
    ],
)
def test_what_cannot_be_scored_again_is_a_sentence_and_nothing_is_changed(
    damage: Callable[[RunFolder], None],
    words: str,
    folder: RunFolder,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(folder)
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}

    assert rescored(folder) == 2

    said = capsys.readouterr().err
    assert words in said and said.startswith("report.py: --rescore: ")
    assert said.count("\n") == 1
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before


def test_a_torn_accuracy_log_is_not_scored(
    folder: RunFolder, capsys: pytest.CaptureFixture[str]
) -> None:
    log = folder.accuracy / ACCURACY_LOG
    log.write_text(log.read_text()[:-40])

    assert rescored(folder) == 1
    assert "breaks off" in capsys.readouterr().err


def test_a_run_at_work_is_left_alone(folder: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    config = config_of(folder)
    config["run"].update(status="running")
    folder.config_json.write_text(json.dumps(config))
    with (folder.path / ".running").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert rescored(folder) == 2
    assert "still at work" in capsys.readouterr().err


def test_a_run_without_an_accuracy_test_is_told_of_the_mode(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = RunConfig(model="demo", dataset="sample", mode="performance", total_sample_count=4)
    (tmp_path / "config.json").write_text(json.dumps(config_json(settings)))

    assert report.main([str(tmp_path), "--rescore"]) == 2
    assert "run it with --mode both" in capsys.readouterr().err


def test_an_evaluation_is_not_scored_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_evaluation(tmp_path / "20261123-141500-mmlu")

    assert report.main([str(folder), "--rescore"]) == 2
    assert "--rescore is for MLPerf runs" in capsys.readouterr().err


def test_scoring_again_needs_neither_vllm_nor_loadgen_nor_torch(folder: RunFolder) -> None:
    code = (
        "import sys\n"
        "for name in ('vllm', 'torch', 'mlperf_loadgen'): sys.modules[name] = None\n"
        "import report\n"
        "sys.exit(report.main(sys.argv[1:]))\n"
    )
    folder.rouge_json.unlink()

    subprocess.run(
        [sys.executable, "-c", code, str(folder.path), "--rescore"], check=True, cwd=PROJECT
    )

    assert folder.rouge_json.is_file()
