"""Whether the engine's processes can meet: each waits at a socket in the temporary folder."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from harness.errors import UsageError

MOST_PATH_BYTES = 107  # of a socket, on Linux
NAME_BYTES = 37  # a slash and the 36 characters of a UUID, as vLLM calls its sockets
VARIABLE_OF_VLLM = "VLLM_RPC_BASE_PATH"  # where it puts them instead, where that is set


def check() -> None:
    """Raises UsageError where no socket can be made."""
    try:
        temporary = tempfile.gettempdir()
    except FileNotFoundError as error:
        raise UsageError(
            "There is no temporary folder that can be written (TMPDIR, /tmp); make one."
        ) from error
    variable = VARIABLE_OF_VLLM if os.environ.get(VARIABLE_OF_VLLM) else "TMPDIR"
    folder = os.environ.get(VARIABLE_OF_VLLM) or temporary
    length, most = len(os.fsencode(folder)), MOST_PATH_BYTES - NAME_BYTES
    if length > most:
        raise UsageError(
            f"{variable}={folder}: this path has {length} bytes, and the sockets of the engine "
            f"allow {most} at most; use a shorter one, for example {variable}=/tmp."
        )
    if not (Path(folder).is_dir() and os.access(folder, os.W_OK | os.X_OK)):
        raise UsageError(
            f"{variable}={folder}: there is no such folder that can be written, and the engine "
            f"needs one for its sockets; make it, or use another, for example {variable}=/tmp."
        )
