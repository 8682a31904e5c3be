"""What Linux says of a machine, from a made-up /proc and /sys."""

from __future__ import annotations

from pathlib import Path

from harness.machine import hardware
from harness.machine.gpus import Gpus

FILES = {
    "proc/cpuinfo": "physical id\t: 0\ncpu cores\t: 8\n\nphysical id\t: 1\ncpu cores\t: 8\n",
    "sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq": "3800000\n",
    "sys/devices/system/cpu/cpu0/cache/index0/level": "1\n",
    "sys/devices/system/cpu/cpu0/cache/index0/type": "Data\n",
    "sys/devices/system/cpu/cpu0/cache/index0/size": "32K\n",
    "sys/devices/system/cpu/cpu0/cache/index1/level": "3\n",
    "sys/devices/system/cpu/cpu0/cache/index1/type": "Unified\n",
    "sys/devices/system/cpu/cpu0/cache/index1/size": "36608K\n",
    "sys/block/nvme0n1/size": "2000\n",
    "sys/block/sda/size": "1000\n",
    "sys/block/sda/queue/rotational": "1\n",
    "sys/block/loop0/size": "5000\n",
    "sys/class/net/lo/type": "772\n",
    "sys/class/net/eth0/device/vendor": "0x1\n",
    "sys/class/net/eth1/device/vendor": "0x1\n",
}


def test_a_machine_is_described_by_what_lies_in_proc_and_sys(tmp_path: Path) -> None:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    gpus = Gpus(1, pcie="PCIe Gen5 x16")

    assert hardware.collect(gpus, root=tmp_path) == hardware.Hardware(
        cpu_sockets=2,
        cpu_cores_per_socket=8,
        cpu_max_mhz=3800.0,
        cpu_caches="L1d 32K, L3 36608K",
        storage_bytes=(2000 + 1000) * 512,
        storage_type="HDD, NVMe SSD",
        network_cards=2,
        gpu_max_mhz=None,
        gpu_pcie="PCIe Gen5 x16",
        gpu_nvlinks=None,
    )


def test_a_machine_that_says_nothing_is_unknown(tmp_path: Path) -> None:
    unknown = hardware.collect(Gpus(0), root=tmp_path)

    assert set(vars(unknown).values()) == {None}
