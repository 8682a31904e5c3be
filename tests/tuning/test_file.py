"""tuning.json damaged in every way: set aside with a sentence, and nothing whole in it lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.tuning import file as tuning_file
from tests.tuning.test_search import CONFIG, SYSTEM, TRIALS, record

VALUES: tuple[object, ...] = (
    None, True, 3, -1e999, float("nan"), "text", [], [3], {}, {"id": 3}, 10**400,
)  # fmt: skip


def used(results: Path) -> None:
    """Everything that reads the file."""
    tuning_file.note_on_ignored(results)
    tuning_file.find(results, CONFIG, SYSTEM)
    tuning_file.read_trials(results, tuning_file.describe(CONFIG, SYSTEM, 2668, "a checksum"))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", "{}", '{"searches": 3}', '{"schema_version": 2, "searches": [3]}']
)
def test_a_damaged_file_is_named_and_set_aside(text: str, tmp_path: Path) -> None:
    path = tmp_path / "tuning.json"
    path.write_text(text)

    assert tuning_file.note_on_ignored(tmp_path) == (
        f"note: {path} is damaged, so its searches are not used, or only the whole ones among "
        "them; --tune MINUTES sets the file aside and searches anew"
    )
    assert record(tmp_path) == f"{path} was damaged; it is now tuning.json.set-aside"
    assert (tmp_path / "tuning.json.set-aside").read_text() == text
    assert tuning_file.note_on_ignored(tmp_path) is None
    assert tuning_file.find(tmp_path, CONFIG, SYSTEM) is not None
    assert record(tmp_path) is None


def test_a_folder_in_the_place_of_the_file_is_set_aside(tmp_path: Path) -> None:
    (tmp_path / "tuning.json").mkdir()

    assert "is damaged" in str(tuning_file.note_on_ignored(tmp_path))
    assert "it is now tuning.json.set-aside" in str(record(tmp_path))
    assert tuning_file.find(tmp_path, CONFIG, SYSTEM) is not None


def test_the_whole_searches_in_a_damaged_file_are_used_and_kept(tmp_path: Path) -> None:
    record(tmp_path)
    path = tmp_path / "tuning.json"
    content = json.loads(path.read_text())
    content["searches"].append({"place": 3})
    path.write_text(json.dumps(content))

    assert tuning_file.find(tmp_path, CONFIG, SYSTEM) is not None
    record(tmp_path, CONFIG.with_values(weights="dummy"))
    assert len(json.loads(path.read_text())["searches"]) == 2


def test_of_two_searches_of_the_same_moment_the_one_written_last_counts(tmp_path: Path) -> None:
    record(tmp_path, CONFIG.with_values(weights="dummy"))
    path = tmp_path / "tuning.json"
    content = json.loads(path.read_text())
    (first,) = content["searches"]
    first["base"] = first["best"]["settings"]  # it found nothing better
    path.write_text(json.dumps(content))
    assert tuning_file.find(tmp_path, CONFIG, SYSTEM) is None

    record(tmp_path)

    assert tuning_file.find(tmp_path, CONFIG, SYSTEM) is not None


def test_no_file_is_nothing_to_speak_of(tmp_path: Path) -> None:
    assert tuning_file.note_on_ignored(tmp_path) is None
    assert record(tmp_path) is None


@pytest.mark.parametrize("value", VALUES, ids=lambda value: repr(value)[:8])
def test_no_value_of_another_kind_is_more_than_a_note(value: object, tmp_path: Path) -> None:
    record(tmp_path, trials=TRIALS)
    path = tmp_path / "tuning.json"
    content = json.loads(path.read_text())
    for keys in paths_in(content):
        damaged: Any = json.loads(json.dumps(content))
        place = damaged
        for key in keys[:-1]:
            place = place[key]
        place[keys[-1]] = value
        path.write_text(json.dumps(damaged))
        used(tmp_path)
        record(tmp_path)
        assert tuning_file.find(tmp_path, CONFIG, SYSTEM) is not None


def paths_in(content: Any) -> list[tuple[Any, ...]]:
    """The path of every key and place in a list, however deep, but what is for people alone."""
    paths: list[tuple[Any, ...]] = []
    inside = content.items() if isinstance(content, dict) else enumerate(content)
    for key, value in inside:
        paths.append((key,))
        if isinstance(value, dict | list) and key != "system":
            paths += [(key, *rest) for rest in paths_in(value)]
    return paths
