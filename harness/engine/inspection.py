"""What vLLM asks about a model's class, found out while vLLM is being imported.

Before it loads a model, vLLM imports itself again in a process of its own, to see what the model's
class can do, and keeps the answer in its cache (vllm/model_executor/models/registry.py). On a first
start that would come after the import and take as long. Here it is done beside it; what fails here
vLLM does by itself.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

from harness import processes
from harness.terminal import output_to

# By then the import, which takes most of the time, is over in both processes.
_WAIT_S = 60.0


@contextlib.contextmanager
def beside(architectures: Sequence[str]) -> Iterator[None]:
    """Looks at the classes of a model while the body imports vLLM.

    Does nothing where vLLM is imported already.
    """
    inspection = Inspection()
    if "vllm" not in sys.modules:
        inspection.begin(architectures)
    try:
        yield
        inspection.wait()
    finally:
        inspection.end()


class Inspection:
    """One look at the classes of a model, in a process of its own.

    Begun and waited for in one thread, which has to outlive it; any thread may end it.
    """

    def __init__(self) -> None:
        self._process: BaseProcess | None = None
        self._ended = False
        self._lock = threading.Lock()

    def begin(self, architectures: Sequence[str]) -> None:
        """Starts the process, unless vLLM has kept all of what it would find out."""
        unknown = [name for name in architectures if not _is_kept(name)]
        if not unknown:
            return
        context = multiprocessing.get_context("spawn")
        arguments = (unknown, os.getpid())
        with self._lock, contextlib.suppress(OSError):  # of a limit on processes, say
            if self._ended:
                return
            process = context.Process(target=_inspect, args=arguments, daemon=True)
            process.start()
            self._process = process

    def wait(self) -> None:
        """Until it is over, which is soon after this process has imported vLLM; then ends it."""
        if self._process is not None:
            self._process.join(_WAIT_S)
        self.end()

    def end(self) -> None:
        """Ends it now, or before it begins; safe to call twice."""
        with self._lock:
            self._ended = True
            if self._process is not None:
                self._process.kill()


def _is_kept(architecture: str) -> bool:
    """Whether vLLM's cache holds such a class; vLLM sees whether it is the same one still."""
    of_vllm = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "vllm")
    root = Path(os.environ.get("VLLM_CACHE_ROOT", of_vllm)).expanduser()
    return any(root.joinpath("modelinfos").glob(f"*-{architecture}.json"))


def _inspect(architectures: Sequence[str], parent: int) -> None:
    """The whole life of the process."""
    processes.die_with_parent(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what happens
    # Another vLLM, or a class that it does not know: the engine's start tells.
    with output_to(Path(os.devnull)), contextlib.suppress(Exception):
        from vllm.model_executor.models import registry
        from vllm.plugins import load_general_plugins

        load_general_plugins()
        # This is the process that vLLM would start.
        registry._run_in_subprocess = lambda look: look()
        known = registry.ModelRegistry.models
        for name in known.keys() & set(architectures):
            known[name].inspect_model_cls()
