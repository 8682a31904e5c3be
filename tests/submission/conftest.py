"""Finished runs of full official length, made of LoadGen's logs, and submissions of them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.submission import tree as submission
from harness.submission.finished_run import FinishedRun, read_run
from harness.submission.tree import Submission
from tests.builders import unpack

Runs = dict[tuple[str, str, str], Path]
SCENARIOS = {
    "datacenter": ("offline", "server", "interactive"),
    "edge": ("offline", "singlestream"),
}
WORDS = {
    "status": "available",
    "system_name": "Engine double (1 x)",
    "host_processors_per_node": "2",
    "host_processor_core_count": "32",
    "host_memory_configuration": "16 x 16 GB DDR5",
    "host_storage_capacity": "2 TB",
    "host_storage_type": "NVMe SSD",
    "host_networking": "100 GbE",
    "host_networking_topology": "N/A",
    "host_network_card_count": "1",
    "accelerator_host_interconnect": "PCIe Gen5 x16",
    "accelerator_memory_configuration": "HBM3e",
    "cooling": "air",
}
NAME = "Engine_double_1_x"


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Run folders of official length."""
    return unpack(tmp_path_factory.mktemp("official"))


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small project without git, in place of this one."""
    root = tmp_path_factory.mktemp("project")
    (root / "run.py").write_text("pass\n")
    (root / "README.md").write_text("# A project\n")
    (root / "harness").mkdir()
    (root / "harness" / "__init__.py").write_text("")
    return root


@pytest.fixture
def system_json(tmp_path: Path) -> Path:
    """The submitter's own words."""
    path = tmp_path / "system.json"
    path.write_text(json.dumps(WORDS))
    return path


@pytest.fixture(scope="session")
def whole(runs: Runs) -> Callable[[str, str], list[FinishedRun]]:
    """Every run of a category, read once."""
    read: dict[tuple[str, str], list[FinishedRun]] = {}

    def of(version: str, category: str) -> list[FinishedRun]:
        key = version, category
        if key not in read:
            read[key] = [read_run(runs[version, category, name]) for name in SCENARIOS[category]]
        return list(read[key])

    return of


@pytest.fixture
def good(whole: Callable[[str, str], list[FinishedRun]]) -> list[FinishedRun]:
    """The runs of a whole submission."""
    return whole("5.1", "datacenter")


def make(
    runs: list[FinishedRun], folder: Path, project: Path, system_json: Path | None, **asked: Any
) -> Path:
    """The tree of these runs."""
    out = folder / "out"
    values = {"submitter": "ACME", "division": "closed", "system_json": system_json} | asked
    submission.make_tree(Submission(out=out, **values), runs, project)
    return out


def changed(run: FinishedRun, *path: str, value: Any) -> FinishedRun:
    """The same run with one value of its config.json changed."""
    config = json.loads(json.dumps(run.evidence.config))
    place = config
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    return dataclasses.replace(run, evidence=dataclasses.replace(run.evidence, config=config))
