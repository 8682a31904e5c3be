"""The limits of control groups of both versions, as a machine, a container and nobody sets them."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.machine import limits
from harness.machine.limits import Limits


def group(root: Path, path: str, **files: str) -> None:
    """A control group; in the names of its files two underscores stand for a dot."""
    folder = root / "sys/fs/cgroup" / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text + "\n")


def found(root: Path, groups: str) -> Limits:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups + "\n")
    return limits.collect(root)


def test_the_tightest_group_of_version_2_counts_wherever_it_is_above(tmp_path: Path) -> None:
    group(tmp_path, "", memory__max="max", cpu__max="max 100000")
    group(tmp_path, "box", memory__max="8000", memory__current="5000", cpu__max="150000 100000",
          memory__stat="anon 3000\ninactive_file 1000")  # fmt: skip
    group(tmp_path, "box/run", memory__max="9000", memory__current="100", cpu__max="400000 100000")

    allowed = found(tmp_path, "0::/box/run")

    assert (allowed.free_memory_bytes, allowed.cores) == (8000 - 5000 + 1000, 1.5)


def test_a_container_that_sees_only_its_own_group_is_read(tmp_path: Path) -> None:
    group(tmp_path, "", memory__max="4096", memory__current="96", cpu__max="50000 100000")

    allowed = found(tmp_path, "0::/../../somewhere/of/the/host")

    assert (allowed.free_memory_bytes, allowed.cores) == (4000, 0.5)


def test_version_1_has_a_folder_for_each_kind(tmp_path: Path) -> None:
    group(tmp_path, "memory/docker", memory__limit_in_bytes="7000", memory__usage_in_bytes="6000",
          memory__stat="total_inactive_file 500")  # fmt: skip
    group(tmp_path, "cpu/docker", cpu__cfs_quota_us="200000", cpu__cfs_period_us="100000")

    allowed = found(tmp_path, "4:memory:/docker\n1:cpu,cpuacct:/docker\n0::/")

    assert (allowed.free_memory_bytes, allowed.cores) == (1500, 2.0)


@pytest.mark.parametrize(("memory", "quota"), [("9223372036854771712", "-1"), ("not a number", "")])
def test_what_stands_for_no_limit_is_none(memory: str, quota: str, tmp_path: Path) -> None:
    group(tmp_path, "memory", memory__limit_in_bytes=memory, memory__usage_in_bytes="1")
    group(tmp_path, "cpu", cpu__cfs_quota_us=quota, cpu__cfs_period_us="100000")

    allowed = found(tmp_path, "4:memory:/\n1:cpu:/")

    assert (allowed.free_memory_bytes, allowed.cores) == (None, None)


def test_a_machine_without_control_groups_has_no_limits(tmp_path: Path) -> None:
    allowed = limits.collect(tmp_path)

    assert (allowed.free_memory_bytes, allowed.cores) == (None, None)
    assert allowed.free_shared_memory_bytes is None  # no /dev/shm
