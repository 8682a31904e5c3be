"""run.py with a vLLM that computes in float32: its answers can be compared to the last token.

usage: run_in_float32.py --scenario all FLAGS OF run.py
An accuracy test of Offline and every test of Server, on one engine load.
"""

from __future__ import annotations

import sys
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import run
from harness.config import RunConfig, Scenario
from harness.engine import settings
from harness.measure import runs


def offline_and_server(config: RunConfig) -> list[RunConfig]:
    """What stands in for every scenario of the category."""
    offline = config.with_values(scenario=Scenario.OFFLINE, mode="accuracy", compliance=False)
    return [offline, config.with_values(scenario=Scenario.SERVER)]


if __name__ == "__main__":
    with (
        mock.patch.object(settings, "dtype_of", lambda _config: "float32"),
        mock.patch.object(runs, "configs", offline_and_server),
    ):
        sys.exit(run.main())
