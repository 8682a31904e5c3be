"""The pages say what is true: the help, the flags, the rules, the files, the links."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import run_flags
from harness.flags import Parser
from harness.mmlu.config import MmluConfig
from harness.rules import verdict
from tests import pages

README_BYTES = 14_000
FIRST_SCREEN_LINES = 40
DESIGN = pages.PROJECT / "docs" / "design.md"
# Files at the top of a checkout that are not part of the project.
NOT_OURS = {".env", ".git"}
INDENT = 4  # columns of one level of a tree


def in_the_trees() -> Iterator[str]:
    """Every path of the trees of README.md and docs/design.md, folders with a slash at the end."""
    for tree in trees():
        folders: list[str] = []
        for line in tree.splitlines():
            name = line.split("#")[0].strip("│├└─ ")
            depth = line.index(name) // INDENT
            del folders[depth:]
            path = "".join([*folders, name])
            if name.endswith("/"):
                folders.append(name)
            yield path


def trees() -> list[str]:
    return [
        pages.block_that_begins("run.py ", pages.README),
        pages.block_that_begins("tests/ ", DESIGN),
    ]


def test_the_help_is_the_programs() -> None:
    shown = subprocess.run(
        [sys.executable, "run.py", "--help"],
        cwd=pages.PROJECT,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert pages.block_that_begins("usage: run.py", pages.FLAGS) == shown, (
        "renew the block: COLUMNS=100 python run.py --help"
    )


@pytest.mark.parametrize("page", [page for page in pages.PAGES if page.name == "flags.md"])
def test_every_flag_of_a_run_is_explained_beside_the_help(page: Path) -> None:
    parser = Parser("")
    run_flags.add_run_flags(parser)
    flags = set(re.findall(r"--[a-z-]+", parser.format_usage()))
    rows = re.findall(r"^\| (`--.*?) \| ", pages.read(page), flags=re.MULTILINE)

    explained = set(re.findall(r"--[a-z-]+", " ".join(rows)))

    assert flags - explained == set()


def test_every_file_of_the_trees_exists_and_none_is_named_twice() -> None:
    paths = list(in_the_trees())

    assert len(paths) == len(set(paths))
    for path in paths:
        found = list(pages.PROJECT.glob(path))
        assert found, path
        assert all(one.is_dir() == path.endswith("/") for one in found), path


def test_every_file_at_the_top_and_every_part_is_in_a_tree() -> None:
    at_the_top = {path.name for path in pages.PROJECT.iterdir() if path.is_file()} - NOT_OURS
    inits = (pages.PROJECT / "harness").glob("*/__init__.py")
    parts = {f"harness/{path.parent.name}/" for path in inits}

    assert at_the_top | parts <= set(in_the_trees())


def test_every_line_of_the_trees_has_a_comment() -> None:
    for line in "".join(trees()).splitlines():
        assert re.search(r"\S +# \S", line), line


def test_every_benchmark_is_listed() -> None:
    files = (pages.PROJECT / "benchmarks").glob("[!_]*.py")
    programs = {path.name for path in files if '__name__ == "__main__"' in path.read_text()}
    page = pages.read(pages.PROJECT / "docs" / "benchmarks.md")

    assert programs == set(re.findall(r"`python benchmarks/(\w+\.py)", page))


@pytest.mark.parametrize("page", pages.PAGES, ids=pages.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for link in pages.links(pages.read(page)):
        if not link.startswith("https://"):
            path, _, heading = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not heading or heading in pages.anchors(target), link


def test_every_page_is_linked_from_the_readme() -> None:
    linked = {link.partition("#")[0] for link in pages.links(pages.read(pages.README))}

    assert {pages.name(page) for page in pages.ENGLISH} - linked == {"README.md"}


@pytest.mark.parametrize("page", pages.PAGES, ids=pages.name)
def test_every_page_opens_with_its_title_and_a_sentence(page: Path) -> None:
    title, *rest = [part for part in pages.read(page).split("\n\n") if not is_navigation(part)]

    assert re.fullmatch(r"# .+", title)
    assert re.match(r"[`\w]", rest[0]), "a table, a block or a heading before any sentence"


def is_navigation(part: str) -> bool:
    """Whether a paragraph is nothing but links to the other language and to the README."""
    return bool(re.fullmatch(r"(?:\[?\w+(?:\]\([^)]+\))?(?: \| )?)+", part))


def test_the_readme_can_be_read_in_one_sitting() -> None:
    assert len(pages.read(pages.README).encode()) <= README_BYTES


@pytest.mark.parametrize("page", [page for page in pages.PAGES if page.parent == pages.PROJECT])
def test_the_two_commands_of_the_set_up_stand_in_the_first_screen(page: Path) -> None:
    first_screen = pages.read(page).splitlines()[:FIRST_SCREEN_LINES]

    assert {"make smoke", "make test"} <= set(first_screen)


@pytest.mark.parametrize("page", [page for page in pages.PAGES if page.name == "mmlu.md"])
def test_the_flags_of_mmlu_py_are_explained(page: Path) -> None:
    own = {field.name for field in dataclasses.fields(MmluConfig)} - {"run"}

    assert own
    for name in own:
        assert f"--{name.replace('_', '-')}" in pages.read(page), name


@pytest.mark.parametrize("page", [page for page in pages.PAGES if page.name == "official.md"])
def test_every_rule_of_the_verdict_is_explained(page: Path) -> None:
    rows = [line for line in pages.read(page).splitlines() if line.startswith("| `")]
    named = set(re.findall(r"`([\w-]+)`", "\n".join(rows)))

    assert {spec.id for spec in verdict.SPECS} - named == set()
