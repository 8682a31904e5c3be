"""The history of runs: what index.json and index.md say of each."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.measure import last_offline
from harness.results import folder as run_folder
from harness.results.files import read_object, write_json
from tests.results.conftest import began, finished, index, measured


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
        "quantization": None,
        "sample_count": 20,
        "full_size": False,
        "headline": "7,570 tokens/s",
        "tokens_per_sec": 7570.4,
        "samples_per_sec": 59.1,
        "verdict": None,
        "valid": True,
        "accuracy_passed": False,
        "status": "finished",
        "error": None,
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


@pytest.mark.usefixtures("korean")
def test_the_index_for_people_is_in_korean_and_that_for_programs_is_not(tmp_path: Path) -> None:
    folder = finished(tmp_path)
    ended = began(tmp_path, 5)
    ended.release()
    run_folder.finish(folder, keep_all=True)
    lines = (tmp_path / "index.md").read_text().splitlines()
    assert lines[0] == "# 실행 목록(최신순)"
    assert lines[2].startswith("| 실행 | 시나리오 | 모드 |")
    assert any("게이트 미달" in line for line in lines)
    assert any("| 실패 (프로세스가 아무 메시지 없이 종료됨) |" in line for line in lines)
    assert [entry["error"] for entry in index(tmp_path)] == [
        None, "its process ended without a word",
    ]  # fmt: skip


def test_the_index_names_weights_that_came_quantised(tmp_path: Path) -> None:
    folder = measured(began(tmp_path))
    model = {"quantization": {"label": "int4 weights by awq"}}
    write_json(folder.config_json, read_object(folder.config_json) | {"model": model})

    run_folder.finish(folder, keep_all=True)

    assert index(tmp_path)[0]["quantization"] == "int4 weights by awq"
    assert "| int4 weights by awq, bf16 |" in (tmp_path / "index.md").read_text()


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
    assert (index(tmp_path)[1]["status"], index(tmp_path)[1]["error"]) == (
        "failed",
        "its process ended without a word",
    )
    assert "| failed (its process ended without a word) |" in (tmp_path / "index.md").read_text()
    record = json.loads(dead.config_json.read_text())
    assert record["run"]["status"] == "running", "only the run itself writes its record"
    assert dead.status(record) == ("failed", "its process ended without a word")
    assert not (dead.path / ".reserve").exists()


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


@pytest.mark.parametrize("text", ["{}", "3", "null", '[1, {"run": 3}]', '{"runs": []}', "[{", ""])
def test_an_index_of_another_shape_is_made_anew(tmp_path: Path, text: str) -> None:
    finished(tmp_path, 0)
    (tmp_path / "index.json").write_text(text)
    finished(tmp_path, 5)
    assert len(index(tmp_path)) == 2


@pytest.mark.parametrize("name", ["index.json", "index.md"])
def test_a_folder_in_the_place_of_the_index_is_set_aside_with_a_word(
    tmp_path: Path, name: str
) -> None:
    for number in ("", "-2"):
        (tmp_path / name).unlink(missing_ok=True)
        (tmp_path / name).mkdir()
        (tmp_path / name / "precious").write_text("x")
        folder = measured(began(tmp_path))
        assert run_folder.finish(folder, keep_all=True) == (
            f"{tmp_path}/{name} was a folder; it is now {name}.set-aside{number}.",
        )
        assert (tmp_path / f"{name}.set-aside{number}" / "precious").read_text() == "x"
    assert len(index(tmp_path)) == 2


VALUES: tuple[object, ...] = (
    None,
    True,
    3,
    1e999,
    -1e999,
    float("nan"),
    "text",
    [],
    [3],
    {},
    {"id": 3},
    10**400,
)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:8])
def test_a_damaged_run_costs_no_other_its_place_in_the_index(tmp_path: Path, value: object) -> None:
    """Every value of a run's two files in turn becomes one of another kind."""
    for number, file in enumerate(("config.json", "summary.json")):
        whole = finished(tmp_path, number)
        whole_record = json.loads(whole.config_json.read_text())
        path = whole.path / file
        content = json.loads(path.read_text())
        for keys in paths_in(content):
            damaged = json.loads(json.dumps(content))
            place = damaged
            for key in keys[:-1]:
                place = place[key]
            place[keys[-1]] = value
            path.write_text(json.dumps(damaged))
            run_folder._write_index(tmp_path)
            assert json.loads((tmp_path / "index.json").read_text())
            last_offline.find(tmp_path, whole_record)
        path.write_text(json.dumps(content))


def paths_in(content: dict[str, Any]) -> list[tuple[str, ...]]:
    """The path of every key, however deep."""
    paths: list[tuple[str, ...]] = []
    for key, value in content.items():
        paths.append((key,))
        if isinstance(value, dict):
            paths += [(key, *rest) for rest in paths_in(value)]
    return paths
