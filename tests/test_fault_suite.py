"""benchmarks/faults.py, as far as it can be tested without half an hour of real runs."""

from __future__ import annotations

from collections import defaultdict

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
