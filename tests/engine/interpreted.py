"""Programs beside vLLM whose Triton kernels run in Triton's interpreter, without a GPU."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]


def last_line(program: str, prelude: str = "", **variables: str) -> dict[str, Any]:
    """The JSON that the program prints last, in a process of its own with these variables."""
    done = subprocess.run(
        [sys.executable, "-c", prelude + textwrap.dedent(program)],
        cwd=PROJECT,
        env=os.environ | {"TRITON_INTERPRET": "1", "VLLM_LOGGING_LEVEL": "ERROR"} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found
