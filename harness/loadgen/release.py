"""Which LoadGen is installed, and which MLPerf round and model names are built into it."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from harness.config import RunConfig, Scenario
from harness.errors import UsageError
from harness.rounds import ROUNDS, Seeds


@dataclass(frozen=True)
class Installed:
    """What LoadGen was asked before a run."""

    version: str
    round: str | None  # whose seeds it carries; None: of no round known here
    knows_model: bool  # whether it has settings for the run's model name


def installed(loadgen_model: str) -> Installed:
    """The installed LoadGen. Raises UsageError where there is none.

    Asked in a process of its own, because FromConfig can be used once per process.
    """
    answer = subprocess.run(
        [sys.executable, "-m", "harness.loadgen.process", loadgen_model],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    if answer.returncode != 0:
        reason = (answer.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UsageError(
            f"MLCommons LoadGen cannot be loaded here ({reason}); run `make venv`, or pip install "
            f"{ROUNDS['5.1'].loadgen_versions}."
        )
    built_in = json.loads(answer.stdout)
    seeds = Seeds(**built_in["seeds"])
    return Installed(
        version=importlib.metadata.version("mlcommons_loadgen"),
        round=next((record.name for record in ROUNDS.values() if seeds == record.seeds), None),
        knows_model=built_in["knows_model"],
    )


def check(config: RunConfig, loadgen: Installed) -> None:
    """Refuses a LoadGen of another round, or without the run's model name. Raises UsageError."""
    install = f"pip install {config.round.loadgen_versions}"
    if loadgen.round != config.version:
        has = (
            f"carries the seeds of v{loadgen.round}"
            if loadgen.round
            else "carries the seeds of no round known here"
        )
        other = f", or use --version {loadgen.round}" if loadgen.round else ""
        raise UsageError(
            f"--version {config.version}: the installed LoadGen {loadgen.version} {has}; "
            f"{install}{other}."
        )
    if not loadgen.knows_model:
        flag = f"--category {config.category}"
        if config.scenario is Scenario.INTERACTIVE:
            flag = f"--scenario {config.scenario.value}"
        raise UsageError(
            f"{flag}: the installed LoadGen {loadgen.version} has no settings for the model name "
            f"{config.loadgen_model}, which this run needs; {install}."
        )
