"""Counts what vLLM's schedulers say with each step: a few numbers, none of a single request."""

from __future__ import annotations

from typing import Any

from harness.metrics import EngineState

PREEMPTED = 3  # vllm.v1.engine.EngineCoreEventType.PREEMPTED


class StepCounts:
    """The steps of all copies of the model, as they are told."""

    def __init__(self) -> None:
        self.tokens = 0
        self._steps = 0
        self._preemptions = 0
        self._last: dict[int, tuple[int, int, float]] = {}  # of each copy

    def add(self, outputs: Any) -> None:
        """Takes one message of a copy (vLLM's EngineCoreOutputs)."""
        self.tokens += sum(len(output.new_token_ids) for output in outputs.outputs)
        stats = outputs.scheduler_stats
        if stats is None:
            return
        self._steps += 1
        self._last[outputs.engine_index] = (
            stats.num_running_reqs,
            stats.num_waiting_reqs,
            100 * stats.kv_cache_usage,
        )
        for output in outputs.outputs:
            if output.events:
                self._preemptions += sum(event.type == PREEMPTED for event in output.events)

    def state(self) -> EngineState | None:
        """What was last said; None where the schedulers say nothing."""
        last = list(self._last.values())  # one step: another thread asks
        if not last:
            return None
        running, waiting, kv_cache = zip(*last, strict=True)
        return EngineState(
            steps=self._steps,
            tokens=self.tokens,
            preemptions=self._preemptions,
            running=sum(running),
            waiting=sum(waiting),
            kv_cache_percent=max(kv_cache),
        )
