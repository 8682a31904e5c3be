"""The watch over other machines against a real Ray of two nodes on this one, without GPUs."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from harness.engine import ray_cluster, ray_lookout, ray_watch
from harness.engine.ray_cluster import Machine
from harness.machine.gpu_readings import GpuReadings

ray = pytest.importorskip("ray", reason="Ray is not installed (pip install ray)")

HERE, THERE = "127.0.0.2", "127.0.0.3"  # not 127.0.0.1, as in test_ray_cluster.py
PROJECT = Path(__file__).resolve().parents[2]
ENDS_WITHIN_S = 60.0
RUN = (
    "--model", "demo", "--dataset", "sample", "--mode", "performance", "--scenario", "server",
    "--server-target-qps", "20", "--total-sample-count", "120", "--min-duration", "600",
    "--tensor-parallel-size", "1", "--data-parallel-size", "2",
    "--distributed-executor-backend", "ray",
)  # fmt: skip


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Two nodes with a GPU each, as far as Ray has been told; a test may end the second."""
    from ray.cluster_utils import Cluster

    nodes = Cluster()
    for address in (HERE, THERE):
        nodes.add_node(
            node_ip_address=address, num_cpus=2, num_gpus=1, object_store_memory=100 << 20
        )
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("RAY_ADDRESS", nodes.address)
    monkeypatch.setenv("VLLM_HOST_IP", HERE)
    yield nodes
    nodes.shutdown()


def raylet(cluster: Any) -> psutil.Process:
    """That of the second node."""
    (second,) = cluster.worker_nodes
    return psutil.Process(second.all_processes["raylet"][0].process.pid)


def logs(results: Path) -> Iterator[Path]:
    return results.glob("2*/run.log")


class Busy:
    """An engine that has its machine's GPU."""

    def run(self) -> None:
        time.sleep(600)


@pytest.fixture
def watch(cluster: Any) -> Iterator[ray_watch.Watch]:  # noqa: ARG001
    """A watch over the second machine, on which an actor works as a copy of the model does."""
    with ray_cluster.connected() as machines:
        there = machines[1]
        actor = ray.remote(Busy).options(
            num_gpus=1, num_cpus=0, scheduling_strategy=ray_cluster._on(there)
        )
        engine = actor.remote()
        manager = types.SimpleNamespace(run_refs=[engine.run.remote()])
        assert ray_cluster.arrived(manager.run_refs, within_s=3.0) == []  # it has begun
        resources = types.SimpleNamespace(engine_manager=manager, output_queue_task=None)
        watch = ray_watch.Watch()
        watch.start(1, types.SimpleNamespace(resources=resources))
        yield watch
        watch.stop()


def test_another_machine_says_what_its_gpus_do(watch: ray_watch.Watch) -> None:
    for _ in range(2):  # it is asked again and again
        time.sleep(ray_watch.STALE_AFTER_S)

        assert watch.readings() == [GpuReadings()]  # it has none
    assert watch._reason is None


def test_a_machine_whose_ray_ends_is_named(watch: ray_watch.Watch, cluster: Any) -> None:
    ended = raylet(cluster)
    ended.kill()
    ended.wait()  # its workers take it for alive while it is a zombie

    assert watch.reason() == f"Ray on {THERE} has ended"
    assert watch._core.resources.engine_dead
    assert watch.readings() == [None]


def test_a_copy_that_is_killed_is_named_with_its_machine(
    watch: ray_watch.Watch, cluster: Any
) -> None:
    for child in raylet(cluster).children():
        if "ray::Busy" in child.cmdline()[0]:
            child.kill()

    assert watch.reason() == (
        f"its process Busy on {THERE} ended without a word, as one does that is killed"
    )


def test_without_another_machine_nothing_is_watched() -> None:
    watch = ray_watch.Watch()

    assert watch.readings() == []
    assert watch.reason() is None
    watch.stop()


def test_a_machine_that_does_not_answer_is_silent_only_where_it_cannot_be_reached() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        machine = Machine("a", "127.0.0.1", 1, 0, is_here=False, port=port)
        assert ray_watch.absence(machine) is None

    assert ray_watch.absence(machine) == "Ray on 127.0.0.1 has ended"


ALONE = """
import subprocess, sys
from harness.engine import ray_lookout
engine = subprocess.Popen(["sleep", "60"])
print(engine.pid, flush=True)
lookout = ray_lookout.Lookout(1, [engine.pid], alone_after_s=1.5)
engine.wait()
"""


def test_where_nobody_asks_any_more_the_engine_is_ended() -> None:
    began = time.monotonic()

    done = subprocess.run(
        [sys.executable, "-c", ALONE], cwd=PROJECT, capture_output=True, text=True, timeout=30
    )

    assert done.returncode == 0, done.stderr
    with contextlib.suppress(psutil.NoSuchProcess):
        assert psutil.Process(int(done.stdout)).status() == psutil.STATUS_ZOMBIE
    assert time.monotonic() - began < ray_lookout.ALONE_AFTER_S


def test_a_run_ends_when_an_engine_elsewhere_is_killed(cluster: Any, tmp_path: Path) -> None:
    results = tmp_path / "results"
    with (tmp_path / "stderr").open("wb") as stderr:
        run = subprocess.Popen(
            [sys.executable, "tests/engine/ray_run.py", *RUN, "--results-dir", str(results)],
            cwd=PROJECT, stdout=subprocess.DEVNULL, stderr=stderr,
            env={**os.environ, "XDG_CACHE_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"},
        )  # fmt: skip
    try:
        give_up = time.monotonic() + 2 * ENDS_WITHIN_S
        while not any("performance: begins" in log.read_text() for log in logs(results)):
            assert run.poll() is None and time.monotonic() < give_up, (
                tmp_path / "stderr"
            ).read_text()
            time.sleep(0.2)
        for child in raylet(cluster).children():
            if "ray::EngineCoreActor" in child.cmdline()[0]:
                child.kill()
        assert run.wait(ENDS_WITHIN_S) == 1
    finally:
        run.kill()

    said = (tmp_path / "stderr").read_text()
    assert f"its process EngineCoreActor on {THERE} ended without a word" in said
    assert "Traceback" not in said
    with ray_cluster.connected() as machines:
        assert [machine.free_gpus for machine in machines] == [1, 1]
