"""Which of a machine's GPUs CUDA shows this process, in CUDA's order, as handles of NVML.

NVML knows nothing of CUDA's variables, and CUDA must not be started to be asked. CUDA's words for
its variables: CUDA C++ Programming Guide, "CUDA Environment Variables"; for slices: MIG User Guide,
"CUDA Device Enumeration".
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_LEADING_NUMBER = re.compile(r"\+?\d+")  # CUDA reads a number as C does: "1gpu" is 1


@dataclass(frozen=True)
class Device:
    """What CUDA counts as one device: a GPU, or a slice of one (MIG)."""

    handle: Any
    gpu: Any  # the whole GPU, which alone has links and a meter for energy; None: not known
    is_slice: bool  # whether it is a part of a GPU that others may use as well


def ask(nvml: Any, function: str, *arguments: Any) -> Any:
    """What NVML answers; None where this GPU, driver or pynvml cannot tell, or may not."""
    if None in arguments:
        return None
    try:
        return getattr(nvml, function)(*arguments)
    except (AttributeError, nvml.NVMLError):
        return None


def devices(nvml: Any) -> list[Device]:
    """The devices that CUDA shows, its number 0 first."""
    in_order = _in_cudas_order(nvml)
    text = os.environ.get("CUDA_VISIBLE_DEVICES")
    shown = in_order if text is None else _chosen(nvml, text.strip(), in_order)
    # CUDA shows one slice alone, and beside it no whole GPU.
    slices = [device for device in shown if device.is_slice]
    return slices[:1] or shown


def _in_cudas_order(nvml: Any) -> list[Device]:
    """All GPUs; one that is cut into slices stands for its first.

    An engine is told to count them as NVML does, by their place on the bus, unless the user says
    otherwise.
    """
    handles = [
        ask(nvml, "nvmlDeviceGetHandleByIndex", index)
        for index in range(ask(nvml, "nvmlDeviceGetCount") or 0)
    ]
    gpus = [handle for handle in handles if handle is not None]
    if os.environ.get("CUDA_DEVICE_ORDER") == "FASTEST_FIRST":
        gpus.sort(key=lambda gpu: _speed(nvml, gpu), reverse=True)
    return [_usable(nvml, gpu) for gpu in gpus]


def _speed(nvml: Any, gpu: Any) -> int:
    cores = ask(nvml, "nvmlDeviceGetNumGpuCores", gpu) or 0
    clock = ask(nvml, "nvmlDeviceGetMaxClockInfo", gpu, getattr(nvml, "NVML_CLOCK_SM", 1)) or 0
    return int(cores * clock)


def _usable(nvml: Any, gpu: Any) -> Device:
    part = next(_slices(nvml, gpu), None)
    return Device(gpu if part is None else part, gpu, part is not None)


def _slices(nvml: Any, gpu: Any) -> Iterator[Any]:
    """The slices of a GPU; none of one that is whole."""
    mode = ask(nvml, "nvmlDeviceGetMigMode", gpu)
    if not mode or not mode[0]:
        return
    for index in range(ask(nvml, "nvmlDeviceGetMaxMigDeviceCount", gpu) or 0):
        part = ask(nvml, "nvmlDeviceGetMigDeviceHandleByIndex", gpu, index)
        if part is not None:
            yield part


def _chosen(nvml: Any, text: str, in_order: Sequence[Device]) -> list[Device]:
    """Those that CUDA_VISIBLE_DEVICES names.

    All names must be of the first one's kind. What follows a name that CUDA does not know is
    ignored, and one that is there twice hides them all.
    """

    def by_number(name: str) -> Device | None:
        number = _LEADING_NUMBER.match(name)
        index = int(number.group()) if number else len(in_order)
        return in_order[index] if index < len(in_order) else None

    def by_uuid(name: str) -> Device | None:
        if not name.startswith(kind):
            return None
        return _named(nvml, name, [device.gpu for device in in_order])

    kind = text[:4]
    find: Callable[[str], Device | None] = by_uuid if kind in ("GPU-", "MIG-") else by_number
    chosen: dict[Hashable, Device] = {}
    for name in (part.strip() for part in text.split(",")):
        device = find(name)
        if device is None:
            break
        if (known := _identity(nvml, device)) in chosen:
            return []
        chosen[known] = device
    return list(chosen.values())


def _identity(nvml: Any, device: Device) -> Hashable:
    return ask(nvml, "nvmlDeviceGetUUID", device.handle) or id(device.handle)


def _named(nvml: Any, name: str, gpus: Sequence[Any]) -> Device | None:
    """The device of this UUID, or the only one whose UUID begins so."""
    handle = ask(nvml, "nvmlDeviceGetHandleByUUID", name)
    if handle is None:
        is_slice = name.startswith("MIG-")
        known = [part for gpu in gpus for part in _slices(nvml, gpu)] if is_slice else gpus
        matching = [one for one in known if _uuid(nvml, one).startswith(name)]
        if len(matching) != 1:
            return None
        (handle,) = matching
    if not name.startswith("MIG-"):
        return _usable(nvml, handle)
    gpu = ask(nvml, "nvmlDeviceGetDeviceHandleFromMigDeviceHandle", handle)
    return Device(handle, gpu, is_slice=True)


def _uuid(nvml: Any, handle: Any) -> str:
    return str(ask(nvml, "nvmlDeviceGetUUID", handle) or "")
