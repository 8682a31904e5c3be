"""Errors whose text is meant for the person who typed the command."""

from __future__ import annotations


class BenchmarkError(Exception):
    """The run failed. The text names what was found and the way out; no traceback is shown."""

    exit_status = 1


class UsageError(BenchmarkError):
    """The command cannot run as given;
    raised before the model loads and before anything is written.
    """

    exit_status = 2


class EngineError(BenchmarkError):
    """The engine did not start, died, or stopped answering."""


class EngineStall(EngineError):
    """The engine is there and sends nothing."""


class EnginePartLost(EngineError):
    """A part of the engine is gone; the text says which, and on which machine."""


class LoadGenError(BenchmarkError):
    """LoadGen's process crashed or broke off."""


class LogError(BenchmarkError):
    """A log is missing, incomplete or not what LoadGen writes."""


def first_line(error: BaseException) -> str:
    """An error's first line, for the middle of a sentence; the hub's client writes paragraphs."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
