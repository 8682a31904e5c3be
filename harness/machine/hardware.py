"""What a submission says of a machine beyond a run's own needs, read from Linux without root."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.machine.gpus import Gpus

SECTOR_BYTES = 512  # the unit of /sys/block/*/size, whatever the disk's own sectors are
_DISKS = ("nvme", "sd", "vd", "hd", "xvd")


@dataclass(frozen=True)
class Hardware:
    """Parts of one machine; an unknown is None."""

    cpu_sockets: int | None
    cpu_cores_per_socket: int | None
    cpu_max_mhz: float | None
    cpu_caches: str | None  # of the first core: "L1d 32K, L1i 32K, L2 1024K, L3 36608K"
    storage_bytes: int | None  # of all disks
    storage_type: str | None
    network_cards: int | None
    gpu_max_mhz: int | None = None
    gpu_pcie: str | None = None  # "PCIe Gen5 x16"
    gpu_nvlinks: int | None = None  # links in use, of one GPU


def collect(gpus: Gpus, *, root: Path = Path("/")) -> Hardware:
    """Looks at /proc and /sys under `root`, and takes the rest from `gpus`. Never raises."""
    sockets, cores = _cpu_layout(root / "proc/cpuinfo")
    mhz = _number(root / "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
    disks = _disks(root / "sys/block")
    return Hardware(
        cpu_sockets=sockets,
        cpu_cores_per_socket=cores,
        cpu_max_mhz=None if mhz is None else mhz / 1000,
        cpu_caches=_caches(root / "sys/devices/system/cpu/cpu0/cache"),
        storage_bytes=sum(size for size, _ in disks) or None,
        storage_type=", ".join(sorted({kind for _, kind in disks})) or None,
        network_cards=_network_cards(root / "sys/class/net"),
        gpu_max_mhz=gpus.max_mhz,
        gpu_pcie=gpus.pcie,
        gpu_nvlinks=gpus.nvlinks,
    )


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return None


def _number(path: Path) -> int | None:
    text = _text(path)
    return int(text) if text and text.isdecimal() else None


def _entries(folder: Path) -> Sequence[Path]:
    with contextlib.suppress(OSError):
        return sorted(folder.iterdir())
    return ()


def _cpu_layout(cpuinfo: Path) -> tuple[int | None, int | None]:
    """Sockets, and cores of each; a virtual machine may name neither."""
    sockets, cores = set[str](), set[str]()
    for line in (_text(cpuinfo) or "").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "physical id":
            sockets.add(value.strip())
        elif key.strip() == "cpu cores":
            cores.add(value.strip())
    return len(sockets) or None, int(cores.pop()) if len(cores) == 1 else None


def _caches(folder: Path) -> str | None:
    caches = []
    for index in _entries(folder):
        level, kind, size = (_text(index / name) for name in ("level", "type", "size"))
        if level and kind and size:
            letter = {"Data": "d", "Instruction": "i"}.get(kind, "")
            caches.append(f"L{level}{letter} {size}")
    return ", ".join(caches) or None


def _disks(folder: Path) -> list[tuple[int, str]]:
    """Size in bytes and kind of every disk."""
    disks = []
    for disk in _entries(folder):
        size = _number(disk / "size")
        if size and disk.name.startswith(_DISKS):
            disks.append((size * SECTOR_BYTES, _kind(disk)))
    return disks


def _kind(disk: Path) -> str:
    if disk.name.startswith("nvme"):
        return "NVMe SSD"
    if disk.name.startswith(("vd", "xvd")):
        return "virtual disk"  # what lies behind it is unknown, and it claims to rotate
    return "HDD" if _number(disk / "queue/rotational") == 1 else "SSD"


def _network_cards(folder: Path) -> int | None:
    """Interfaces with a device behind them; bridges and containers' own have none."""
    interfaces = _entries(folder)
    return sum((interface / "device").exists() for interface in interfaces) or None
