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


class LoadGenError(BenchmarkError):
    """LoadGen's process crashed or broke off."""


class LogError(BenchmarkError):
    """A log is missing, incomplete or not what LoadGen writes."""
