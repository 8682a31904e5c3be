"""Whole runs through real vLLM and LoadGen on the demo model, shared by the tests of a session."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness import language
from tests import pages
from tests.builders import DATA

PROJECT = Path(__file__).resolve().parent.parent
RUN_TIMEOUT_S = 600


@pytest.fixture(autouse=True)
def spoken_in_english(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests are in English, whoever runs them."""
    monkeypatch.delenv(language.VARIABLE, raising=False)


@pytest.fixture
def korean() -> Iterator[None]:
    """Korean for a test."""
    language.choose("ko")
    yield
    language.choose(language.ENGLISH)


@pytest.fixture
def parse(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Starts a program with a command line and ends it as soon as argparse has accepted that."""
    parse_args = argparse.ArgumentParser.parse_args

    def stop(parser: Any, arguments: Sequence[str] | None = None) -> None:
        parse_args(parser, arguments)
        raise pages.Understood

    def start(command: str) -> None:
        program, *arguments = shlex.split(command)
        monkeypatch.setattr(sys, "argv", [program, *arguments])
        importlib.import_module(program.removesuffix(".py").replace("/", ".")).main()

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", stop)
    return start


@dataclass(frozen=True)
class WholeRun:
    """A finished command and the run folder it left."""

    exit_status: int
    stdout: str
    stderr: str
    results: Path

    @property
    def folder(self) -> Path:
        return (self.results / "latest").resolve()

    def read_json(self, name: str) -> Any:
        return json.loads((self.folder / name).read_text())


def environment(cache: Path) -> dict[str, str]:
    """The demo model goes to a cache of the tests' own; no hub is asked for anything."""
    return {**os.environ, "XDG_CACHE_HOME": str(cache), "HF_HUB_OFFLINE": "1"}


def run_py(arguments: list[str], results: Path, cache: Path) -> WholeRun:
    """`python run.py ARGUMENTS` on the demo model and the shipped articles."""
    return _run("run.py", arguments, results, cache)


def mmlu_py(arguments: list[str], results: Path, cache: Path) -> WholeRun:
    """`python mmlu.py ARGUMENTS` on the demo model and the shipped questions."""
    return _run("mmlu.py", arguments, results, cache)


def _run(program: str, arguments: list[str], results: Path, cache: Path) -> WholeRun:
    done = subprocess.run(
        [sys.executable, program, "--model", "demo", "--dataset", "sample", *arguments,
         "--results-dir", str(results)],
        cwd=PROJECT, env=environment(cache), capture_output=True, text=True, check=False,
        timeout=RUN_TIMEOUT_S,
    )  # fmt: skip
    return WholeRun(done.returncode, done.stdout, done.stderr, results)


@pytest.fixture(autouse=True)
def handlers_as_before() -> Iterator[None]:
    """A run ignores interrupts once it has measured; the next test must not inherit that."""
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def run_dir(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of the run folder that the test names, to be damaged."""
    return Path(shutil.copytree(DATA / request.param, tmp_path / "run"))


@pytest.fixture(scope="session")
def demo_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def both_run(tmp_path_factory: pytest.TempPathFactory, demo_cache: Path) -> WholeRun:
    results = tmp_path_factory.mktemp("both") / "results"
    return run_py(["--mode", "both", "--total-sample-count", "12"], results, demo_cache)
