"""Every command of the pages is one that the programs and make understand."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

import run
from harness import config as settings
from harness.flags import ALL_SCENARIOS
from tests import pages

MODEL = "meta-llama/Llama-3.1-8B-Instruct"
BUILD = "docker build -t mlperf-llama31:clean ."
IN_DOCKER = "docker run ... python run.py "
OFFICIAL_SETTINGS = "--tensor-parallel-size auto --max-model-len 4096 --precision bf16"
RUN_PY = [
    "docker run --gpus all --rm --env-file .env -v $PWD/results:/app/results "
    f"mlperf-llama31:clean python run.py --model {MODEL} "
    f"--category datacenter --scenario offline --mode accuracy {OFFICIAL_SETTINGS}",
    f"{IN_DOCKER}--category datacenter --scenario offline --mode performance {OFFICIAL_SETTINGS}",
    f"{IN_DOCKER}--category datacenter --scenario server --mode performance {OFFICIAL_SETTINGS}",
    f"{IN_DOCKER}--category edge --scenario singlestream --mode performance {OFFICIAL_SETTINGS}",
    f"{IN_DOCKER}--category datacenter --scenario offline --mode both {OFFICIAL_SETTINGS}",
    f"python run.py --model {MODEL} --category datacenter "
    "--scenario offline --mode both --tensor-parallel-size auto --max-model-len 4096 "
    "--gpu-memory-utilization 0.92 --precision bf16 --total-sample-count 20 --keep-all 1",
]
MMLU_PY = (
    "python mmlu.py --total-limit 100 --max-model-len 4096 --gpu-memory-utilization 0.92 "
    "--precision bf16 --details 1"
)
CLEAN_CLONE = "git clone . ../mlperf-clean && cd ../mlperf-clean && make smoke"
READMES = [page for page in pages.PAGES if page.parent == pages.PROJECT]


@pytest.mark.parametrize("page", READMES, ids=pages.name)
@pytest.mark.parametrize("line", [BUILD, *RUN_PY, MMLU_PY, CLEAN_CLONE])
def test_the_lines_people_copy_stand_there_word_for_word(line: str, page: Path) -> None:
    copied = [line for block in pages.blocks(pages.read(page)) for line in block.splitlines()]

    assert line in copied


@pytest.mark.parametrize("line", RUN_PY)
def test_the_lines_people_copy_are_understood(line: str) -> None:
    config = run.parse_flags(shlex.split(line.split("run.py ")[1]))
    settings.validate(config)

    assert config.model == MODEL
    assert f"--category {config.category} --scenario {config.scenario.value}" in line
    assert (config.tensor_parallel_size, config.max_model_len) == (None, 4096)


@pytest.mark.parametrize("page", pages.PAGES, ids=pages.name)
def test_every_program_understands_its_lines(page: Path, parse: Callable[[str], None]) -> None:
    for line in pages.commands(pages.read(page)):
        if "tools/" in line:  # these take no flags
            assert (pages.PROJECT / line).is_file(), line
        elif line.endswith("--help"):
            with pytest.raises(SystemExit, match="0"):
                parse(line)
        else:
            with pytest.raises(pages.Understood):
                parse(line)


@pytest.mark.parametrize("page", pages.PAGES, ids=pages.name)
def test_no_line_contradicts_itself(page: Path) -> None:
    for line in pages.commands(pages.read(page)):
        program, *arguments = shlex.split(line)
        a_run = program == "run.py" and arguments[:1] and arguments[0].startswith("--")
        if a_run and not {"--help", "--submission", ALL_SCENARIOS} & set(arguments):
            settings.validate(run.parse_flags(arguments))


def test_the_pages_hold_commands_of_every_program() -> None:
    lines = [line for page in pages.ENGLISH for line in pages.commands(pages.read(page))]

    programs = {line.split()[0] for line in lines}

    assert {"run.py", "mmlu.py", "report.py", "util_logs.py"} <= programs


def test_make_understands_its_lines() -> None:
    lines = {line for page in pages.PAGES for line in pages.make_commands(pages.read(page))}
    makefile = pages.read(pages.PROJECT / "Makefile")
    targets = re.findall(r"^\.PHONY: (.+)$", makefile, flags=re.MULTILINE)[0].split()

    assert {"smoke", "test", "venv VARIANT=cpu"} <= lines
    for line in lines:
        assert line.split()[0] in targets, line
        done = subprocess.run(
            ["make", "--dry-run", *line.split()],
            cwd=pages.PROJECT, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
