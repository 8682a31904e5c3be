"""A series of runs on engine doubles, through real LoadGen."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from harness.config import Scenario
from harness.engine.plan import EnginePlan
from harness.engine.settings import Sampling
from harness.measure.preparation import Prepared
from harness.measure.runs import Series
from harness.terminal import Terminal
from tests.fakes import PlannedEngine


def run_series(
    prepared: list[Prepared], dying: Collection[Scenario] = ()
) -> tuple[int, list[Path]]:
    """The runs on engine doubles through real LoadGen; those of the scenarios named die."""
    made = iter(prepared)

    def make_engine(plan: EnginePlan, sampling: Sampling) -> Any:
        dies = next(made).config.scenario in dying
        return PlannedEngine(plan, sampling, dies_after=0 if dies else None)

    return Series(prepared, ["python", "run.py"], Terminal(), make_engine).execute()
