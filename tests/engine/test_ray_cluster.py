"""The checks of several machines against a real Ray: two nodes on this one, without GPUs."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig
from harness.engine import attention, ray_checks, ray_cluster, ray_probe
from harness.engine.ray_probe import Question
from harness.errors import UsageError
from harness.inputs.model import resolve_model
from harness.machine import system as system_info
from tests.engine.checkpoints import FP8_TENSORS
from tests.inputs.model_folders import make_folder

ray = pytest.importorskip("ray", reason="Ray is not installed (pip install ray)")

# Ray takes 127.0.0.1 for whichever address this machine has outside, so not that.
HERE, THERE = "127.0.0.2", "127.0.0.3"
STORE_BYTES = 100 << 20
PROJECT = Path(__file__).resolve().parents[2]
REVISION = "0123abc"
SNAPSHOT = f"models--org--model/snapshots/{REVISION}"
ON_BOTH = RunConfig(
    model="llama3.1-8b-instruct",
    weights="dummy",
    distributed_executor_backend="ray",
    data_parallel_size=2,
    tensor_parallel_size=1,
)


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """What the machines have of their own: the first a model, the second another vLLM."""
    first, second = tmp_path_factory.mktemp("first"), tmp_path_factory.mktemp("second")
    (first / "hub" / SNAPSHOT).mkdir(parents=True)
    release = second / "site" / "vllm-0.1.0.dist-info"
    release.mkdir(parents=True)
    (release / "METADATA").write_text("Metadata-Version: 2.1\nName: vllm\nVersion: 0.1.0\n")
    return first, second


@pytest.fixture(scope="module")
def cluster(homes: tuple[Path, Path]) -> Iterator[Any]:
    """Two nodes with a GPU each, as far as Ray has been told."""
    from ray.cluster_utils import Cluster

    first, second = homes
    common = {"num_cpus": 1, "num_gpus": 1, "object_store_memory": STORE_BYTES}
    path = os.environ.get("PYTHONPATH", "")
    nodes = Cluster()
    nodes.add_node(node_ip_address=HERE, env_vars={"HF_HOME": str(first)}, **common)
    nodes.add_node(
        node_ip_address=THERE,
        env_vars={
            "HF_HOME": str(second),
            "VLLM_HOST_IP": "10.1.2.3",
            "CUDA_VISIBLE_DEVICES": "5",
            "PYTHONPATH": f"{second / 'site'}{os.pathsep}{path}",
        },
        **common,
    )
    yield nodes
    nodes.shutdown()


@pytest.fixture(autouse=True)
def at_the_cluster(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(PROJECT)  # a run begins there, and Ray tells its workers where that was
    monkeypatch.setenv("RAY_ADDRESS", request.getfixturevalue("cluster").address)
    monkeypatch.setenv("HF_HOME", str(tmp_path))


def test_the_machines_are_known_this_one_first() -> None:
    with ray_cluster.connected() as machines:
        assert [(machine.address, machine.is_here) for machine in machines] == [
            (HERE, True),
            (THERE, False),
        ]
        assert [(machine.gpus, machine.free_gpus) for machine in machines] == [(1, 1), (1, 1)]

    assert not ray.is_initialized()


def test_a_gpu_that_ray_has_promised_to_another_is_not_free() -> None:
    with ray_cluster.connected():
        held = ray.util.placement_group([{"GPU": 1, f"node:{THERE}": 0.001}])
        ray.get(held.ready())
        with ray_cluster.connected() as machines:
            assert machines[1].free_gpus == 0
            with pytest.raises(UsageError, match=rf"{THERE} has 1, 0 of them free"):
                asked = RunConfig(data_parallel_size=2, tensor_parallel_size=1)
                ray_checks.placement(asked, machines, 1)


def test_each_machine_answers_for_itself(homes: tuple[Path, Path]) -> None:
    asked = Question(str(PROJECT), (), SNAPSHOT)
    with ray_cluster.connected() as machines:
        here, there = ray_cluster.on_each(machines, ray_cluster.by_value(ray_probe).look, asked)

    assert not isinstance(here, Exception)
    assert not isinstance(there, Exception)
    own = ray_probe.look(asked)
    assert (here.python, here.releases, here.source) == (own.python, own.releases, own.source)
    assert here.missing == ()
    assert there.missing == (str(homes[1] / "hub" / SNAPSHOT),)
    assert there.releases["vLLM"] == "0.1.0"
    assert there.host_address == "10.1.2.3"
    with pytest.raises(UsageError, match=rf"{THERE} has vLLM 0\.1\.0, and this machine"):
        ray_checks.check_alike(THERE, here, there)


def test_a_machine_without_the_project_says_so(tmp_path: Path) -> None:
    with ray_cluster.connected() as machines:
        (answer,) = ray_cluster.on_each(
            machines[1:], ray_cluster.by_value(ray_probe).look, Question(str(tmp_path), ())
        )

    assert not isinstance(answer, Exception)
    assert answer.source is None


def visible_gpus() -> str | None:
    return os.environ.get("CUDA_VISIBLE_DEVICES")


def test_what_is_asked_of_a_machine_sees_the_gpus_that_its_ray_was_started_with() -> None:
    with ray_cluster.connected() as machines:
        assert ray_cluster.on_each(machines[1:], visible_gpus) == ["5"]


def test_a_machine_is_described_by_the_project_there() -> None:
    with ray_cluster.connected() as machines:
        (seen,) = ray_cluster.on_each(machines[1:], ray_checks.see)

    assert not isinstance(seen, Exception)
    assert seen[0].cpu is not None


def test_an_address_where_nobody_answers_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"{HERE}:9")

    with (
        pytest.raises(UsageError, match=rf"no Ray cluster answers at {HERE}:9 .*RAY_ADDRESS names"),
        ray_cluster.connected(),
    ):
        pass


def test_the_address_of_rays_client_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", f"ray://{HERE}:10001")

    with (
        pytest.raises(UsageError, match="vLLM needs the address of the cluster itself"),
        ray_cluster.connected(),
    ):
        pass


def test_a_run_is_refused_for_the_machine_that_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_HOST_IP", HERE)

    with pytest.raises(UsageError, match=rf"{THERE} has vLLM 0\.1\.0"):
        ray_checks.with_others(ON_BOTH, system_info.collect(), resolve_model(ON_BOTH))


def test_a_run_takes_the_other_machine_into_its_description(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("VLLM_HOST_IP", HERE)
    monkeypatch.setattr(ray_checks, "check_alike", lambda *_: None)

    system = ray_checks.with_others(ON_BOTH, system_info.collect(), resolve_model(ON_BOTH))

    assert [other.gpu_count for other in system.others] == [1]
    assert system.others[0].cpu == system.cpu


@pytest.mark.parametrize("wanted", [True, False])
def test_a_machine_without_the_kernels_of_a_checkpoint_in_fp8_is_refused(
    wanted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where FlashInfer's attention is compiled here, and the KV cache is in fp8."""
    monkeypatch.setenv("VLLM_HOST_IP", HERE)
    monkeypatch.setattr(ray_checks, "check_alike", lambda *_: None)
    monkeypatch.setattr(attention, "compiled", lambda: True)
    folder = make_folder(tmp_path / "model", quantization_config=FP8_TENSORS)
    given = {"kv_cache_dtype": "fp8"} if wanted else {}
    asked = dataclasses.replace(ON_BOTH, model=str(folder), engine_args=given)

    with (
        pytest.raises(UsageError, match=f"compiled on this machine and not on {THERE}")
        if wanted
        else contextlib.nullcontext()
    ):
        ray_checks.with_others(asked, system_info.collect(), resolve_model(asked))


