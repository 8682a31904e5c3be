"""A run lives on whatever becomes of the terminal it was started from."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from harness.terminal import progress_line
from tests.conftest import PROJECT

# A file is kept open along the way, as a run folder's lock is.
SCRIPT = """
import os, sys
from pathlib import Path
from harness import terminal
shown = terminal.Terminal()
kept = open(sys.argv[1] + ".kept", "w")
shown.say("before")
with terminal.output_to(Path(sys.argv[1])):
    print("said", flush=True)
    os.system("echo by a child; echo an error >&2")
print("after")
shown.say("after")
kept.write("kept")
kept.close()
"""


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_a_program_whose_streams_are_closed_runs_on(closed: str, tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    command = [sys.executable, "-c", SCRIPT, str(log)]
    done = subprocess.run(
        ["bash", "-c", f'"$@" {closed}', "bash", *command], cwd=PROJECT, check=False,
        capture_output=True, text=True,
    )  # fmt: skip

    assert (done.returncode, done.stderr) == (0, "")
    assert log.read_text() == "said\nby a child\nan error\n"
    assert (tmp_path / "run.log.kept").read_text() == "kept"
    assert done.stdout == ("" if ">&-" in closed.replace("2>&-", "") else "before\nafter\nafter\n")


def test_a_terminal_that_was_closed_does_not_end_the_program(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    script = (
        "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_IGN)\n"
        "from harness.terminal import Terminal\n"
        "shown = Terminal(); shown.say('up'); sys.stdin.read()\n"
        "shown.say('to nobody'); print('here', file=open(sys.argv[1], 'w'))\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "witness")], cwd=PROJECT,
        stdin=subprocess.PIPE, stdout=theirs, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    os.close(theirs)
    assert os.read(ours, 10).startswith(b"up")
    os.close(ours)
    _, said = process.communicate(timeout=20)

    assert (process.returncode, said) == (0, "")
    assert (tmp_path / "witness").read_text() == "here\n"


DOWNLOADING = """
from harness import terminal
terminal.PLAIN_LINE_EVERY_S = 0
with terminal.Terminal().downloading("A model", 2_000_000) as show:
    show(500_000)
    show(2_000_000)
"""


def test_a_download_is_told_in_plain_lines_where_nobody_looks() -> None:
    done = subprocess.run(
        [sys.executable, "-c", DOWNLOADING], cwd=PROJECT, capture_output=True, text=True, check=True
    )

    assert done.stdout == "  A model: 0.5 MB of 2.0 MB\n  A model: 2.0 MB of 2.0 MB\n"


def test_a_download_has_a_bar_on_a_terminal() -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"}
    subprocess.run(
        [sys.executable, "-c", DOWNLOADING], cwd=PROJECT, stdout=theirs, check=True, env=environment
    )
    os.close(theirs)

    shown = os.read(ours, 1 << 16).decode()

    os.close(ours)
    assert "A model" in shown
    assert "2.0/2.0 MB" in shown
    assert "━" in shown


@pytest.mark.parametrize(
    ("elapsed_s", "done", "left"),
    [
        (10, 0, ""),
        (20, 1, ", about 41 s left"),
        (30, 1, ", about 31 s left"),  # not longer because none was answered meanwhile
        (31, 2, ", about 30 s left"),
        (60, 3, ", about 1.2 s left"),
        (63, 3, ""),  # it takes longer than those before
    ],
)
def test_the_time_left_runs_down_while_a_slow_engine_works_on_a_sample(
    elapsed_s: float, done: int, left: str
) -> None:
    line = progress_line("warm-up", done, 4, 8 * int(elapsed_s), elapsed_s, last_done_s=15.3 * done)

    assert line == f"warm-up: {done} of 4 samples, 8.00 tokens/s{left}"


def test_the_time_left_of_many_samples_is_in_proportion() -> None:
    line = progress_line("MMLU", 120, 13_368, 0, 60.0, of_questions=True)

    assert line == "MMLU: 120 of 13,368 questions, about 1 h 50 min left"
