"""benchmarks/faults.py, as far as it can be tested without half an hour of real runs."""

from __future__ import annotations

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks import faults
from benchmarks.faults import cases
from benchmarks.struck_run import (
    ACCURACY,
    CORE,
    FULL_DISK,
    GROUP,
    LOADGEN,
    LOADING,
    PARENT,
    PERFORMANCE,
    PHASES,
    WORKER,
    Fault,
    NeverThere,
)


def test_every_fault_strikes_in_every_phase_that_has_its_victim() -> None:
    phases = defaultdict(set)
    for case in cases():
        phases[case.fault.what, case.fault.target].add(case.fault.phase)

    tests, engine = {ACCURACY, PERFORMANCE}, {LOADING, ACCURACY, PERFORMANCE}
    assert phases == {
        ("SIGKILL", PARENT): set(PHASES),
        **{(how, CORE): engine for how in ("SIGKILL", "SIGSTOP")},
        **{(how, WORKER): engine for how in ("SIGKILL", "SIGSTOP")},
        **{(how, LOADGEN): tests for how in ("SIGKILL", "SIGSTOP")},
        ("SIGINT", GROUP): set(PHASES),
        ("SIGHUP", GROUP): set(PHASES),
        ("SIGTERM", PARENT): set(PHASES),
        (FULL_DISK, ""): set(PHASES),
    }
    names = [case.name for case in cases()]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("error", [NeverThere("it ended first"), FileNotFoundError("latest")])
def test_case_whose_run_goes_astray_is_a_row_and_not_the_end_of_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def astray(*_: object) -> faults.Seen:
        raise error

    monkeypatch.setattr(faults, "look_at", astray)
    case = faults.Case(Fault("SIGKILL", LOADGEN, ACCURACY), 1, "failed")

    result = faults.seen(case, tmp_path, {}, tmp_path)

    assert result is not None
    assert result.problems == (str(error),)


def test_full_disk_is_left_out_where_nothing_may_be_mounted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextlib.contextmanager
    def refused(*_: object) -> Iterator[Path]:
        raise faults.NoFileSystem("permission denied")
        yield tmp_path

    monkeypatch.setattr(faults, "room_for", refused)
    case = faults.Case(Fault(FULL_DISK, "", ACCURACY), 1, "failed")

    assert faults.seen(case, tmp_path, {}, tmp_path) is None
