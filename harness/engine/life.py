"""Loading an engine, ending it, and saying why it died."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import time

from harness import processes
from harness.config import DEFAULT_STALL_TIMEOUT_S
from harness.engine.causes import (
    ENDED_SILENTLY,
    EngineLog,
    end_of,
    ended_silently,
    has_own_cause,
    killed,
    root_cause,
    way_out,
)
from harness.engine.vllm import Engine
from harness.errors import EngineError, EnginePartLost, EngineStall
from harness.language import edited, joined, phrase, text_of

LOOK_EVERY_S = 1.0
LAST_WORDS_S = 2.0  # for a process that has seen another's end to log it


async def load(engine: Engine, stall_timeout_s: float = DEFAULT_STALL_TIMEOUT_S) -> None:
    """Loads in a thread, so that progress shows and signals are heard.

    Cancelled, it leaves no process. Raises EngineError, also when one of the engine's processes
    is stopped for so long.
    """
    with_own_thread = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="engine-load")
    loading = with_own_thread.submit(engine.load)
    with_own_thread.shutdown(wait=False)
    loaded = asyncio.wrap_future(loading)
    try:
        await _until_loaded(loaded, stall_timeout_s)
    except (asyncio.CancelledError, EngineError):
        loaded.cancel()  # nobody asks it any more, and what it ends with is no news
        if not loading.done() and engine.abandon():
            while not loading.done():
                processes.end_children()
                time.sleep(0.05)
        raise


async def _until_loaded(loaded: asyncio.Future[None], stall_timeout_s: float) -> None:
    watch = processes.StoppedWatch(stall_timeout_s)
    while not (await asyncio.wait([loaded], timeout=LOOK_EVERY_S))[0]:
        if (pid := watch.look(processes.children())) is not None:
            raise EngineError(
                f"The engine did not start: its process {pid} has been stopped for "
                f"{stall_timeout_s:g} s (kill -STOP, or a debugger); it was given up."
            )
    loaded.result()


def explain(error: EngineError, engine_log: EngineLog) -> str:
    """The error with its cause and the way out.

    vLLM says "see root cause above"; the engine's log is where that cause stands.
    """
    known = isinstance(error, EnginePartLost)
    text = with_cause(error, "" if known else _last_words(error, engine_log))
    return joined("", (text, ". ", way_out(text)))


def _last_words(error: EngineError, engine_log: EngineLog) -> str:
    """What the engine said, once the cause is in it or it has had the time to say one.

    vLLM's core may report what follows from a worker's end before its watch on the workers has
    said that one has ended.
    """
    said = engine_log.read()
    if isinstance(error, EngineStall):  # nothing has ended
        return said
    give_up = time.monotonic() + LAST_WORDS_S
    while not (killed(f"{said}\n{error}") or has_own_cause(said)) and time.monotonic() < give_up:
        time.sleep(0.1)
        said = engine_log.read()
    return said


def with_cause(error: EngineError, said: str) -> str:
    """The error with the cause that stands in what the engine said, without a full stop.

    An engine that was killed or stopped from outside has nothing to say about it.
    """
    text = " ".join(str(error).split())
    text = edited(text_of(error) if text == str(error) else text, lambda words: words.rstrip("."))
    death = killed(f"{said}\n{text}")
    reasons = [end_of(death.process, death.exit_code)] if death else []
    if isinstance(error, EngineStall):
        reasons += [
            phrase("its process {pid} is stopped (kill -STOP)", pid=pid)
            for pid in _stopped_children()
        ]
    cause = None if death and death.from_outside else root_cause(said)
    reasons += [cause] if cause else []
    if death is None and (process := ended_silently(f"{said}\n{text}")):
        reasons.append(joined(" ", (process, ENDED_SILENTLY)))
    new = [reason for reason in reasons if reason not in text]
    return joined("", (text, " (", joined("; ", new), ")")) if new else text


def _stopped_children() -> list[int]:
    """Processes below this one that are stopped and do nothing until they are continued."""
    import psutil

    stopped = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if child.status() in (psutil.STATUS_STOPPED, psutil.STATUS_TRACING_STOP):
                stopped.append(child.pid)
    return stopped


def shut_down(engine: Engine) -> None:
    """Ends the engine and whatever it left behind."""
    engine.shutdown()
    processes.end_children()
