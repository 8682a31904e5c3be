"""The energy of several machines: their sum, or unknown where one does not tell."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from harness.engine import ray_cluster, ray_energy
from harness.engine.ray_cluster import Machine
from harness.machine import gpus
from harness.machine import system as system_info

HERE = Machine("a", "10.0.0.1", gpus=8, free_gpus=0, is_here=True)
THERE = Machine("b", "10.0.0.2", gpus=8, free_gpus=4, is_here=False)
ALONE = replace(system_info.collect(), gpu_count=8)
TOGETHER = replace(ALONE, others=(ALONE,))


def cluster(monkeypatch: pytest.MonkeyPatch, there: Machine, answer: float | None) -> list[int]:
    """Ray with these two machines; returns how many GPUs the other is asked about."""
    asked: list[int] = []

    @contextlib.contextmanager
    def connected() -> Iterator[Sequence[Machine]]:
        yield [HERE, there]

    def on_each(_machines: object, _function: object, count: int) -> list[float | None]:
        asked.append(count)
        return [answer]

    monkeypatch.setattr(ray_cluster, "connected", connected)
    monkeypatch.setattr(ray_cluster, "on_each", on_each)
    monkeypatch.setattr(gpus, "energy_joules", lambda _count: 1000.0)
    return asked


def test_the_energy_of_all_machines_is_added(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = cluster(monkeypatch, THERE, 500.0)

    assert ray_energy.joules(TOGETHER) == 1000 + 500
    assert asked == [8 - 4]  # those that the engine has


def test_where_a_machine_does_not_tell_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    cluster(monkeypatch, THERE, None)
    assert ray_energy.joules(TOGETHER) is None

    cluster(monkeypatch, replace(THERE, free_gpus=8), 500.0)  # which works for nobody
    assert ray_energy.joules(TOGETHER) is None


def test_one_machine_is_asked_without_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = cluster(monkeypatch, THERE, 500.0)

    assert ray_energy.joules(ALONE) == 1000
    assert asked == []
