"""README.md and docs/ say what is true: the help, the files, the links, the lines to copy."""

from __future__ import annotations

import dataclasses
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mmlu
import run
from harness.mmlu.config import MmluConfig
from harness.rules import verdict

PROJECT = Path(__file__).resolve().parent.parent
README = (PROJECT / "README.md").read_text(encoding="utf-8")
PAGES = [PROJECT / "README.md", *sorted((PROJECT / "docs").glob("*.md"))]
# Files at the top of a checkout that are not part of the project.
NOT_OURS = {".env", ".git"}
INDENT = 4  # columns of one level of the tree

BUILD = "docker build -t mlperf-llama31:clean ."
RUN_PY = [
    "docker run --gpus all --rm --env-file .env -v $PWD/results:/app/results "
    "mlperf-llama31:clean python run.py --model meta-llama/Llama-3.1-8B-Instruct "
    "--category datacenter --scenario offline --mode accuracy --tensor-parallel-size auto "
    "--max-model-len 4096 --precision bf16",
    "docker run ... python run.py --category datacenter --scenario offline --mode performance "
    "--tensor-parallel-size auto --max-model-len 4096 --precision bf16",
    "python run.py --model meta-llama/Llama-3.1-8B-Instruct --category datacenter "
    "--scenario offline --mode both --tensor-parallel-size auto --max-model-len 4096 "
    "--gpu-memory-utilization 0.92 --precision bf16 --total-sample-count 20 --keep-all 1",
]
MMLU_PY = (
    "python mmlu.py --total-limit 100 --max-model-len 4096 --gpu-memory-utilization 0.92 "
    "--precision bf16 --details 1"
)


def blocks(text: str) -> list[str]:
    """The insides of the fenced code blocks."""
    return re.findall(r"^```\w*\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL)


def block_that_begins(start: str) -> str:
    return next(block for block in blocks(README) if block.startswith(start))


def in_the_tree() -> Iterator[str]:
    """Every path of the tree, folders with a slash at the end."""
    folders: list[str] = []
    for line in block_that_begins("run.py ").splitlines():
        name = line.split("#")[0].strip("│├└─ ")
        depth = line.index(name) // INDENT
        del folders[depth:]
        path = "".join([*folders, name])
        if name.endswith("/"):
            folders.append(name)
        yield path


def test_the_help_is_the_programs() -> None:
    shown = subprocess.run(
        [sys.executable, "run.py", "--help"],
        cwd=PROJECT,
        env={**os.environ, "COLUMNS": "100"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout

    assert block_that_begins("usage: run.py") == shown, (
        "renew the block: COLUMNS=100 python run.py --help"
    )


def test_every_file_of_the_tree_exists() -> None:
    paths = list(in_the_tree())

    assert len(paths) == len(set(paths))
    for path in paths:
        found = list(PROJECT.glob(path))
        assert found, path
        assert all(one.is_dir() == path.endswith("/") for one in found), path


def test_every_file_at_the_top_and_every_part_is_in_the_tree() -> None:
    at_the_top = {path.name for path in PROJECT.iterdir() if path.is_file()} - NOT_OURS
    parts = {f"harness/{path.parent.name}/" for path in (PROJECT / "harness").glob("*/__init__.py")}

    assert at_the_top | parts <= set(in_the_tree())


def test_every_line_of_the_tree_has_a_comment() -> None:
    for line in block_that_begins("run.py ").splitlines():
        assert re.search(r"\S +# \S", line), line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))

    for link in links:
        if not link.startswith("https://"):
            path, _, heading = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not heading or heading in anchors(target), link


def anchors(page: Path) -> set[str]:
    """The names by which a page's headings can be linked."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("line", [BUILD, *RUN_PY])
def test_the_lines_people_copy_stand_there_word_for_word(line: str) -> None:
    assert line in [copied for block in blocks(README) for copied in block.splitlines()]


@pytest.mark.parametrize("line", RUN_PY)
def test_the_lines_people_copy_are_understood(line: str) -> None:
    config = run.parse_flags(shlex.split(line.split("run.py ")[1]))

    assert config.model == "meta-llama/Llama-3.1-8B-Instruct"
    assert (config.category, config.scenario.value) == ("datacenter", "offline")
    assert (config.tensor_parallel_size, config.max_model_len) == (None, 4096)


def test_every_other_run_py_line_is_understood() -> None:
    lines = re.findall(r"python run\.py (--[^`|\n]*)", README)

    assert len(lines) > len(RUN_PY)
    for line in lines:
        if "--help" not in line:
            run.parse_flags(shlex.split(line))


def test_every_mmlu_py_line_is_understood_and_its_own_flags_are_explained() -> None:
    lines = re.findall(r"^python mmlu\.py (--[^`|\n]*)", README, flags=re.MULTILINE)
    assert MMLU_PY in [f"python mmlu.py {line}" for line in lines]
    for line in lines:
        mmlu.parse_flags(shlex.split(line))

    section = README.split("## MMLU\n")[1].split("\n## ")[0]
    own = {field.name for field in dataclasses.fields(MmluConfig)} - {"run"}
    for name in own:
        assert f"--{name.replace('_', '-')}" in section, name


def test_every_rule_of_the_verdict_is_explained() -> None:
    section = README.split("### How a run becomes official\n")[1].split("\n## ")[0]
    named = set(re.findall(r"`([\w-]+)`", section))
    assert {spec.id for spec in verdict.SPECS} - named == set()
