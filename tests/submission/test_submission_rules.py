"""The walk over the rules of a tree, which other tests rely on, sees what is broken."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.submission.finished_run import FinishedRun
from tests import submission_rules
from tests.submission.conftest import NAME, WORDS, make


def remove(path: str) -> Callable[[Path], None]:
    return lambda tree: (tree / path).unlink()


def add(path: str) -> Callable[[Path], None]:
    def write(tree: Path) -> None:
        (tree / path).write_text("x")

    return write


def replace(path: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(tree: Path) -> None:
        text = (tree / path).read_text()
        assert old in text
        (tree / path).write_text(text.replace(old, new))

    return edit


RESULTS = f"closed/ACME/results/{NAME}/llama3.1-8b"
BREAKS: tuple[tuple[Callable[[Path], None], str], ...] = (
    (remove("closed/ACME/calibration.md"), "calibration.md is missing"),
    (remove(f"{RESULTS}/Server/accuracy/accuracy.txt"), "four files"),
    (remove(f"closed/ACME/measurements/{NAME}/llama3.1-8b/Offline/user.conf"), "user.conf"),
    (
        remove(f"closed/ACME/compliance/{NAME}/llama3.1-8b/Server/TEST06/verify_accuracy.txt"),
        "TEST06 is missing",
    ),
    (replace(f"closed/ACME/systems/{NAME}.json", '"air"', '""'), "cooling is empty"),
    (
        replace(f"{RESULTS}/Offline/accuracy/accuracy.txt", "'rouge1': '100.0'", "'rouge1': '3'"),
        "rouge1 is 3.0",
    ),
    (
        replace(
            f"{RESULTS}/Server/performance/run_1/mlperf_log_detail.txt",
            '"result_validity", "value": "VALID"',
            '"result_validity", "value": "INVALID"',
        ),
        "result_validity",
    ),
    (lambda tree: shutil.rmtree(tree / RESULTS / "Offline"), "Offline and one of"),
    (lambda tree: (tree / RESULTS / "Server" / "empty").mkdir(), "empty folder"),
    (add(f"{RESULTS}/Server/performance/run_1/notes.txt"), "two logs alone"),
)


@pytest.fixture(scope="module")
def made(
    whole: Callable[[str, str], list[FinishedRun]],
    tmp_path_factory: pytest.TempPathFactory,
    project: Path,
) -> Path:
    folder = tmp_path_factory.mktemp("made")
    (folder / "system.json").write_text(json.dumps(WORDS))
    return make(whole("5.1", "datacenter"), folder, project, folder / "system.json")


@pytest.mark.parametrize(("edit", "words"), BREAKS)
def test_the_walk_over_the_rules_sees_what_is_broken(
    edit: Callable[[Path], None], words: str, made: Path, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    shutil.copytree(made, tree)
    edit(tree)

    assert any(words in problem for problem in submission_rules.problems(tree, "5.1"))
