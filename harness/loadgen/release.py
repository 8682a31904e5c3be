"""Which LoadGen is installed, and which MLPerf round its seeds belong to."""

from __future__ import annotations

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path

from harness.config import RunConfig
from harness.errors import UsageError
from harness.rounds import ROUNDS, Seeds


def installed_round() -> tuple[str | None, str | None]:
    """LoadGen's version and the MLPerf round whose seeds it carries (None: not a known round).

    Asked in a process of its own, because FromConfig can be used once per process.
    """
    answer = subprocess.run(
        [sys.executable, "-m", "harness.loadgen.process"],
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
    seeds = Seeds(**json.loads(answer.stdout))
    version = importlib.metadata.version("mlcommons_loadgen")
    for record in ROUNDS.values():
        if seeds == record.seeds:
            return version, record.name
    return version, None


def check_round(config: RunConfig, carried: str | None, loadgen_version: str | None) -> None:
    """Refuses a LoadGen whose seeds belong to another round. Raises UsageError."""
    if carried == config.version:
        return
    has = (
        f"carries the seeds of v{carried}"
        if carried
        else "carries the seeds of no round known here"
    )
    other = f", or use --version {carried}" if carried else ""
    raise UsageError(
        f"--version {config.version}: the installed LoadGen {loadgen_version} {has}; "
        f"pip install {config.round.loadgen_versions}{other}."
    )
