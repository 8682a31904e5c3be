"""Run folders that an earlier version of this program made, as today's programs read them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import report
import util_logs
from tests.builders import unpack


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, str, str], Path]:
    """Of 2026-11-24, by version, category and scenario; test_tree makes submissions of them."""
    return unpack(tmp_path_factory.mktemp("earlier"))


def test_an_earlier_folder_gets_its_report_anew(
    earlier: dict[tuple[str, str, str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = earlier["5.1", "datacenter", "server"]
    for made in ("summary.json", "report.md"):
        (folder / made).unlink(missing_ok=True)

    assert report.main([str(folder)]) == 0

    summary = json.loads((folder / "summary.json").read_text())
    assert summary["verdict"]["valid"] is True
    assert "queries/s" in capsys.readouterr().out
    assert (folder / "report.md").exists()
    # Of before there were telemetry.csv and answers.jsonl.
    page = (folder / "report.html").read_text()
    assert summary["headline"]["text"] in page and "What the machine did" not in page


def test_an_earlier_folder_is_read_as_json(
    earlier: dict[tuple[str, str, str], Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert util_logs.main([str(earlier["5.1", "edge", "offline"])]) == 0

    printed = json.loads(capsys.readouterr().out)
    assert printed["performance"]["valid"] is True
    assert printed["accuracy"]["answers"] == 5000
