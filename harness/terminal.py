"""What a person sees while a run works: sentences, and one line of progress."""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import os
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path
from typing import TextIO, cast

from harness import formatting, tables
from harness.errors import BenchmarkError
from harness.language import joined, phrase, translated

PLAIN_LINE_EVERY_S = 10.0
_INPUT, _OUTPUT, _ERRORS = 0, 1, 2

log = logging.getLogger("harness")


class LastingStream(io.TextIOBase):
    """Writes to a file descriptor for as long as anybody reads.

    The reader of a pipe may leave and a terminal may be closed; neither is a reason to lose a run.
    """

    def __init__(self, number: int) -> None:
        self._number = number
        self.lost: OSError | None = None  # why something was not taken

    def write(self, text: str) -> int:
        """All of the text, or nothing where it cannot be written."""
        left = text.encode("utf-8", errors="replace")
        try:
            while left:
                left = left[os.write(self._number, left) :]
        except OSError as error:
            self.lost = error
        return len(text)

    def isatty(self) -> bool:
        """Whether a person may be looking."""
        return os.isatty(self._number)

    def fileno(self) -> int:
        """The file descriptor, which the console asks for its width."""
        return self._number

    @property
    def encoding(self) -> str:  # type: ignore[override] # a read-only attribute there
        """The console draws bars of what this encoding has."""
        return "utf-8"


class Terminal:
    """Writes to the stream the program was started with,
    whatever happens to file descriptors 1 and 2.
    """

    def __init__(self) -> None:
        from rich.console import Console

        open_closed_streams()
        self._stream = LastingStream(os.dup(_OUTPUT))
        self._console = Console(
            file=cast("TextIO", self._stream), highlight=False, soft_wrap=True, markup=False
        )

    def check_all_was_taken(self) -> None:
        """Raises BenchmarkError where something could not be written, as to a file on a full disk.

        For a program whose output is its result; that nobody reads any more of it is no error.
        """
        lost = self._stream.lost
        if lost is not None and not isinstance(lost, BrokenPipeError):
            raise BenchmarkError(
                phrase("{file} cannot be written: {why}.", file="stdout", why=lost.strerror)
            )

    def say(self, text: str = "") -> None:
        """One sentence, or several lines."""
        self._console.print(translated(text))

    def table(self, rows: Sequence[Sequence[str]], styles: Sequence[str]) -> None:
        """Rows whose second cell has a style, and whose last is broken where a terminal ends."""
        if not self._console.is_terminal:
            self.say("\n".join(tables.text_lines(rows)))
            return
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
        for row, style in zip(rows, styles, strict=True):
            cells = [translated(cell) for cell in row]
            table.add_row(Text(cells[0]), Text(cells[1], style=style), *map(Text, cells[2:]))
        self._console.print(table, soft_wrap=False)

    @contextlib.asynccontextmanager
    async def progress(self, describe: Callable[[], str]) -> AsyncIterator[None]:
        """Keeps one line up to date while the block runs;
        on no terminal, a plain line now and then.
        """
        if self._console.is_terminal:
            from rich.live import Live
            from rich.text import Text

            with Live(
                get_renderable=lambda: Text(
                    "  " + translated(describe()), overflow="ellipsis", no_wrap=True
                ),
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

    @contextlib.contextmanager
    def downloading(self, what: str, total_bytes: int) -> Iterator[Callable[[int], None]]:
        """Gives a function that shows how many bytes are there: a bar, or on no terminal a plain
        line now and then.
        """
        if not self._console.is_terminal:
            yield self._plain_bytes(what, total_bytes)
            return
        from rich import progress

        with progress.Progress(
            progress.TextColumn("  {task.description}"),
            progress.BarColumn(),
            progress.DownloadColumn(),
            progress.TransferSpeedColumn(),
            progress.TimeRemainingColumn(),
            console=self._console,
            transient=True,
        ) as bar:
            task = bar.add_task(translated(what), total=total_bytes)
            yield lambda done: bar.update(task, completed=done)

    def _plain_bytes(self, what: str, total_bytes: int) -> Callable[[int], None]:
        last = Stopwatch()

        def show(done: int) -> None:
            nonlocal last
            if last.seconds >= PLAIN_LINE_EVERY_S:
                last = Stopwatch()
                self.say(
                    phrase(
                        "  {what}: {done} of {total}",
                        what=what, done=formatting.megabytes(done),
                        total=formatting.megabytes(total_bytes),
                    )
                )  # fmt: skip

        return show

    async def _plain_lines(self, describe: Callable[[], str]) -> None:
        while True:
            await asyncio.sleep(PLAIN_LINE_EVERY_S)
            self.say(joined("", ("  ", describe())))


def open_closed_streams() -> None:
    """Gives a program that was started with its output closed (`>&-`) one that goes nowhere.

    Else the next file it opens would be its output, and be written to by whoever prints.
    """
    for number in (_INPUT, _OUTPUT, _ERRORS):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
            os.set_inheritable(number, True)
    sys.stdout = sys.stdout or _text_stream(_OUTPUT)
    sys.stderr = sys.stderr or _text_stream(_ERRORS)


def _text_stream(number: int) -> TextIO:
    return os.fdopen(number, "w", encoding="utf-8", closefd=False)


@contextlib.contextmanager
def output_to(log: Path) -> Iterator[None]:
    """Sends everything this process and its children print, C++ included, to the end of `log`."""
    open_closed_streams()
    _flush()
    saved = os.dup(_OUTPUT), os.dup(_ERRORS)
    target = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(target, _OUTPUT)
    os.dup2(target, _ERRORS)
    os.close(target)
    try:
        yield
    finally:
        _flush()
        for number, copy in zip((_OUTPUT, _ERRORS), saved, strict=True):
            os.dup2(copy, number)
            os.close(copy)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()


def progress_line(
    label: str,
    done: int,
    total: int,
    tokens: int,
    elapsed_s: float,
    *,
    last_done_s: float | None = None,
    of_questions: bool = False,
) -> str:
    """'performance: 120 of 13,368 samples, 5,120 tokens/s, about 9 min left'.

    `last_done_s` is the moment of the last one that was done; None: just now.
    """
    counts = {"done": formatting.count(done), "total": formatting.count(total)}
    counted = (
        phrase("{done} of {total} questions", **counts)
        if of_questions
        else phrase("{done} of {total} samples", **counts)
    )
    parts = [joined(": ", (label, counted))]
    if elapsed_s > 0 and tokens:
        parts.append(formatting.rate(tokens / elapsed_s, "tokens/s"))
    if done and done < total:
        # What takes a minute each is not known to be slower while the next minute passes.
        known_s = elapsed_s if last_done_s is None else last_done_s
        left_s = known_s * total / done - elapsed_s
        if left_s > 0:
            parts.append(phrase("about {duration} left", duration=formatting.duration(left_s)))
    return joined(", ", parts)


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
            lambda: describe() or joined(": ", (label, formatting.duration(watch.seconds)))
        ):
            yield
    finally:
        phases[key] = round(phases.get(key, 0.0) + watch.seconds, 3)
        log.info("%s: %.1f s", label, watch.seconds)
