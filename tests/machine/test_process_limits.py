"""What a process may use, from made-up trees of /proc and /sys, and from this machine."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from harness.machine import cgroup, process_limits
from harness.machine import system as system_info
from harness.machine.process_limits import Room

GIB = 2**30
V2 = "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "31 23 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "32 23 0:28 / /sys/fs/cgroup/memory rw shared:9 - cgroup cgroup rw,memory\n"
)


def tree(root: Path, groups: str, mounts: str, **files: str) -> Path:
    """`root` as a file system; the names of `files` have two underscores for a slash."""
    named = {"proc/self/cgroup": groups, "proc/self/mountinfo": mounts}
    named |= {"sys/fs/cgroup/" + name.replace("__", "/"): text for name, text in files.items()}
    for name, text in named.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def with_dots(**files: str) -> dict[str, str]:
    """Files of version 2 and 1, whose names have a dot: `memory_max` is memory.max."""
    known = ("memory_", "cpu_")
    dotted = {}
    for name, text in files.items():
        folder, _, last = name.rpartition("__")
        for start in known:
            if last.startswith(start):
                last = start.replace("_", ".") + last.removeprefix(start)
        dotted[f"{folder}__{last}" if folder else last] = text
    return dotted


def v2(root: Path, **files: str) -> Path:
    return tree(root, "0::/a.slice/job\n", V2, **with_dots(**files))


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"a.slice__job__cpu_max": "150000 100000\n"}, 1.5),
        ({"a.slice__job__cpu_max": "max 100000\n"}, None),
        # The group around it gives less.
        ({"a.slice__job__cpu_max": "800000 100000\n", "a.slice__cpu_max": "50000 100000\n"}, 0.5),
        ({"a.slice__job__cpu_max": "max 100000\n", "a.slice__cpu_max": "400000 100000\n"}, 4.0),
        ({"a.slice__job__cpu_max": "0 100000\n"}, None),
        ({"a.slice__job__cpu_max": "\n"}, None),
        ({"other__cpu_max": "100000 100000\n"}, None),
        ({}, None),
    ],
)
def test_the_quota_of_version_2_is_the_smallest_up_the_hierarchy(
    tmp_path: Path, files: dict[str, str], quota: float | None
) -> None:
    assert cgroup.cpu_quota(v2(tmp_path, **files)) == quota


@pytest.mark.parametrize(
    ("files", "memory"),
    [
        ({"a.slice__job__memory_max": "max\n", "a.slice__memory_max": "max"}, (None, None)),
        ({"a.slice__job__memory_max": f"{8 * GIB}\n"}, (8 * GIB, 8 * GIB)),
        # Above `high` the kernel slows the process down and takes its memory back.
        (
            {"a.slice__job__memory_max": f"{8 * GIB}\n", "a.slice__job__memory_high": f"{6 * GIB}"},
            (6 * GIB, 6 * GIB),
        ),
        # The group around it is smaller, and others in it use some.
        (
            {
                "a.slice__job__memory_max": f"{8 * GIB}\n",
                "a.slice__job__memory_current": f"{GIB}\n",
                "a.slice__memory_max": f"{4 * GIB}\n",
                "a.slice__memory_current": f"{3 * GIB}\n",
                "a.slice__memory_stat": f"anon {GIB}\ninactive_file {GIB}\n",
            },
            (4 * GIB, 2 * GIB),
        ),
        ({"a.slice__job__memory_max": "4096", "a.slice__job__memory_current": "5000"}, (4096, 0)),
        ({}, (None, None)),
    ],
)
def test_the_memory_of_version_2_is_the_smallest_up_the_hierarchy(
    tmp_path: Path, files: dict[str, str], memory: tuple[int | None, int | None]
) -> None:
    assert cgroup.memory(v2(tmp_path, **files)) == cgroup.Memory(*memory)


def test_version_1_is_read_from_the_mounts_of_its_controllers(tmp_path: Path) -> None:
    unlimited = "9223372036854771712\n"
    files = with_dots(
        **{
            "cpu,cpuacct__job__cpu_cfs_quota_us": "250000\n",
            "cpu,cpuacct__job__cpu_cfs_period_us": "100000\n",
            "cpu,cpuacct__cpu_cfs_quota_us": "-1\n",
            "cpu,cpuacct__cpu_cfs_period_us": "100000\n",
            "memory__job__memory_limit_in_bytes": f"{2 * GIB}\n",
            "memory__job__memory_usage_in_bytes": f"{GIB}\n",
            "memory__job__memory_stat": f"inactive_file 0\ntotal_inactive_file {GIB // 2}\n",
            "memory__memory_limit_in_bytes": unlimited,
        }
    )
    root = tree(tmp_path, "5:cpu,cpuacct:/job\n4:memory:/job\n0::/\n", V1, **files)

    assert cgroup.cpu_quota(root) == 2.5
    assert cgroup.memory(root) == cgroup.Memory(2 * GIB, 3 * GIB // 2)


@pytest.mark.parametrize(
    ("group", "shown"),
    [
        ("/docker/abc", "/docker/abc"),  # the machine's name, and a mount of this group alone
        ("/docker/abc", "/docker/other"),
        ("/../abc", "/"),  # a group outside of what is shown
        ("/", "/"),
    ],
)
def test_in_a_container_the_mount_is_the_group(tmp_path: Path, group: str, shown: str) -> None:
    mounts = f"30 23 0:26 {shown} /sys/fs/cgroup ro - cgroup2 cgroup rw\n"
    files = with_dots(cpu_max="200000 100000\n", memory_max=f"{GIB}\n")
    root = tree(tmp_path, f"0::{group}\n", mounts, **files)

    assert cgroup.cpu_quota(root) == 2.0
    assert cgroup.memory(root).limit_bytes == GIB


@pytest.mark.parametrize(
    ("groups", "mounts"), [("", V2), ("0::/\n", ""), ("nonsense\n", "nonsense\n - \n")]
)
def test_what_nobody_says_is_unknown_and_not_zero(tmp_path: Path, groups: str, mounts: str) -> None:
    root = tree(tmp_path, groups, mounts)

    limits = process_limits.collect(root)
    assert (limits.cpu_quota, limits.memory_limit_bytes) == (None, None)
    assert limits.shared_memory_bytes is None
    assert process_limits.shared_memory(root) is None


@pytest.mark.parametrize(
    ("allowed", "quota", "cores"),
    [(8, "max", 8), (8, "250000", 2), (2, "400000", 2), (8, "50000", 1), (1, "max", 1)],
)
def test_the_cores_are_those_allowed_or_the_time_for_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, allowed: int, quota: str, cores: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(allowed)))
    root = v2(tmp_path, **{"a.slice__job__cpu_max": f"{quota} 100000\n"})

    assert process_limits.core_count(root) == cores


@pytest.mark.parametrize(
    ("limit", "used", "room", "limited"),
    [
        (8 * GIB, GIB, Room(8 * GIB, 7 * GIB), True),
        (8 * GIB, 8 * GIB, Room(8 * GIB, 0), True),
        (20 * GIB, 0, Room(20 * GIB, 10 * GIB), True),  # others of the machine use the rest
        (64 * GIB, 0, Room(24 * GIB, 10 * GIB), False),
        (None, 0, Room(24 * GIB, 10 * GIB), False),
    ],
)
def test_the_memory_is_the_machines_or_the_groups_where_that_is_less(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    limit: int | None,
    used: int,
    room: Room,
    limited: bool,
) -> None:
    machine = SimpleNamespace(total=24 * GIB, available=10 * GIB)
    monkeypatch.setattr("psutil.virtual_memory", lambda: machine)
    files = {"a.slice__job__memory_max": str(limit or "max")}
    root = v2(tmp_path, **files, **{"a.slice__job__memory_current": str(used)})

    assert process_limits.memory(root) == room
    assert process_limits.memory_is_limited(root) is limited


def test_this_process_knows_what_it_may_use() -> None:
    limits = process_limits.collect()
    shared, room = process_limits.shared_memory(), process_limits.memory()

    assert limits.machine_cpu_count == os.cpu_count()
    assert limits.open_files == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    assert process_limits.allowed_cores() == frozenset(os.sched_getaffinity(0))
    assert shared is not None
    assert limits.shared_memory_bytes == shared.total_bytes > 0
    assert room is not None
    assert 0 < room.free_bytes <= room.total_bytes
    assert system_info.collect().limits == limits


def test_the_limit_on_open_files_is_raised_for_this_process_and_its_children() -> None:
    code = (
        "import resource, subprocess\n"
        "from harness.machine import process_limits\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (100, 900))\n"
        "process_limits.raise_open_files()\n"
        "print(process_limits.open_files(), process_limits.most_open_files(), flush=True)\n"
        "subprocess.run(['sh', '-c', 'ulimit -n'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["900", "900", "900"]


def test_a_quota_below_the_cores_is_the_time_that_there_is() -> None:
    system = replace(system_info.collect(), cpu_count=8)
    assert system.limits is not None

    for quota, cores in ((None, 8), (2.5, 2.5), (16.0, 8)):
        limits = replace(system.limits, cpu_quota=quota)
        assert replace(system, limits=limits).cores_of_time == cores
    assert replace(system, limits=None).cores_of_time == 8
