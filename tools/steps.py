"""The steps of an installation: a line for people, the output in a log, a sign of life."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
IN_VENV = (str(PYTHON), "-I")  # whatever PYTHONPATH and the like say
LOG = VENV / "setup.log"  # of the latest step
HEARTBEAT_S = 15


class SetupError(Exception):
    """What could not be had and what to do, for the person who typed make."""


def run(
    what: str,
    command: list[str],
    *,
    check: bool = True,
    hint: str = "",
    environment: Mapping[str, str] | None = None,
) -> bool:
    """One step; whether it succeeded. Raises SetupError when it fails, unless `check` is False."""
    print(f"  {what}", flush=True)
    with LOG.open("w") as log:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            _wait(process)
        except BaseException:
            _stop(process)
            raise
    if check and process.returncode:
        raise _failure(what, LOG, hint)
    return process.returncode == 0


@contextlib.contextmanager
def meanwhile(what: str, command: list[str], *, hint: str = "") -> Iterator[None]:
    """A step that runs beside those of the block and is waited for at its end."""
    print(f"  {what}, meanwhile", flush=True)
    log_path = LOG.with_name("setup-meanwhile.log")
    with log_path.open("w") as log:
        process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            yield
            process.wait()
        except BaseException:
            _stop(process)
            raise
    if process.returncode:
        raise _failure(what, log_path, hint)


def log_lines(log: Path = LOG) -> list[str]:
    """What a step printed, for people: no warnings, no endless lines."""
    lines = map(str.strip, log.read_text(errors="replace").splitlines())
    said = [line for line in lines if line and not line.lower().startswith("warning")]
    return [f"{line[:100]} ..." if len(line) > 100 else line for line in said]


def _wait(process: subprocess.Popen[bytes]) -> None:
    started = time.monotonic()
    while process.poll() is None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(HEARTBEAT_S)
        if process.poll() is None:
            elapsed_s = time.monotonic() - started
            print(f"    {elapsed_s:.0f} s  {''.join(log_lines()[-1:])}", flush=True)


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.send_signal(signal.SIGINT)  # lets the installer remove its temporary files
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(10)
    process.kill()


def _failure(what: str, log: Path, hint: str) -> SetupError:
    lines = log_lines(log)
    errors = [line for line in lines if line.startswith(("ERROR", "error"))] or lines
    last = "\n".join(f"  {line}" for line in errors[-5:])
    return SetupError(f"{what}: failed ({log.relative_to(ROOT)} has the whole).\n{last}\n{hint}")
