"""The history of runs: what index.json and index.md say of each."""

from __future__ import annotations

import json
from pathlib import Path

from harness.results import folder as run_folder
from harness.results.files import write_json
from tests.results.conftest import began, finished, index


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
    write_json(folder.summary_json, summary)
    run_folder.finish(folder, keep_all=True)
    assert "| p90 812.3 ms |" in (tmp_path / "index.md").read_text()


def test_the_index_has_the_headline_that_summary_json_gives(tmp_path: Path) -> None:
    folder = began(tmp_path)
    summary = {
        "headline": {"text": "7,570 tokens/s (59.1 samples/s)"},
        "meta": {"status": "finished"},
        "run": {"performance": {"tokens_per_sec": 7570.4}},
    }
    write_json(folder.summary_json, summary)
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
    write_json(bad.config_json, config)
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
