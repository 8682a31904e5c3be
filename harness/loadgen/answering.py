"""What answers the queries of a test, how far it has come, and when it is given up."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from harness.errors import EngineStall
from harness.machine.gpu_readings import GpuReadings
from harness.metrics import EngineState, TimelinePoint

LOOK_EVERY_S = 0.25  # at the engine while it answers: a point of the timeline, and is it stuck?


class AnsweringEngine(Protocol):
    """What a test needs of an engine; harness.engine.vllm.Engine is the real one."""

    @property
    def tokens_generated(self) -> int: ...

    @property
    def last_output_at(self) -> float: ...

    def state(self) -> EngineState | None: ...

    def gpus_elsewhere(self) -> Sequence[GpuReadings | None]: ...

    def processes_of_ray(self) -> Sequence[int]: ...

    async def answer(
        self, token_ids: list[int], on_first_token: Callable[[list[int]], None] | None = None
    ) -> list[int]: ...


@dataclass
class Progress:
    """Where a test stands; the same object is updated while the test runs."""

    samples_issued: int = 0
    samples_done: int = 0
    last_done_s: float = 0.0  # since the first query
    tokens: int = 0
    started_at: float | None = None  # time.monotonic() of the first query
    timeline: list[TimelinePoint] = field(default_factory=list)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first query, 0 before it."""
        return 0.0 if self.started_at is None else time.monotonic() - self.started_at

    @property
    def outstanding(self) -> int:
        """Queries issued and not yet answered."""
        return self.samples_issued - self.samples_done

    def note_answer(self) -> None:
        """One more sample is answered, now."""
        self.samples_done += 1
        self.last_done_s = self.elapsed_s


def check_stall(
    engine: AnsweringEngine, last_asked_at: float, outstanding: int, stall_timeout_s: float
) -> None:
    """Raises EngineStall when the engine has sent nothing for so long while queries wait.

    `last_asked_at` is in seconds of time.monotonic, as the engine's own `last_output_at`.
    """
    quiet_s = time.monotonic() - max(engine.last_output_at, last_asked_at)
    if outstanding and quiet_s > stall_timeout_s:
        raise EngineStall(
            f"The engine has produced no token for {quiet_s:.0f} s while {outstanding} queries "
            "wait; it is stuck. If it is only slow, allow more with --stall-timeout SECONDS."
        )
