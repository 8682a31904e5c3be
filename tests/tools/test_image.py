"""`make image` and `make smoke-image`: which program builds, what it is told, what is looked at."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tools import image, in_image


class Programs:
    """Stands in for docker, podman, buildah and git; those named work, and say what is given."""

    def __init__(self, *working: str, said: str = "") -> None:
        self.working = working
        self.said = said
        self.commands: list[tuple[str, ...]] = []

    def __call__(self, *command: str) -> subprocess.CompletedProcess[str]:
        self.commands.append(command)
        return subprocess.CompletedProcess(command, command[0] not in self.working, self.said, "")


@pytest.fixture
def all_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")


@pytest.mark.usefixtures("all_are_installed")
def test_the_first_program_that_answers_builds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "_quiet", Programs("podman", "buildah"))

    assert image.choose_builder("") == "podman"
    assert image.choose_builder("buildah") == "buildah"
    with pytest.raises(image.ImageError, match="docker works here: install"):
        image.choose_builder("docker")


@pytest.mark.usefixtures("all_are_installed")
def test_where_none_works_all_three_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "_quiet", Programs())

    with pytest.raises(image.ImageError, match="Neither docker nor podman nor buildah works here"):
        image.choose_builder("")


def test_the_source_is_named_without_a_password(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        subprocess.run(["git", "-C", str(tmp_path), *words], check=True, capture_output=True)

    git("init")
    assert image.origin(tmp_path) == {}

    git("remote", "add", "origin", "https://somebody:secret@host.example/project.git")
    git("-c", "user.name=A", "-c", "user.email=a@b.example", "commit", "--allow-empty", "-m", "One")

    found = image.origin(tmp_path)
    assert found["source"] == "https://host.example/project.git"
    assert len(found["revision"]) == 40


def test_the_copy_to_build_from_holds_what_must_not_travel(tmp_path: Path) -> None:
    image.copy_with_private_files(tmp_path)

    assert (tmp_path / "run.py").is_file()
    assert not (tmp_path / ".venv").exists()
    for name in image.PRIVATE:
        assert (tmp_path / name).read_text() == "HF_TOKEN=private\n"


@pytest.mark.parametrize(
    ("listed", "wrong"),
    [
        (".venv\nharness\nrun.py\nresults:\n", []),
        (".env\n.git\nrun.py\n", [".env and .git are not in it"]),
        ("run.py\n20260101-000000-datacenter-offline\n", ["earlier results are not in it"]),
        ("", ["run.py is in the image"]),
    ],
)
def test_what_travelled_into_the_image_is_said(listed: str, wrong: list[str]) -> None:
    assert [check.what for check in image.of_the_build(listed) if not check.holds] == wrong


def ran(results: Path, verdict: str = "VALID BUT UNOFFICIAL", **said: object) -> list[str]:
    """What is wrong with a run that left a report with this verdict."""
    run = results / "20261129-060000-datacenter-offline"
    run.mkdir(parents=True)
    (run / "report.md").write_text(verdict)
    (results / "latest").symlink_to(run.name)
    printed = "verdict\n" + json.dumps({"exit_status": 0, "uid": 0, "changed": [], **said})
    return [check.what for check in image.of_the_run(printed, results) if not check.holds]


def test_a_program_that_builds_and_cannot_run_is_named() -> None:
    refused = subprocess.CompletedProcess([], 126, "", "WARN one\nError: crun: not permitted\n")

    with pytest.raises(image.ImageError, match=r"podman .* cannot run it \(Error: crun: not per"):
        image.listing(refused, "podman")
    assert image.listing(subprocess.CompletedProcess([], 0, "run.py\n", ""), "podman") == "run.py\n"


def test_a_good_run_passes_every_check(tmp_path: Path) -> None:
    assert ran(tmp_path / "results") == []


def test_what_is_wrong_with_a_run_is_said(tmp_path: Path) -> None:
    assert ran(tmp_path / "a", exit_status=1) == ["the demo's exit status is 0"]
    assert ran(tmp_path / "b", changed=["/app/x"]) == ["no file of the image was changed"]
    assert ran(tmp_path / "c", verdict="FAILED") == ["its report says VALID BUT UNOFFICIAL"]


def test_a_container_that_did_not_start_is_said(tmp_path: Path) -> None:
    assert [str(check) for check in image.of_the_run("", tmp_path)] == [
        "  FAILED  the demo ran: it did not start"
    ]


def test_a_changed_a_new_and_a_removed_file_are_seen(tmp_path: Path) -> None:
    for name in ("same", "changed", "removed"):
        (tmp_path / name).write_text("before")
    before = in_image.snapshot(tmp_path)

    (tmp_path / "changed").write_text("after it")
    (tmp_path / "removed").unlink()
    (tmp_path / "new").write_text("")

    after = in_image.snapshot(tmp_path)
    assert {
        path for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    } == {str(tmp_path / name) for name in ("changed", "removed", "new")}
