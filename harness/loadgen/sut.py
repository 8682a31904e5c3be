"""The system under test: queries from LoadGen's pipe to the engine, first token and answer back,
on one event loop.
"""

from __future__ import annotations

import array
import asyncio
import collections
import contextlib
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Protocol

from harness.errors import EngineError, LoadGenError
from harness.loadgen import process as loadgen
from harness.loadgen.latency_watch import LatencyWatch
from harness.metrics import TimelinePoint

log = logging.getLogger("harness")

TIMELINE_STEP_S = 0.25
# LoadGen writes its logs after the last answer; on a loaded machine that took under a second for
# 40,104 samples.
LOADGEN_EXIT_TIMEOUT_S = 60.0


class AnsweringEngine(Protocol):
    """What the system under test needs of an engine; harness.engine.vllm.Engine is the real one."""

    @property
    def tokens_generated(self) -> int: ...

    @property
    def last_output_at(self) -> float: ...

    async def answer(
        self, token_ids: list[int], on_first_token: Callable[[list[int]], None] | None = None
    ) -> list[int]: ...


@dataclass
class Progress:
    """Where a test stands; the same object is updated while the test runs."""

    samples_issued: int = 0
    samples_done: int = 0
    tokens: int = 0
    started_at: float | None = None  # time.monotonic() of the first query
    timeline: list[TimelinePoint] = field(default_factory=list)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the first query, 0 before it."""
        return 0.0 if self.started_at is None else time.monotonic() - self.started_at


async def run_test(
    engine: AnsweringEngine,
    prompts: Sequence[list[int]],
    plan: loadgen.LoadGenPlan,
    *,
    stream_first_token: bool,
    admit_at_once: int | None,
    stall_timeout_s: float,
    progress: Progress,
    watch: LatencyWatch | None = None,
    stop_when_decided: bool = False,
) -> bool:
    """Runs one LoadGen test; returns whether it came to its end.

    `watch` is told of every query; with `stop_when_decided` a test of which it has seen enough is
    broken off.

    `admit_at_once` bounds the queries handed to the engine at a time (None: all); the rest wait
    here, which keeps the engine's own queue short when LoadGen issues 40,000 at once.
    Raises EngineError when the engine dies or stalls, LoadGenError when LoadGen's process does.
    """
    process, pipe = loadgen.start(plan)
    log.info("LoadGen process %s begins", process.pid)
    server = _Server(engine, prompts, pipe, stream_first_token, admit_at_once, progress, watch)
    try:
        await server.serve(stall_timeout_s, stop_when_decided)
        if server.broken_off:
            log.info("LoadGen process %s broken off: the outcome is known", process.pid)
            return False
        await asyncio.to_thread(process.join, LOADGEN_EXIT_TIMEOUT_S)
        log.info("LoadGen process %s ended with exit code %s", process.pid, process.exitcode)
        if process.exitcode != 0:
            raise LoadGenError(f"LoadGen's process ended with exit code {process.exitcode}.")
        return True
    finally:
        # Killed rather than fed made-up answers: a log that breaks off cannot be taken for a
        # result.
        if process.is_alive():
            process.kill()
            process.join()
        pipe.close()


class _Server:
    """The state of one test on the engine's side."""

    def __init__(
        self,
        engine: AnsweringEngine,
        prompts: Sequence[list[int]],
        pipe: Connection,
        stream_first_token: bool,
        admit_at_once: int | None,
        progress: Progress,
        watch: LatencyWatch | None,
    ):
        self.watch = watch
        self.broken_off = False
        self.engine = engine
        self.prompts = prompts
        self.pipe = pipe
        self.stream_first_token = stream_first_token
        self.admit_at_once = admit_at_once
        self.progress = progress
        self.waiting: collections.deque[tuple[int, int]] = collections.deque()
        self.tasks: set[asyncio.Task[None]] = set()
        self.replies = array.array(loadgen.SIGNED)
        self.last_query_at = time.monotonic()
        self.tokens_before = engine.tokens_generated

    async def serve(self, stall_timeout_s: float, stop_when_decided: bool) -> None:
        self.loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self.loop.create_future()
        self.loop.add_reader(self.pipe.fileno(), self._read)
        watching = asyncio.create_task(self._look_on(stall_timeout_s, stop_when_decided))
        try:
            await self.ended
        finally:
            self.loop.remove_reader(self.pipe.fileno())
            watching.cancel()
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(watching, *self.tasks, return_exceptions=True)
            self._note_time()

    def _fail(self, error: BaseException) -> None:
        if not self.ended.done():
            self.ended.set_exception(error)

    def _read(self) -> None:
        try:
            while self.pipe.poll():
                message = self.pipe.recv_bytes()
                if message[:1] == loadgen.ENDED:
                    if not self.ended.done():
                        self.ended.set_result(None)
                    return
                self._take_queries(message[1:])
        except (EOFError, OSError):
            self._fail(
                LoadGenError(
                    f"LoadGen's process ended in the middle of the test, with "
                    f"{self.progress.samples_issued - self.progress.samples_done} "
                    "queries unanswered."
                )
            )
            self.loop.remove_reader(self.pipe.fileno())

    def _take_queries(self, body: bytes) -> None:
        pairs = array.array(loadgen.UNSIGNED)
        pairs.frombytes(body)
        self.last_query_at = time.monotonic()
        if self.progress.started_at is None:
            self.progress.started_at = self.last_query_at
            self.tokens_before = self.engine.tokens_generated
        self.progress.samples_issued += len(pairs) // 2
        self.waiting.extend(zip(pairs[::2], pairs[1::2], strict=True))
        if self.watch is not None:
            for sequence in pairs[::2]:
                self.watch.issued(sequence)
        self._admit()

    def _admit(self) -> None:
        limit = self.admit_at_once or len(self.waiting) + len(self.tasks)
        while self.waiting and len(self.tasks) < limit:
            task = self.loop.create_task(self._answer(*self.waiting.popleft()))
            self.tasks.add(task)
            task.add_done_callback(self._answered)

    async def _answer(self, sequence: int, index: int) -> None:
        on_first = None
        if self.stream_first_token:

            def on_first(tokens: list[int]) -> None:
                self._reply(loadgen.FIRST_TOKEN, sequence, tokens)
                if self.watch is not None:
                    self.watch.first_token(sequence)

        tokens = await self.engine.answer(self.prompts[index], on_first)
        self._reply(loadgen.ALL_TOKENS, sequence, tokens)
        if self.watch is not None:
            self.watch.completed(sequence, len(tokens))
        self.progress.samples_done += 1

    def _answered(self, task: asyncio.Task[None]) -> None:
        self.tasks.discard(task)
        if task.cancelled():
            return
        error = task.exception()
        if error is not None:
            self._fail(error)
        else:
            self._admit()

    def _reply(self, kind: int, sequence: int, tokens: list[int]) -> None:
        """Gathers what one turn of the event loop brings into one message."""
        if not self.replies:
            self.loop.call_soon(self._send)
        self.replies.extend((kind, sequence, len(tokens)))
        self.replies.extend(tokens)

    def _send(self) -> None:
        message, self.replies = self.replies.tobytes(), array.array(loadgen.SIGNED)
        # A broken pipe shows up in _read as well, where it is reported.
        with contextlib.suppress(OSError):
            self.pipe.send_bytes(message)

    async def _look_on(self, stall_timeout_s: float, stop_when_decided: bool) -> None:
        """Notes the timeline, and gives up on an engine that has gone quiet."""
        while True:
            await asyncio.sleep(TIMELINE_STEP_S)
            self._note_time()
            if stop_when_decided and self.watch is not None and self.watch.decide():
                self.broken_off = True
                if not self.ended.done():
                    self.ended.set_result(None)
                return
            outstanding = self.progress.samples_issued - self.progress.samples_done
            try:
                check_stall(self.engine, self.last_query_at, outstanding, stall_timeout_s)
            except EngineError as error:
                self._fail(error)
                return

    def _note_time(self) -> None:
        progress = self.progress
        if progress.started_at is None:
            return
        progress.tokens = self.engine.tokens_generated - self.tokens_before
        progress.timeline.append(
            TimelinePoint(
                time_s=progress.elapsed_s,
                tokens=progress.tokens,
                samples_done=progress.samples_done,
                outstanding=progress.samples_issued - progress.samples_done,
            )
        )


