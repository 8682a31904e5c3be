"""Doubles of NVML: a driver of three GPUs, and machines of which little is known."""

from __future__ import annotations

import types
from typing import Any

GIB = 2**30


class NVMLError(Exception):
    pass


class FakeNvml(types.ModuleType):
    """Three GPUs with 10, 4 and 7 of 80 GiB free."""

    NVMLError = NVMLError
    free_gib = (10, 4, 7)

    def __init__(self, *, broken: bool = False) -> None:
        super().__init__("pynvml")
        self.broken = broken
        self.open = 0

    def nvmlInit(self) -> None:
        if self.broken:
            raise NVMLError("Driver Not Loaded")
        self.open += 1

    def nvmlShutdown(self) -> None:
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:
        return len(self.free_gib)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> int:
        return index

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> int:
        if uuid != "GPU-two":
            raise NVMLError("Not Found")
        return 2

    def nvmlDeviceGetName(self, _handle: int) -> str:
        return "NVIDIA H200"

    def nvmlDeviceGetMemoryInfo(self, handle: int) -> Any:
        return types.SimpleNamespace(free=self.free_gib[handle] * GIB, total=80 * GIB)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: int) -> int:
        return 1000 * (handle + 1)

    def nvmlSystemGetDriverVersion(self) -> str:
        return "580.65.06"

    def nvmlSystemGetCudaDriverVersion(self) -> int:
        return 13010


class Machine(FakeNvml):
    """GPUs with UUIDs, of which NVML tells what is in `facts` and no more."""

    def __init__(self, *uuids: str, slices: dict[int, list[str]] | None = None, **facts: Any):
        super().__init__()
        self.uuids = list(uuids)
        self.slices = slices or {}  # of each GPU that is cut up, their UUIDs
        self.facts = facts

    def fact(self, name: str, handle: Any) -> Any:
        known = self.facts.get(name, {})
        if handle not in known:
            raise NVMLError("Not Supported")
        return known[handle]

    def nvmlDeviceGetCount(self) -> int:
        return len(self.uuids)

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> Any:
        if uuid in self.uuids:
            return self.uuids.index(uuid)
        if any(uuid in parts for parts in self.slices.values()):
            return uuid
        raise NVMLError("Not Found")

    def nvmlDeviceGetUUID(self, handle: Any) -> str:
        return handle if isinstance(handle, str) else self.uuids[handle]

    def nvmlDeviceGetMigMode(self, handle: int) -> list[int]:
        return [int(handle in self.slices)] * 2

    def nvmlDeviceGetMaxMigDeviceCount(self, _handle: int) -> int:
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, handle: int, index: int) -> str:
        if index >= len(self.slices[handle]):
            raise NVMLError("Not Found")
        return self.slices[handle][index]

    def nvmlDeviceGetDeviceHandleFromMigDeviceHandle(self, part: str) -> int:
        return next(gpu for gpu, parts in self.slices.items() if part in parts)

    def nvmlDeviceGetName(self, handle: Any) -> Any:
        return self.fact("name", handle)

    def nvmlDeviceGetMemoryInfo(self, handle: Any) -> Any:
        free, total = self.fact("memory_gib", handle)
        return types.SimpleNamespace(free=free * GIB, total=total * GIB)

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any) -> Any:
        return self.fact("energy_mj", handle)

    def nvmlDeviceGetNumGpuCores(self, handle: Any) -> Any:
        return self.fact("cores", handle)

    def nvmlDeviceGetMaxClockInfo(self, handle: Any, _kind: int) -> Any:
        return self.fact("mhz", handle)
