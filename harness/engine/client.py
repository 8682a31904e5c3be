"""What is changed in vLLM's client, which lives in this process: its AsyncLLM."""

from __future__ import annotations

from typing import Any


def without_request_statistics(llm: Any) -> None:
    """Leaves vLLM's schedulers their word of each step, and its client no work on each token."""
    llm.log_stats = False
    llm.logger_manager = None
    llm.output_processor.log_stats = False


def listen_no_more(llm: Any) -> None:
    """Ends the wait for answers, before an engine ends: its end would be taken for a failure."""
    listener = getattr(llm, "output_handler", None)
    if listener is not None and not listener.get_loop().is_closed():
        listener.get_loop().call_soon_threadsafe(listener.cancel)
