"""Prompts given to the engine without LoadGen: to warm it up, and to see how fast it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from harness.loadgen.answering import LOOK_EVERY_S, AnsweringEngine, Progress, check_stall


@dataclass(frozen=True)
class TimedAnswer:
    """One answer of a burst; seconds are of time.monotonic()."""

    asked_s: float
    first_s: float  # when the first token was there; as `done_s` where none was asked for
    done_s: float
    tokens: int
    tokens_by_then: int  # that the engine had generated when this answer was whole

    @property
    def latency_ms(self) -> float:
        """From the question to the whole answer."""
        return 1000 * (self.done_s - self.asked_s)

    @property
    def ttft_ms(self) -> float:
        """From the question to the first token."""
        return 1000 * (self.first_s - self.asked_s)

    @property
    def tpot_ms(self) -> float:
        """Of each token after the first."""
        return 1000 * (self.done_s - self.first_s) / max(1, self.tokens - 1)


@dataclass(frozen=True)
class Burst:
    """What the engine did with a number of prompts."""

    seconds: float
    answers: tuple[TimedAnswer, ...]  # in the order in which they were whole

    @property
    def samples(self) -> int:
        """How many prompts were answered."""
        return len(self.answers)

    @property
    def tokens(self) -> int:
        """Of all answers together."""
        return sum(answer.tokens for answer in self.answers)

    @property
    def samples_per_second(self) -> float:
        """Over the whole burst, so a little low: filling and draining the engine count in."""
        return self.samples / self.seconds

    def steady_tokens_per_second(self, fill: int) -> float:
        """From the end of the first `fill` of answers to the beginning of the last."""
        begin, end = fill - 1, self.samples - fill
        if end <= begin:  # an engine that takes all prompts at once
            begin, end = 0, self.samples - 1
        first, last = self.answers[begin], self.answers[end]
        seconds = last.done_s - first.done_s
        return (last.tokens_by_then - first.tokens_by_then) / max(seconds, 1e-9)

    def steady_samples_per_second(self, fill: int) -> float:
        """The steady tokens per second over the mean length of an answer."""
        return self.steady_tokens_per_second(fill) / (self.tokens / self.samples)


async def burst(
    engine: AnsweringEngine,
    prompts: Sequence[list[int]],
    *,
    stall_timeout_s: float,
    progress: Progress,
    at_once: int | None = None,
    stream_first_token: bool = False,
) -> Burst:
    """Answers all prompts, no more than `at_once` at a time where that is given.

    Raises EngineError when the engine dies or stalls.
    """
    progress.started_at = started = time.monotonic()
    tokens_before = engine.tokens_generated
    turn = asyncio.Semaphore(at_once or len(prompts))
    answers: list[TimedAnswer] = []

    async def answer(prompt: list[int]) -> None:
        async with turn:
            answers.append(await _timed_answer(engine, prompt, stream_first_token))
        progress.note_answer()

    tasks = [asyncio.ensure_future(answer(prompt)) for prompt in prompts]
    pending = set(tasks)
    progress.samples_issued = len(pending)
    try:
        while pending:
            done, pending = await asyncio.wait(
                pending, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_EXCEPTION
            )
            for task in done:
                task.result()
            progress.tokens = engine.tokens_generated - tokens_before
            check_stall(engine, started, len(pending), stall_timeout_s)
    finally:
        for task in pending:
            task.cancel()
        # All of them: an engine that dies fails several at once, and only one of them is told.
        await asyncio.gather(*tasks, return_exceptions=True)
    return Burst(time.monotonic() - started, tuple(answers))


async def _timed_answer(
    engine: AnsweringEngine, prompt: list[int], stream_first_token: bool
) -> TimedAnswer:
    first_at: list[float] = []

    def on_first(_tokens: list[int]) -> None:
        first_at.append(time.monotonic())

    asked_s = time.monotonic()
    tokens = await engine.answer(prompt, on_first if stream_first_token else None)
    done_s = time.monotonic()
    return TimedAnswer(
        asked_s=asked_s,
        first_s=first_at[0] if first_at else done_s,
        done_s=done_s,
        tokens=len(tokens),
        tokens_by_then=engine.tokens_generated,
    )
