"""`run.py check` in containers and shells: each limit is a line of its own."""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import pytest

import run
from harness.engine import executor
from harness.engine.plan import Site
from harness.machine import cgroup, process_limits
from harness.machine.process_limits import Room
from harness.measure import check_limits
from harness.measure.check_line import DOUBTFUL, MISSING, OK, Line
from tests.engine.plans import machine
from tests.measure.checked import DEMO, GIB, GPU_RUN, assert_matches, lines_of, states_of

MIB = 2**20


class Allowed:
    """What the container and the shell of a test allow; at first, enough."""

    quota: float | None = None
    memory = cgroup.Memory(None, None)
    files = (1024, 4096)
    shared: Room | None = Room(10 * GIB, 10 * GIB)


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> Allowed:
    given = Allowed()
    monkeypatch.setattr(cgroup, "cpu_quota", lambda *_root: given.quota)
    monkeypatch.setattr(cgroup, "memory", lambda *_root: given.memory)
    monkeypatch.setattr(process_limits, "shared_memory", lambda *_root: given.shared)
    monkeypatch.setattr(process_limits, "open_files", lambda: given.files[0])
    monkeypatch.setattr(process_limits, "most_open_files", lambda: given.files[1])
    monkeypatch.setattr(executor, "_vllm_looks", lambda: True)
    return given


@pytest.mark.parametrize(
    ("name", "changes", "text"),
    [
        ("processor time", {"quota": 0.5}, "that of 0.5 of .* cores; .*--cpuset-cpus"),
        ("open files", {"files": (300, 600)}, "300 a process, fewer than usual; `ulimit -n 1024`"),
        (
            "memory limit",
            {"memory": cgroup.Memory(3 * GIB, 2 * GIB)},
            "leaves 2.0 GiB of 3.0 GiB, .*docker: --memory",
        ),
        ("shared memory", {"shared": None}, "there is no /dev/shm"),
    ],
)
@pytest.mark.usefixtures("cpu_machine")
def test_each_limit_of_a_container_is_a_doubt(
    name: str, changes: dict[str, Any], text: str, allowed: Allowed
) -> None:
    run.main(["fetch", "model", "--model", "demo"])  # so that its size is known
    vars(allowed).update(changes)

    lines = lines_of(DEMO)

    assert lines[name].state == DOUBTFUL
    assert_matches(lines[name], text)
    assert states_of(lines, name) == {OK}


@pytest.mark.parametrize(
    ("name", "changes", "text"),
    [
        (
            "shared memory",
            {"shared": Room(64 * MIB, 64 * MIB)},
            "/dev/shm has 64 MiB free of 64, and the engine's workers need 241 MiB; give it more",
        ),
        ("open files", {"files": (64, 128)}, "may have 128 files open, .*nofile=1024"),
    ],
)
@pytest.mark.usefixtures("cpu_machine")
def test_what_a_run_would_refuse_is_missing(
    name: str, changes: dict[str, Any], text: str, allowed: Allowed
) -> None:
    vars(allowed).update(changes)

    lines = lines_of(DEMO)

    assert lines[name].state == MISSING
    assert_matches(lines[name], text)


def test_a_limit_that_a_run_raises_is_no_reason_to_doubt(allowed: Allowed) -> None:
    allowed.files = (64, 4096)

    assert check_limits._open_files() == "64 a process, which a run raises, as it may"


@pytest.mark.usefixtures("allowed")
@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_the_cores_are_those_that_the_process_may_use(
    device: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {3})
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    site = Site(device, dataclasses.replace(machine(), cpu="a CPU"))

    assert check_limits.cores(site.system) == "1 of the machine's 8, a CPU"
    line = Line("cores", OK, "1 of the machine's 8, a CPU")
    assert (line in check_limits.lines(GPU_RUN, site)) is (device == "gpu")


@pytest.mark.parametrize(("parts", "state"), [(1, OK), (2, DOUBTFUL)])
def test_dockers_shared_memory_is_a_doubt_for_a_model_in_parts(
    parts: int, state: str, allowed: Allowed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executor, "_vllm_looks", lambda: False)
    allowed.shared = Room(64_000_000, 64_000_000)
    site = Site("gpu", dataclasses.replace(machine(), gpu_count=2))

    config = GPU_RUN.with_values(tensor_parallel_size=parts)
    (line,) = (one for one in check_limits.lines(config, site) if one.name == "shared memory")

    assert line.state == state
    assert ("--shm-size 1g" in line.text) is (state == DOUBTFUL)
