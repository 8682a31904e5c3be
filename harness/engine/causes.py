"""Why an engine ended: from what it said since, and from how its processes ended."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.language import phrase

LONGEST = 300  # characters of a cause
_ERROR = ("ERROR", "CRITICAL")
# "(EngineCore pid=39) ", "[rank0]: ": which process speaks.
_SPEAKER = re.compile(r"^(?:\([^()]*pid=\d+[^()]*\)\s*|\[rank\d+\]:\s*)+")
# "ERROR 11-25 07:55:10 [async_llm.py:704] ": a line of vLLM's log, a traceback's included.
_LOGGED = re.compile(r"^([A-Z]+) \d\d-\d\d [\d:.]+ \[[^\]]*\] ?")
_EXCEPTION = r"(?:[A-Za-z_]\w*\.)*(?:[A-Z]\w*)?(?:Error|Exception)"
_RAISED = re.compile(rf"^{_EXCEPTION}(?:: .*|$)")  # the last line of a traceback
_MENTIONED = re.compile(rf"(?:^|(?<=\s)){_EXCEPTION}: .*")
# What others say when one process has failed: its own words are the cause.
_WRAPPERS = ("root cause", "workerproc initialization failed", "enginedeaderror")
_CONSEQUENCES = (
    "BrokenPipeError",
    "CancelledError",
    "ConnectionResetError",
    "DistBackendError",
    "EOFError",
    "RuntimeError: cancelled",
    "ZMQError",
)
ENDED_SILENTLY = phrase("ended without a word, as one does that is killed")
# As engine/ray_watch.py and engine/ray_causes.py say it.
MACHINE_GONE = re.compile(r"Ray on \S+ has ended|cannot be reached any more|its machine is gone")
_REFUSED = "vLLM refuses --engine-arg"  # as engine/refused_args.py says it
_MEMORY = ("out of memory", "memoryerror", "can't allocate memory")
# How a process ended, in the words of vLLM and of engine/vllm.py; a worker's end comes first, as
# the engine's own follows from it.
_ENDS = (
    re.compile(r"Worker proc (\S+) died unexpectedly \(exit code: (-?\d+)\)"),
    re.compile(r"process (\S+) was killed by [\w ]+ \(exit code (-\d+)\)"),
    re.compile(r"'(\w+)': (-\d+)"),  # Failed core proc(s): {'EngineCore_DP0': -9}
)
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)


class EngineLog:
    """What an engine says from a moment on; what it said before is not why it ended."""

    def __init__(self, path: Path):
        self.path = path
        self._start = 0

    def begin(self) -> None:
        """From now on."""
        self._start = self.path.stat().st_size if self.path.exists() else 0

    def read(self) -> str:
        """What was said since; nothing where the file is gone."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._start)
                return file.read().decode(errors="replace")
        except OSError:
            return ""


@dataclass(frozen=True)
class Killed:
    """A process that a signal ended."""

    process: str
    exit_code: int  # minus the signal

    @property
    def from_outside(self) -> bool:
        """Whether nothing that the engine said can be the reason."""
        return -self.exit_code in _FROM_OUTSIDE

    def __str__(self) -> str:
        return end_of(self.process, self.exit_code)


def end_of(process: str, exit_code: int) -> str:
    """How a process ended, in words that `killed` understands."""
    if exit_code >= 0:
        return phrase(
            "its process {process} ended (exit code {code})", process=process, code=exit_code
        )
    return phrase(
        "its process {process} was killed by {signal} (exit code {code})",
        process=process, signal=_signal(exit_code), code=exit_code,
    )  # fmt: skip


def end_of_any(manager: Any) -> str | None:
    """The same of one that vLLM's manager of processes knows to have ended; None: of none."""
    failed = getattr(manager, "failed_proc_name", None)
    for process in getattr(manager, "processes", ()):
        if process.exitcode and failed in (None, process.name):
            return end_of(process.name, process.exitcode)
    return None


def _signal(exit_code: int) -> str:
    try:
        return signal.Signals(-exit_code).name
    except ValueError:
        return f"signal {-exit_code}"


