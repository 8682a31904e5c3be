"""The system under test: LoadGen's queries go to the engine, first tokens and answers come back.

All of it on one event loop, beside the engine's client.
"""

from __future__ import annotations

import asyncio
import collections
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

from harness import processes
from harness.errors import EngineError, LoadGenError
from harness.loadgen import process as loadgen
from harness.loadgen import wire
from harness.loadgen.answering import LOOK_EVERY_S, AnsweringEngine, Progress, check_stall
from harness.loadgen.latency_watch import LatencyWatch
from harness.metrics import TimelinePoint

log = logging.getLogger("harness")

# LoadGen writes its logs after the last answer; on a loaded machine that took under a second for
# 40,104 samples.
LOADGEN_EXIT_TIMEOUT_S = 60.0
# Before its first query LoadGen makes all of them, which takes seconds for millions. As short as
# --stall-timeout may be, which is about the engine, this is allowed.
LOADGEN_START_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class Serving:
    """How queries are answered.

    `admit_at_once` bounds the queries handed to the engine at a time (None: all); the rest wait in
    the system under test, which keeps the engine's own queue short when LoadGen issues 40,000 at
    once.
    """

    stream_first_token: bool
    stall_timeout_s: float
    admit_at_once: int | None = None


async def run_test(
    engine: AnsweringEngine,
    prompts: Sequence[list[int]],
    plan: loadgen.LoadGenPlan,
    serving: Serving,
    progress: Progress,
    watch: LatencyWatch | None = None,
) -> bool:
    """Runs one LoadGen test; returns whether it came to its end.

    `watch` sees every query, and may have the test broken off. Raises EngineError when the engine
    dies or stalls, LoadGenError when LoadGen's process does.
    """
    process, pipe = loadgen.start(plan)
    wire.limit_waiting(pipe, serving.stall_timeout_s)
    log.info("LoadGen process %s begins", process.pid)
    assert process.pid is not None
    server = _Server(engine, prompts, (process.pid, pipe), serving, progress, watch)
    try:
        await server.serve()
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
        asking: tuple[int, Connection],
        serving: Serving,
        progress: Progress,
        watch: LatencyWatch | None,
    ):
        self.engine = engine
        self.prompts = prompts
        self.asker, self.pipe = asking  # LoadGen's process, and what joins us to it
        self.serving = serving
        self.progress = progress
        self.watch = watch
        self.broken_off = False
        self.waiting: collections.deque[wire.Query] = collections.deque()
        self.tasks: set[asyncio.Task[None]] = set()
        self.answers = wire.AnswerMessage()
        self.began_at = self.last_query_at = time.monotonic()
        self.tokens_before = engine.tokens_generated

    async def serve(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self.loop.create_future()
        self.loop.add_reader(self.pipe.fileno(), self._read)
        watching = asyncio.create_task(self._look_on())
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
                if message == wire.ENDED:
                    if not self.ended.done():
                        self.ended.set_result(None)
                    return
                self._take(wire.unpack_queries(message))
        except BlockingIOError:
            self._fail(self._stands_still())
            self.loop.remove_reader(self.pipe.fileno())
        except (EOFError, OSError):
            self._fail(
                LoadGenError(
                    f"LoadGen's process ended in the middle of the test, with "
                    f"{self.progress.outstanding} queries unanswered."
                )
            )
            self.loop.remove_reader(self.pipe.fileno())

    def _take(self, queries: list[wire.Query]) -> None:
        self.last_query_at = time.monotonic()
        if self.progress.started_at is None:
            self.progress.started_at = self.last_query_at
            self.tokens_before = self.engine.tokens_generated
        self.progress.samples_issued += len(queries)
        self.waiting.extend(queries)
        if self.watch is not None:
            for sequence, _ in queries:
                self.watch.issued(sequence)
        self._admit()

    def _admit(self) -> None:
        limit = self.serving.admit_at_once or len(self.waiting) + len(self.tasks)
        while self.waiting and len(self.tasks) < limit:
            task = self.loop.create_task(self._answer(*self.waiting.popleft()))
            self.tasks.add(task)
            task.add_done_callback(self._answered)

    async def _answer(self, sequence: int, index: int) -> None:
        on_first = None
        if self.serving.stream_first_token:

            def on_first(tokens: list[int]) -> None:
                self._reply(wire.FIRST_TOKEN, sequence, tokens)
                if self.watch is not None:
                    self.watch.first_token(sequence)

        tokens = await self.engine.answer(self.prompts[index], on_first)
        self._reply(wire.ALL_TOKENS, sequence, tokens)
        if self.watch is not None:
            self.watch.completed(sequence, len(tokens))
        self.progress.note_answer()

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
        if not self.answers:
            self.loop.call_soon(self._send)
        self.answers.add(kind, sequence, tokens)

    def _send(self) -> None:
        message, self.answers = self.answers.pack(), wire.AnswerMessage()
        try:
            self.pipe.send_bytes(message)
        except BlockingIOError:
            self._fail(self._stands_still())
        except OSError:
            pass  # a broken pipe shows up in _read as well, where it is reported

    async def _look_on(self) -> None:
        """Notes the timeline, and gives up on an engine that has gone quiet, or on LoadGen."""
        stopped = processes.StoppedWatch(self.serving.stall_timeout_s)
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            self._note_time()
            if self.watch is not None and self.watch.breaks_off():
                self.broken_off = True
                if not self.ended.done():
                    self.ended.set_result(None)
                return
            try:
                self._check_start()
                check_stall(
                    self.engine,
                    self.last_query_at,
                    self.progress.outstanding,
                    self.serving.stall_timeout_s,
                )
                if stopped.look([self.asker]) is not None:
                    raise self._stands_still()
            except (EngineError, LoadGenError) as error:
                self._fail(error)
                return

    def _check_start(self) -> None:
        """Raises LoadGenError when LoadGen has long been at work and issued nothing."""
        quiet_s = time.monotonic() - self.began_at
        allowed_s = max(self.serving.stall_timeout_s, LOADGEN_START_TIMEOUT_S)
        if self.progress.started_at is None and quiet_s > allowed_s:
            raise LoadGenError(
                f"LoadGen has issued no query for {quiet_s:.0f} s since its process began; it is "
                "stuck. If the machine is only slow, allow more with --stall-timeout SECONDS."
            )

    def _stands_still(self) -> LoadGenError:
        return LoadGenError(
            f"LoadGen's process {self.asker} has done nothing for "
            f"{self.serving.stall_timeout_s:g} s: it was stopped (kill -STOP, or a debugger) or "
            "hangs, so the test cannot end. Type the command again."
        )

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
                outstanding=progress.outstanding,
            )
        )