def test_vllms_other_address_of_this_machine_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_HOST_IP", "10.9.9.9")
    asked = RunConfig(distributed_executor_backend="ray", weights="dummy", tensor_parallel_size=1)

    with pytest.raises(UsageError, match=rf"knows this machine as {HERE}, and vLLM would take"):
        ray_checks.with_others(asked, system_info.collect(), resolve_model(asked))


TALKING = """
import ray, sys, time
from pathlib import Path
from harness.engine import ray_cluster
from harness.terminal import output_to

def talk():
    print("a worker speaks")
    print("and complains", file=sys.stderr)

with ray_cluster.connected() as machines:
    pass
with output_to(Path(sys.argv[1])):
    ray.init()  # as vLLM does it
    ray_cluster.on_each(machines, talk)
    ray_cluster.disconnect()
time.sleep(1)  # a thread of Ray's would still be talking
print("the end")
"""


def run_here(code: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs code that imports this project."""
    path = f"{PROJECT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": path},
    )


def test_what_workers_say_is_in_the_log_and_not_on_the_terminal(tmp_path: Path) -> None:
    log = tmp_path / "run.log"

    done = run_here(TALKING, str(log))

    assert (done.stdout, done.stderr) == ("the end\n", "")
    text = log.read_text()
    assert text.count("a worker speaks") == text.count("and complains") == 2
    assert "\x1b[" not in text


TERMINATED = """
import os, ray, signal, threading, time
from harness.engine import ray_cluster

signal.signal(signal.SIGTERM, lambda number, frame: print("terminated", flush=True))
with ray_cluster.connected():
    pass

def connect():
    with ray_cluster.sigterm_handler_kept():
        ray.init(log_to_driver=False)  # as vLLM does it, in the thread that loads the engine

loading = threading.Thread(target=connect)
loading.start()
loading.join()
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(4)  # Ray would have ended this after 3
ray_cluster.disconnect()
os.kill(os.getpid(), signal.SIGTERM)
"""


def test_who_is_terminated_ends_in_its_own_way_connected_to_ray_and_afterwards() -> None:
    done = run_here(TERMINATED)

    assert (done.stdout, done.returncode) == ("terminated\nterminated\n", 0)
