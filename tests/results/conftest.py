"""Runs at every stage of their lives, without an engine."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from harness.results import folder as run_folder
from harness.results.files import write_json
from harness.results.folder import RunFolder

NOON = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


def began(results: Path, minute: int = 0) -> RunFolder:
    """A run that has described itself, as run.py does before the engine starts."""
    now = NOON + timedelta(minutes=minute)
    folder = RunFolder.create(results, "datacenter", "offline", now)
    write_json(
        folder.config_json,
        {
            "schema_version": 1,
            "run": {"status": "running"},
            "flags": {"scenario": "offline", "category": "datacenter", "model": "demo"},
            "resolved": {"sample_count": 20, "full_size": False},
            "departures": [
                {"id": "model", "sentence": "x"},
                {"id": "sample_count", "sentence": "y"},
            ],
        },
    )
    return folder


def measured(folder: RunFolder, minute: int = 0, **meta: object) -> RunFolder:
    """The same with results."""
    finished = (NOON + timedelta(minutes=minute, seconds=30)).isoformat()
    summary: dict[str, Any] = {
        "schema_version": 1,
        "meta": {
            "category": "datacenter",
            "scenario": "offline",
            "mode": "both",
            "model": "demo",
            "precision": "bf16",
            "dataset": "sample",
            "finished": finished,
            "status": "finished",
            **meta,
        },
        "run": {
            "performance": {"tokens_per_sec": 7570.4, "samples_per_sec": 59.1, "valid": True},
            "accuracy": {"passed": False, "rouge": {"rougeLsum": 0.35}},
        },
    }
    write_json(folder.summary_json, summary)
    return folder


def finished(results: Path, minute: int = 0) -> RunFolder:
    """A run that came to its end."""
    folder = measured(began(results, minute), minute)
    assert run_folder.finish(folder, keep_all=True) == ()
    return folder


def index(results: Path) -> list[dict[str, Any]]:
    """index.json."""
    value: list[dict[str, Any]] = json.loads((results / "index.json").read_text())
    return value


def runs(results: Path) -> list[str]:
    """The names of the run folders that are there."""
    return sorted(
        path.name for path in results.iterdir() if path.is_dir() and path.name != "latest"
    )
