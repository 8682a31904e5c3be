"""What is changed in vLLM's client, which lives in this process: its AsyncLLM."""

from __future__ import annotations

from typing import Any


def disable_request_statistics(llm: Any) -> None:
    """Leaves vLLM's schedulers their word of each step, and its client no work on each token."""
    llm.log_stats = False
    llm.logger_manager = None
    llm.output_processor.log_stats = False


def cancel_output_handler(llm: Any) -> None:
    """Cancels the task that waits for answers: it would take the engine's end for a failure."""
    task = getattr(llm, "output_handler", None)
    if task is not None and not task.get_loop().is_closed():
        task.get_loop().call_soon_threadsafe(task.cancel)
