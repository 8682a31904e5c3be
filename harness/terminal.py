"""What a person sees while a run works: sentences, and one line of progress."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

from harness import formatting

PLAIN_LINE_EVERY_S = 10.0

log = logging.getLogger("harness")


class Terminal:
    """Writes to the stream the program was started with,
    whatever happens to file descriptors 1 and 2.
    """

    def __init__(self) -> None:
        from rich.console import Console

        class LastingConsole(Console):
            """The reader of a pipe may leave; that is no reason to lose the run."""

            def on_broken_pipe(self) -> None:
                self.quiet = True

        try:
            number = os.dup(sys.stdout.fileno())
        except (AttributeError, OSError):  # started with its output closed
            number = os.open(os.devnull, os.O_WRONLY)
        stream = os.fdopen(number, "w", encoding="utf-8")
        self._console = LastingConsole(file=stream, highlight=False, soft_wrap=True, markup=False)

    def say(self, text: str = "") -> None:
        """One sentence, or several lines."""
        self._console.print(text)
        with contextlib.suppress(BrokenPipeError):
            self._console.file.flush()

    @contextlib.asynccontextmanager
    async def progress(self, describe: Callable[[], str]) -> AsyncIterator[None]:
        """Keeps one line up to date while the block runs;
        on no terminal, a plain line now and then.
        """
        if self._console.is_terminal:
            from rich.live import Live
            from rich.text import Text

            with Live(
                get_renderable=lambda: Text("  " + describe(), overflow="ellipsis", no_wrap=True),
                console=self._console,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            ):
                yield
            return
        watcher = asyncio.create_task(self._plain_lines(describe))
        try:
            yield
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)

    async def _plain_lines(self, describe: Callable[[], str]) -> None:
        while True:
            await asyncio.sleep(PLAIN_LINE_EVERY_S)
            self.say("  " + describe())


@contextlib.contextmanager
def output_to(log: Path) -> Iterator[None]:
    """Sends everything this process and its children print, C++ included, to the end of `log`."""
    sys.stdout.flush()
    sys.stderr.flush()
    saved = os.dup(1), os.dup(2)
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(target, 1)
    os.dup2(target, 2)
    os.close(target)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        for number, copy in zip((1, 2), saved, strict=True):
            os.dup2(copy, number)
            os.close(copy)


def progress_line(
    label: str, done: int, total: int, tokens: int, elapsed_s: float, noun: str = "samples"
) -> str:
    """'performance: 120 of 13,368 samples, 5,120 tokens/s, about 9 min left'."""
    text = f"{label}: {formatting.count(done)} of {formatting.count(total)} {noun}"
    if elapsed_s > 0 and tokens:
        text += f", {formatting.rate(tokens / elapsed_s, 'tokens/s')}"
    if done and done < total:
        text += f", about {formatting.duration(elapsed_s * (total - done) / done)} left"
    return text


class Stopwatch:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._start


@contextlib.asynccontextmanager
async def timed_phase(
    terminal: Terminal,
    phases: dict[str, float],
    key: str,
    label: str,
    describe: Callable[[], str | None] = lambda: None,
) -> AsyncIterator[None]:
    """Shows a progress line while the block runs (None: its label and the time), and adds its
    seconds to `phases`.
    """
    watch = Stopwatch()
    log.info("%s: begins", label)
    try:
        async with terminal.progress(
            lambda: describe() or f"{label}: {formatting.duration(watch.seconds)}"
        ):
            yield
    finally:
        phases[key] = round(phases.get(key, 0.0) + watch.seconds, 3)
        log.info("%s: %.1f s", label, watch.seconds)
