"""What a sampling profiler's lines say of an engine's process."""

from __future__ import annotations

import pytest

from benchmarks.processor import read_stacks

SCHEDULER = "/x/site-packages/vllm/v1/core/sched/scheduler.py"
STACKS = f"""thread (0x1): "MainThread";run (core.py:3);schedule ({SCHEDULER}:591) 30
thread (0x1): "MainThread";run (core.py:9);schedule ({SCHEDULER}:600);len ({SCHEDULER}:7) 10
thread (0x1): "MainThread";run (core.py:9);run (core.py:9) 20
thread (0x2): "output";send (zmq/socket.py:5) 5
"""


def test_the_busiest_thread_is_told_by_function() -> None:
    times = read_stacks(STACKS, "VLLM::EngineCore", looks=100)

    assert times is not None
    assert "MainThread" in times.thread
    assert times.at_work == pytest.approx(0.6)
    schedule = "schedule (vllm/v1/core/sched/scheduler.py)"
    assert times.with_callees["run (core.py)"] == pytest.approx(0.6)  # once a look, though twice in
    assert times.with_callees[schedule] == pytest.approx(0.4)
    assert times.alone == {
        schedule: pytest.approx(0.3),
        "run (core.py)": pytest.approx(0.2),
        "len (vllm/v1/core/sched/scheduler.py)": pytest.approx(0.1),
    }


def test_a_process_that_slept_has_no_thread() -> None:
    assert read_stacks("", "VLLM::EngineCore", looks=100) is None