def killed(said: str) -> Killed | None:
    """The process whose end by a signal ended the others; None: none was killed."""
    for end in _ENDS:
        for process, code in end.findall(said):
            if int(code) < 0:
                return Killed(process, int(code))
    return None


def ended_silently(said: str) -> str | None:
    """The process that was gone before it could say why, while the engine was loaded.

    vLLM sees its core's end before the exit code is known, and then lists no process at all.
    """
    if root_cause(said) is not None:
        return None
    if "WorkerProc initialization failed" in said:
        return phrase("a worker of it")
    return phrase("its core process") if "Failed core proc(s): {}" in said else None


def root_cause(said: str) -> str | None:
    """The error that ended an engine, such as "ValueError: ...", shortened.

    Of several the last, as those before it were survived; but one about memory before all, and
    what is only a consequence of another process's end where there is nothing else.
    """
    errors = list(_causes(said))
    own = [error for error in errors if not _is_consequence(error)]
    memory = [error for error in own if _has(error, _MEMORY)]
    first = next(iter(memory[:1] or own[-1:] or errors[:1]), None)
    return None if first is None else shortened(first)


def raised_in(line: str) -> str | None:
    """The error of a traceback's last line; None for others, and for one that only points on."""
    raised = _RAISED.match(line)
    return None if raised is None or _has(raised.group(), _WRAPPERS) else raised.group()


def shortened(cause: str) -> str:
    """A cause that fits into a sentence."""
    return cause if len(cause) <= LONGEST else cause[: LONGEST - 3] + "..."


def has_own_cause(said: str) -> bool:
    """Whether an error stands there that does not only follow from another process's end."""
    return not all(_is_consequence(error) for error in _causes(said))


def _causes(said: str) -> Iterator[str]:
    return (error for error in _errors(said) if not _has(error, _WRAPPERS))


def _errors(said: str) -> Iterator[str]:
    """Every exception that was raised or logged as an error. A warning may name one, too."""
    for line in said.splitlines():
        text = _SPEAKER.sub("", line)
        logged = _LOGGED.match(text)
        if logged is None:
            raised = _RAISED.match(text)
        elif logged.group(1) in _ERROR:
            text = text[logged.end() :]
            raised = _RAISED.match(text) or _MENTIONED.search(text)
        else:
            continue
        if raised is not None:
            yield " ".join(raised.group().split())


def _has(text: str, words: tuple[str, ...]) -> bool:
    lowered = text.lower()
    return any(word in lowered for word in words)


def _is_consequence(error: str) -> bool:
    name = error.split(":")[0].split(".")[-1]
    return name in _CONSEQUENCES or error.startswith(_CONSEQUENCES)


def way_out(text: str) -> str:
    """What to do about an engine that ended so."""
    lowered = text.lower()
    if text.startswith(_REFUSED):
        return "Correct its value, or leave it out."
    if _has(text, _MEMORY) or "no available memory for the cache blocks" in lowered:
        return "Lower --gpu-memory-utilization or --max-model-len, or use more GPUs."
    if "kv cache" in lowered and "larger" in lowered:
        return (
            "Raise --gpu-memory-utilization, or lower --max-model-len "
            "(auto is the minimum that fits)."
        )
    if "eaddrinuse" in lowered or "address already in use" in lowered:
        return (
            "Another program has that port on the machine (ss -ltnp there names it): end it, or "
            "wait until it has gone, and try again."
        )
    if MACHINE_GONE.search(text):
        return (
            "Look whether that machine and the network to it are up; `ray start` joins it again, "
            "and `ray status` must list its GPUs before the next run."
        )
    if "SIGKILL" in text or ENDED_SILENTLY in text:
        return (
            "Where nobody killed it, the machine or the container ran out of memory (dmesg says "
            "so): end other programs, or allow it more."
        )
    if "SIGBUS" in text:
        return "/dev/shm may be full; docker makes it larger with --shm-size 1g or --ipc host."
    return "run.log in the run folder holds the engine's own words."
