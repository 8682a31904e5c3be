"""Loading an engine, ending it, and saying why it died."""

from __future__ import annotations

import asyncio
import concurrent.futures
import time
from pathlib import Path

from harness import processes
from harness.config import DEFAULT_STALL_TIMEOUT_S
from harness.engine.vllm import Engine
from harness.errors import EngineError

LOOK_EVERY_S = 1.0


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
                f"{stall_timeout_s:g} s (kill -STOP, or a debugger); it was given up"
            )
    loaded.result()


def explain(error: EngineError, run_log: Path) -> str:
    """The error with its cause and the way out.

    vLLM says "see root cause above"; run.log is where that cause stands.
    """
    text = with_cause(error, run_log.read_text(errors="replace"))
    return f"{text}. {_way_out(text)}"


def with_cause(error: EngineError, said: str) -> str:
    """The error with the cause that stands in what the engine said, without a full stop."""
    cause = root_cause(said)
    text = " ".join(str(error).split()).rstrip(".")
    return f"{text} ({cause})" if cause and cause not in text else text


def root_cause(run_log: str) -> str | None:
    """The last line of an engine's traceback, such as "ValueError: ...", shortened."""
    for line in reversed(run_log.splitlines()):
        words = line.split()
        for position, word in enumerate(words):
            name = word.split(".")[-1]
            if name.endswith(("Error:", "Exception:")) and name[0].isupper():
                cause = " ".join(words[position:])
                if "Engine core initialization failed" in cause or name == "EngineDeadError:":
                    break
                return cause if len(cause) <= 300 else cause[:297] + "..."
    return None


def _way_out(text: str) -> str:
    lowered = text.lower()
    if "out of memory" in lowered or "no available memory for the cache blocks" in lowered:
        return "Lower --gpu-memory-utilization or --max-model-len, or use more GPUs."
    if "kv cache" in lowered and "larger" in lowered:
        return (
            "Raise --gpu-memory-utilization, or lower --max-model-len "
            "(auto is the minimum that fits)."
        )
    return "run.log in the run folder holds the engine's own words."


def shut_down(engine: Engine) -> None:
    """Ends the engine and whatever it left behind."""
    engine.shutdown()
    processes.end_children()
