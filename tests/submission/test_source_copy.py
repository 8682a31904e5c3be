"""What of the source gets into a submission."""

from __future__ import annotations

import subprocess
from pathlib import Path, PurePosixPath

import pytest

from harness.errors import UsageError
from harness.submission import source_copy


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), "-c", "user.name=T", "-c", "user.email=t@example.org"]
    done = subprocess.run([*command, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    for name, text in (
        ("run.py", "first\n"),
        ("README.md", "# R\n"),
        (".gitignore", "*.log\n"),
        ("requirements.txt", "-r requirements/common.txt\n"),
        ("requirements/common.txt", "numpy\n"),
        ("requirements/cpu.lock", "numpy==2.3.5\n"),
        ("harness/__init__.py", ""),
        ("harness/data/shape.json", "{}\n"),
        ("harness/with blank.py", "x\n"),
        ("harness/__pycache__/run.pyc", "x\n"),
        ("results/2026/run.log", "x\n"),
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


ACCEPTED = {
    "run.py",
    "README.md",
    "requirements.txt",
    "requirements/common.txt",
    "requirements/cpu.lock",
    "harness/__init__.py",
    "harness/data/shape.json",
}


def test_git_gives_the_files_of_the_very_commit(project: Path, tmp_path: Path) -> None:
    git(project, "init", "-q")
    git(project, "add", "-A", "--", ":!results")
    git(project, "commit", "-qm", "one")
    commit = git(project, "rev-parse", "HEAD")
    (project / "run.py").write_text("changed since\n")
    (project / "untracked.py").write_text("x\n")

    source_copy.copy_source(project, commit, tmp_path / "code")

    assert files(tmp_path / "code") == ACCEPTED
    assert (tmp_path / "code" / "run.py").read_text() == "first\n"


def test_a_commit_that_is_not_here_is_refused(project: Path, tmp_path: Path) -> None:
    git(project, "init", "-q")

    with pytest.raises(UsageError, match="made by commit abc123"):
        source_copy.copy_source(project, "abc123", tmp_path / "code")


def test_without_git_the_projects_own_files_are_taken(project: Path, tmp_path: Path) -> None:
    source_copy.copy_source(project, None, tmp_path / "code")

    assert files(tmp_path / "code") == ACCEPTED


@pytest.mark.parametrize(
    ("name", "size", "accepted"),
    [
        ("harness/config.py", 100, True),
        (".gitignore", 100, False),
        (".ci/run", 100, False),
        ("a/__pycache__/b.py", 100, False),
        ("a/b.pyc", 100, False),
        ("a/b c.py", 100, False),
        ("a/large.bin", 50 * 2**20, True),
        ("a/larger.bin", 50 * 2**20 + 1, False),
    ],
)
def test_names_and_sizes_that_the_checkers_refuse_stay_out(
    name: str, size: int, accepted: bool
) -> None:
    assert source_copy.is_accepted(PurePosixPath(name), size) is accepted
