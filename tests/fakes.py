"""An engine double for what no test can have: it takes a set time, dies, or goes quiet."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from harness.engine.plan import EnginePlan
from harness.engine.settings import Sampling
from harness.errors import EngineError
from harness.metrics import EngineState


class FakeEngine:
    """Answers every prompt with its own ids backwards, after a set time; real LoadGen drives it."""

    def __init__(
        self,
        *,
        seconds_per_answer: float = 0.0,
        first_token_after_s: float = 0.0,
        dies_after: int | None = None,
        goes_quiet_after: int | None = None,
    ):
        self.tokens_generated = 0
        self.last_output_at = time.monotonic()
        self.prompts: list[list[int]] = []
        self.most_at_once = 0
        self._seconds_per_answer = seconds_per_answer
        self._first_token_after_s = first_token_after_s
        self._dies_after = dies_after
        self._goes_quiet_after = goes_quiet_after
        self._at_once = 0

    def state(self) -> EngineState | None:
        """A double has no scheduler."""
        return None

    def gpus_elsewhere(self) -> list[Any]:
        """Nor another machine."""
        return []

    def processes_of_ray(self) -> list[int]:
        return []

    async def answer(
        self, token_ids: list[int], on_first_token: Callable[[list[int]], None] | None = None
    ) -> list[int]:
        self.prompts.append(token_ids)
        asked = len(self.prompts)
        self._at_once += 1
        self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return await self._answer(asked, token_ids, on_first_token)
        finally:
            self._at_once -= 1

    async def _answer(
        self, asked: int, token_ids: list[int], on_first_token: Callable[[list[int]], None] | None
    ) -> list[int]:
        if self._dies_after is not None and asked > self._dies_after:
            raise EngineError("The engine died, as this double was asked to.")
        if self._goes_quiet_after is not None and asked > self._goes_quiet_after:
            await asyncio.sleep(3600)
        tokens = answer_to(token_ids)
        await asyncio.sleep(self._first_token_after_s)
        if on_first_token is not None:
            on_first_token(tokens[:1])
        await asyncio.sleep(self._seconds_per_answer)
        self.tokens_generated += len(tokens)
        self.last_output_at = time.monotonic()
        return tokens


def answer_to(token_ids: list[int]) -> list[int]:
    """What the fake engine answers to a prompt."""
    return token_ids[::-1]


def make_prompts(count: int) -> list[list[int]]:
    """Distinct prompts of 2 to 6 tokens."""
    return [[1000 + index, *range(1, 2 + index % 5)] for index in range(count)]


class PlannedEngine(FakeEngine):
    """A double for a whole run, made as an engine is: of a plan and how it samples."""

    def __init__(self, plan: EnginePlan, _sampling: Sampling, **pace: Any):
        super().__init__(**pace)
        self.plan = plan

    def load(self) -> None:
        """Nothing to load."""

    def abandon(self) -> bool:
        """No process of it is ever left."""
        return False

    def shutdown(self) -> None:
        """Nothing to end."""
