"""What the verdict means for the exit status of run.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from harness.measure import runs
from harness.rules.verdict import INVALID, OFFICIAL_READY, UNOFFICIAL


@pytest.mark.parametrize(
    ("result", "accuracy_passed", "full_size", "status"),
    [
        (OFFICIAL_READY, True, True, 0),
        (UNOFFICIAL, None, True, 0),
        (UNOFFICIAL, False, True, 3),  # below a gate of its own, --high-accuracy
        (INVALID, True, True, 3),
        (INVALID, False, False, 0),
    ],
)
def test_exit_status_is_3_for_a_full_run_that_is_invalid_or_below_the_gate(
    result: str, accuracy_passed: bool | None, full_size: bool, status: int
) -> None:
    summary = {"verdict": {"result": result, "accuracy_passed": accuracy_passed}}
    prepared = cast(Any, SimpleNamespace(full_size=full_size))
    assert runs.verdict_status(prepared, summary) == status
