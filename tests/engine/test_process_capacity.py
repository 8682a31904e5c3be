"""Cores and memory that a run asks for, against those that its process may use."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.config import RunConfig
from harness.engine import capacity
from harness.errors import UsageError
from harness.inputs.model import resolve_model
from harness.machine import process_limits
from harness.machine import system as system_info
from harness.machine.process_limits import Room

PROJECT = Path(__file__).resolve().parents[2]
GIB = 2**30
TASKSET = ["taskset", "-c", str(min(os.sched_getaffinity(0)))]


@pytest.mark.parametrize("flag", ["--data-parallel-size", "--tensor-parallel-size"])
def test_a_process_with_one_core_cannot_hold_two_copies_or_parts(flag: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [*TASKSET, sys.executable, "run.py", "--model", "demo", "--dataset", "sample", flag, "2",
         "--results-dir", str(tmp_path)],
        cwd=PROJECT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    cores = os.cpu_count()
    of_machine = "1"
    if cores != 1:
        of_machine = (
            f"1 of the machine's {cores} (taskset, docker's --cpus or --cpuset-cpus, or a batch "
            "system says so)"
        )
    assert done.stderr == (
        f"run.py: {flag} 2: each copy of the model, and each part of one, needs a core of its own, "
        f"2 together, and this process may use {of_machine}; lower the flag, or allow the process "
        "more.\n"
    )
    assert done.returncode == 2
    assert list(tmp_path.iterdir()) == []


def test_unknown_cores_are_no_reason_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_limits, "core_count", lambda: None)
    two = RunConfig(data_parallel_size=2)

    assert capacity.check_devices(two, "cpu", system_info.collect()).data_parallel_size == 2


@pytest.mark.parametrize(
    ("binding", "forbidden"),
    [
        ("1-2", "core 1"),
        ("0,5|7", "core 5"),
        ("0-12", "cores 1, 3, 4, 5, 6, 8, 9, 10, ..."),
        ("nobind", None),
        ("auto", None),
        ("0,2", None),
        ("", None),
    ],
)
def test_cores_that_vllm_is_told_to_use_must_be_allowed(
    monkeypatch: pytest.MonkeyPatch, binding: str, forbidden: str | None
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: {0, 2, 7})
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", binding)
    system = system_info.collect()

    if forbidden is None:
        capacity.check_devices(RunConfig(), "cpu", system)
        return
    with pytest.raises(UsageError) as refused:
        capacity.check_devices(RunConfig(), "cpu", system)
    assert str(refused.value) == (
        f"VLLM_CPU_OMP_THREADS_BIND={binding} names {forbidden}, and this process may run on "
        "cores 0, 2, 7 alone; name of those, or unset the variable."
    )


@pytest.mark.parametrize(
    ("copies", "room", "limited", "refusal"),
    [
        (1, Room(64 * GIB, 20 * GIB), False, None),
        (1, None, False, None),
        (
            1,
            Room(64 * GIB, 8 * GIB),
            False,
            "its weights take 15.0 GiB, and 8.0 GiB of memory are free; use --model demo.",
        ),
        (
            2,
            Room(64 * GIB, 20 * GIB),
            False,
            "its weights take 29.9 GiB in 2 copies (--data-parallel-size), and 20.0 GiB of memory "
            "are free; use --model demo.",
        ),
        (
            1,
            Room(8 * GIB, 7 * GIB),
            True,
            "its weights take 15.0 GiB, and 7.0 GiB of memory of the 8.0 GiB that this process may "
            "use are free; allow it more (docker: --memory), or use --model demo.",
        ),
    ],
)
def test_the_weights_must_fit_into_what_the_process_may_use(
    monkeypatch: pytest.MonkeyPatch,
    copies: int,
    room: Room | None,
    limited: bool,
    refusal: str | None,
) -> None:
    monkeypatch.setattr(process_limits, "memory", lambda: room)
    monkeypatch.setattr(process_limits, "memory_is_limited", lambda: limited)
    config = RunConfig(weights="dummy", data_parallel_size=copies)
    model, system = resolve_model(config), system_info.collect()

    if refusal is None:
        capacity.check_memory(config, "cpu", system, model, {})
        return
    with pytest.raises(UsageError) as refused:
        capacity.check_memory(config, "cpu", system, model, {})
    assert str(refused.value) == f"--model {config.model}: {refusal}"


def test_the_kv_cache_must_fit_beside_the_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_limits, "memory", lambda: Room(GIB, GIB - 1))
    monkeypatch.setattr(process_limits, "memory_is_limited", lambda: True)
    config = RunConfig(model="demo", data_parallel_size=2)
    model = resolve_model(RunConfig(weights="dummy"))
    settings = {"kv_cache_memory_bytes": GIB}

    with pytest.raises(UsageError) as refused:
        capacity.check_memory(config, "cpu", system_info.collect(), model, settings)
    assert str(refused.value) == (
        "--model demo: its weights take 29.9 GiB and the KV cache 2.0 GiB in 2 copies "
        "(--data-parallel-size), and 1.0 GiB of memory of the 1.0 GiB that this process may use "
        "are free; allow it more (docker: --memory), or end other programs."
    )

    monkeypatch.setattr(process_limits, "memory", lambda: Room(64 * GIB, 32 * GIB))
    capacity.check_memory(config, "cpu", system_info.collect(), model, settings)


def test_a_share_of_memory_is_of_what_the_process_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_limits, "memory", lambda: Room(8 * GIB, 4 * GIB))
    config = RunConfig(model="demo", gpu_memory_utilization=0.9)
    model = resolve_model(RunConfig(weights="dummy"))

    with pytest.raises(
        UsageError, match=r"share of the memory that this process may use, and 4\.0 "
    ):
        capacity.check_memory(
            config, "cpu", system_info.collect(), model, {"gpu_memory_utilization": 0.9}
        )
