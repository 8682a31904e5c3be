"""Environment variables: some hold for a while, and some of the user's must make sense."""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from harness.errors import UsageError

_ENDPOINT = "HF_ENDPOINT"
_HOST = re.compile(r"[\w.-]+|[\da-f:.]+")  # a name, or an address of version 6
_SECONDS = ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT")
# How long vLLM waits for its workers to do a step before it gives the engine up.
_STEP_LIMIT, _STEP_LIMIT_S = "VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS", 300
_AFTER_US_S = 60
_A_WEEK_S = 7 * 86_400  # as good as no limit, and its milliseconds fit into 32 bits


@contextlib.contextmanager
def set_while(needed: Mapping[str, str]) -> Iterator[None]:
    """Sets variables that processes started meanwhile take over, and only they."""
    before = {name: os.environ.get(name) for name in needed}
    os.environ.update(needed)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def set_those_of_vllm() -> None:
    """What vLLM reads from the environment when it is imported; the user's own values win."""
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    # FlashInfer's sampler is compiled at the first use, which needs nvcc; greedy decoding never
    # calls it.
    os.environ.setdefault("VLLM_USE_FLASHINFER_SAMPLER", "0")
    # CUDA would put the fastest GPU first, vLLM and NVML go by the bus: all count in one order.
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")


def limit_on_a_step(stall_timeout_s: float, at_once: int) -> dict[str, str]:
    """vLLM's own limit on a step, which is not to end an engine that --stall-timeout lets be slow.

    vLLM counts from the moment at which a step is handed out, and so many may be `at_once`. Its
    limit comes after ours, whose sentence names the flag. The user's own value wins.
    """
    wanted = at_once * math.ceil(stall_timeout_s) + _AFTER_US_S
    seconds = max(_STEP_LIMIT_S, min(wanted, _A_WEEK_S))
    return {_STEP_LIMIT: os.environ.get(_STEP_LIMIT, str(seconds))}


def check_those_of_the_hub() -> None:
    """Raises UsageError for what the hub's client cannot be imported with, or never reaches it by.

    Empty ones, as docker makes of an empty line in .env, are taken for absent.
    """
    for name in (_ENDPOINT, *_SECONDS):
        if os.environ.get(name, "absent").strip() == "":
            del os.environ[name]
    endpoint = os.environ.get(_ENDPOINT)
    if endpoint is not None and not _is_address(endpoint):
        raise UsageError(
            f"{_ENDPOINT}={endpoint}: this is no address of a hub; write it whole, for example "
            f"{_ENDPOINT}=https://huggingface.co, or unset it."
        )
    for name in _SECONDS:
        value = os.environ.get(name)
        if value is not None and not (value.strip().isdecimal() and int(value)):
            raise UsageError(
                f"{name}={value}: this is no whole number of seconds above 0; correct or unset it."
            )


def _is_address(text: str) -> bool:
    try:
        address = urlsplit(text)
        port = address.port  # which raises for 99999
    except ValueError:
        return False
    host = address.hostname or ""
    return address.scheme in ("http", "https") and _HOST.fullmatch(host) is not None and port != 0
