"""Why an engine on several machines did not start: Ray's errors, in one sentence."""

from __future__ import annotations

import logging
import re

from harness.engine import causes

log = logging.getLogger("harness")
_COLOURS = re.compile(r"\x1b\[[\d;]*m")
# "ray::Worker.init_device() (pid=4394, ip=10.0.0.2, ...": whose traceback follows.
_WHOSE = re.compile(r"ray::\S+\(.*?\) \(pid=\d+, ip=([^,)\s]+)")
# A process that ended without an error of its own.
_ENDED = re.compile(r"class_name: (\S+)[\s\S]*?\bip: (\S+)\s[\s\S]*?worker process has died")
_ASKED_TO_END = ("ray.kill", "owner has died", "out of scope")
_WORKER_ENDED = ("RuntimeError: Executor failed", "RuntimeError: cancelled")  # vLLM says no more
_NODE_ENDED = re.compile(r"NODE_DIED|node (?:it was running on|has) (?:died|been marked dead)")


def in_short(error: Exception) -> str:
    """What an exception of vLLM says; where Ray has nested tracebacks in it, the innermost error.

    The log then holds the whole of it.
    """
    text = str(error)
    cause = of_ray(text)
    if cause is None:
        return text
    log.error("%s", plain(text))
    return cause


def plain(text: str) -> str:
    """A text without the escapes that colour it."""
    return _COLOURS.sub("", text)


def of_ray(text: str) -> str | None:
    """The error deepest in the tracebacks that Ray has put into one, and on which machine it was.

    None where the text is not Ray's.
    """
    text = plain(text)
    if ended := _ENDED.search(text):
        machine = "its machine is gone" if _NODE_ENDED.search(text) else causes.ENDED_SILENTLY
        return f"its process {ended[1]} on {ended[2]} {machine}"
    where = None
    for line in text.splitlines():
        if whose := _WHOSE.search(line):
            where = whose[1]
        # Python puts the cause before what followed from it.
        if where is not None and (error := causes.raised_in(line)):
            if error.startswith(_WORKER_ENDED):
                return f"a worker of its copy on {where} {causes.ENDED_SILENTLY}"
            return f"{causes.shortened(error)} on {where}"
    return None


def was_asked_to_end(text: str) -> bool:
    """Whether the process of an error ended because another one had it end."""
    return any(words in text for words in _ASKED_TO_END)
