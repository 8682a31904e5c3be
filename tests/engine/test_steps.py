"""What is counted of the steps that vLLM's schedulers tell."""

from __future__ import annotations

from typing import Any

import pytest

from harness.engine import steps
from harness.engine.steps import StepCounts
from harness.metrics import EngineState


def outputs(*answers: list[int], copy: int = 0, stats: bool = True, events: Any = None) -> Any:
    """A message of vLLM's own kind, with two requests running and one waiting."""
    from vllm.v1.engine import EngineCoreOutput, EngineCoreOutputs
    from vllm.v1.metrics.stats import SchedulerStats

    return EngineCoreOutputs(
        engine_index=copy,
        outputs=[
            EngineCoreOutput(request_id=str(number), new_token_ids=tokens, events=events)
            for number, tokens in enumerate(answers)
        ],
        scheduler_stats=SchedulerStats(num_running_reqs=2, num_waiting_reqs=1, kv_cache_usage=0.25)
        if stats
        else None,
    )


def test_tokens_are_counted_where_the_schedulers_say_nothing() -> None:
    counts = StepCounts()
    counts.add(outputs([1, 2], [3], stats=False))

    assert counts.tokens == 3
    assert counts.state() is None


def test_the_copies_of_the_model_are_told_together() -> None:
    counts = StepCounts()
    for copy in (0, 1, 1):
        counts.add(outputs([7], [8], copy=copy))

    assert counts.state() == EngineState(
        steps=3, tokens=6, preemptions=0, running=4, waiting=2, kv_cache_percent=25.0
    )


def test_a_request_that_was_put_back_is_a_preemption() -> None:
    from vllm.v1.engine import EngineCoreEvent, EngineCoreEventType

    kinds = (EngineCoreEventType.QUEUED, EngineCoreEventType.PREEMPTED)
    counts = StepCounts()
    counts.add(outputs([7], events=[EngineCoreEvent.new_event(kind) for kind in kinds]))

    state = counts.state()
    assert state is not None
    assert state.preemptions == 1
    assert pytest.approx(steps.PREEMPTED) == EngineCoreEventType.PREEMPTED