def write_timeline(points: Sequence[TimelinePoint], path: Path) -> None:
    """One row for each point: seconds since the first query, and what had happened by then."""
    with path.open("w") as out:
        out.write("time_s,tokens,samples_done,outstanding\n")
        for point in points:
            out.write(
                f"{point.time_s:.3f},{point.tokens},{point.samples_done},{point.outstanding}\n"
            )


@dataclass(frozen=True)
class Burst:
    """What the engine did with a number of prompts given all at once."""

    samples: int
    seconds: float
    tokens: int

    @property
    def samples_per_second(self) -> float:
        """Over the whole burst, so a little low: filling and draining the engine count in."""
        return self.samples / self.seconds


async def burst(
    engine: AnsweringEngine,
    prompts: Sequence[list[int]],
    *,
    stall_timeout_s: float,
    progress: Progress,
    at_once: int | None = None,
) -> Burst:
    """Answers prompts, all at once or `at_once`:
    the warm-up of a test and the estimate of its speed.

    Raises EngineError when the engine dies or stalls.
    """
    progress.started_at = started = time.monotonic()
    tokens_before = engine.tokens_generated
    turn = asyncio.Semaphore(at_once or len(prompts))

    async def answer(prompt: list[int]) -> list[int]:
        async with turn:
            return await engine.answer(prompt)

    pending = {asyncio.ensure_future(answer(prompt)) for prompt in prompts}
    progress.samples_issued = len(pending)
    tokens = 0
    try:
        while pending:
            done, pending = await asyncio.wait(
                pending, timeout=TIMELINE_STEP_S, return_when=asyncio.FIRST_COMPLETED
            )
            tokens += sum(len(task.result()) for task in done)
            progress.samples_done += len(done)
            progress.tokens = engine.tokens_generated - tokens_before
            check_stall(engine, started, len(pending), stall_timeout_s)
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
    return Burst(len(prompts), time.monotonic() - started, tokens)


def check_stall(
    engine: AnsweringEngine, last_asked_at: float, outstanding: int, stall_timeout_s: float
) -> None:
    """Raises EngineError when the engine has sent nothing for so long while queries wait.

    `last_asked_at` is in seconds of time.monotonic, as the engine's own `last_output_at`.
    """
    quiet_s = time.monotonic() - max(engine.last_output_at, last_asked_at)
    if outstanding and quiet_s > stall_timeout_s:
        raise EngineError(
            f"The engine has produced no token for {quiet_s:.0f} s while {outstanding} queries "
            "wait; it is stuck. If it is only slow, allow more with --stall-timeout SECONDS."
        )
