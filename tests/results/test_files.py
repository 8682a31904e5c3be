"""Files are replaced in one step and read defensively."""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path

import pytest

from harness.results.files import read_object, write_json, write_text


def test_json_is_replaced_whole_and_nan_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"model": "Ünï", "rate": 1.5, "unknown": None})
    assert path.read_text() == '{\n  "model": "Ünï",\n  "rate": 1.5,\n  "unknown": null\n}\n'
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"rate": float("nan")})
    assert json.loads(path.read_text())["rate"] == 1.5
    assert [entry.name for entry in tmp_path.iterdir()] == ["x.json"]


def test_files_have_the_mode_that_the_umask_gives(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write_text(tmp_path / "x", "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o640


@pytest.mark.parametrize("text", [None, "", "{broken", "[1]", "3"])
def test_whatever_is_no_object_is_read_as_an_empty_one(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "x.json"
    if text is not None:
        path.write_text(text)
    assert read_object(path) == {}


def test_an_object_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_json(tmp_path / "x.json", {"rate": 1.5})
    assert read_object(tmp_path / "x.json") == {"rate": 1.5}


def test_an_error_that_comes_while_writing_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_number: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)

    with pytest.raises(OSError) as refused:
        write_text(tmp_path / "a.json", "{}")

    assert refused.value.filename == str(tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []
