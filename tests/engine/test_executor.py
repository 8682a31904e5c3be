"""Whether scheduling and launching share a process, and the shared memory they talk through."""

from __future__ import annotations

from typing import Any

import pytest

from harness.config import RunConfig, Scenario
from harness.engine import executor
from harness.errors import UsageError
from harness.machine import process_limits
from harness.machine.process_limits import Room

MIB = 2**20
NEEDED = 240 * MIB + 640


@pytest.fixture(autouse=True)
def roomy_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_limits, "core_count", lambda: 16)
    monkeypatch.setattr(process_limits, "shared_memory", lambda: Room(1 << 30, 1 << 30))


@pytest.mark.parametrize(
    ("device", "flags", "chosen"),
    [
        ("gpu", {}, "mp"),
        ("gpu", {"scenario": Scenario.SERVER}, "mp"),
        ("gpu", {"scenario": Scenario.INTERACTIVE}, "mp"),
        ("gpu", {"scenario": Scenario.SINGLESTREAM, "category": "edge"}, None),
        ("gpu", {"model": "demo"}, None),
        ("gpu", {"data_parallel_size": 2}, None),
        ("gpu", {"tensor_parallel_size": 2}, None),
        ("gpu", {"distributed_executor_backend": "uni"}, "uni"),
        ("gpu", {"distributed_executor_backend": "ray"}, "ray"),
        ("cpu", {}, None),
    ],
)
def test_one_gpu_has_a_process_to_schedule_and_another_to_launch(
    device: str, flags: dict[str, Any], chosen: str | None
) -> None:
    assert executor.choose(RunConfig(**flags), device) == chosen


def test_short_steps_of_one_query_are_scheduled_beside_their_launches() -> None:
    one_query: dict[str, Any] = {"scenario": Scenario.SINGLESTREAM, "category": "edge"}

    for config, chosen in (
        (RunConfig(**one_query), "mp"),
        (RunConfig(**one_query, distributed_executor_backend="uni"), "uni"),
        (RunConfig(**one_query, model="demo"), None),
    ):
        assert executor.choose(config, "gpu", short_steps=True) == chosen


def test_config_json_says_why() -> None:
    apart = {"distributed_executor_backend": "mp"}

    assert executor.reasons(RunConfig(), apart) == [executor.IN_TWO]
    assert executor.reasons(RunConfig(distributed_executor_backend="mp"), apart) == []
    assert executor.reasons(RunConfig(), {}) == []


def test_few_cores_are_left_to_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for cores in (3, 4, None):
        monkeypatch.setattr(process_limits, "core_count", lambda cores=cores: cores)
        found.append(executor.choose(RunConfig(), "gpu"))

    assert found == [None, "mp", "mp"]


@pytest.mark.usefixtures("vllm_that_looks")
def test_a_small_shared_memory_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_limits, "shared_memory", lambda: Room(64 * MIB, 63 * MIB))

    assert executor.choose(RunConfig(), "gpu") is None
    executor.check_shared_memory(RunConfig(), "gpu")
    with pytest.raises(UsageError, match="--shm-size 1g"):
        executor.check_shared_memory(RunConfig(distributed_executor_backend="mp"), "gpu")
    monkeypatch.setattr(executor, "_vllm_looks", lambda: False)
    assert executor.choose(RunConfig(), "gpu") == "mp"


@pytest.fixture
def vllm_that_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "_vllm_looks", lambda: True)
    monkeypatch.delenv("VLLM_MQ_MAX_CHUNK_BYTES_MB", raising=False)
    monkeypatch.delenv("VLLM_CPU_OMP_THREADS_BIND", raising=False)


@pytest.mark.usefixtures("vllm_that_looks")
@pytest.mark.parametrize(
    ("device", "flags", "needed"),
    [
        ("cpu", {}, NEEDED),
        ("cpu", {"data_parallel_size": 2}, NEEDED),
        ("cpu", {"tensor_parallel_size": 2}, NEEDED + 9 * MIB),
        ("gpu", {}, NEEDED),
        ("gpu", {"scenario": Scenario.SINGLESTREAM}, 0),
        ("gpu", {"data_parallel_size": 8}, NEEDED),
        ("gpu", {"tensor_parallel_size": 2}, NEEDED),
        ("gpu", {"pipeline_parallel_size": 2}, NEEDED),
        ("gpu", {"distributed_executor_backend": "mp"}, NEEDED),
        ("gpu", {"data_parallel_size": 8, "distributed_executor_backend": "ray"}, NEEDED),
        ("gpu", {"distributed_executor_backend": "uni"}, 0),
    ],
)
def test_workers_in_processes_of_their_own_need_shared_memory(
    device: str, flags: dict[str, Any], needed: int
) -> None:
    assert executor.shared_memory_bytes(RunConfig(**flags), device) == needed


@pytest.mark.usefixtures("vllm_that_looks")
def test_each_thread_of_a_model_in_parts_needs_some_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "0-3|4-7")

    two_parts = RunConfig(tensor_parallel_size=2)
    assert executor.shared_memory_bytes(two_parts, "cpu") == NEEDED + 33 * MIB


@pytest.mark.usefixtures("vllm_that_looks")
def test_a_small_shared_memory_is_refused_with_dockers_flag(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(process_limits, "shared_memory", lambda: Room(64 * MIB, 63 * MIB))

    with pytest.raises(UsageError) as refused:
        executor.check_shared_memory(RunConfig(), "cpu")
    assert str(refused.value) == (
        "/dev/shm has 63 MiB free of 64, and the engine's workers need 241 MiB; give it more "
        "(docker: --shm-size 1g), or remove what other programs have left there."
    )


@pytest.mark.usefixtures("vllm_that_looks")
@pytest.mark.parametrize("room", [Room(241 * MIB, 241 * MIB), None])
def test_enough_or_unknown_shared_memory_is_no_reason_to_refuse(
    monkeypatch: pytest.MonkeyPatch, room: Room | None
) -> None:
    monkeypatch.setattr(process_limits, "shared_memory", lambda: room)

    executor.check_shared_memory(RunConfig(), "cpu")


@pytest.mark.usefixtures("vllm_that_looks")
def test_longer_messages_to_the_workers_need_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_MQ_MAX_CHUNK_BYTES_MB", "100")

    assert executor.shared_memory_bytes(RunConfig(), "cpu") // MIB == 1000


def test_a_vllm_that_does_not_look_is_not_looked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "_vllm_looks", lambda: False)

    assert executor.shared_memory_bytes(RunConfig(), "cpu") == 0


def test_the_need_is_what_the_installed_vllm_refuses_to_start_without() -> None:
    shm_broadcast = pytest.importorskip("vllm.distributed.device_communicators.shm_broadcast")
    if not executor._vllm_looks():
        pytest.skip("this vLLM takes what there is")
    wanted: list[int] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shm_broadcast, "check_shm_free_space", wanted.append)
        shm_broadcast.MessageQueue(1, 1)

    needed = executor.shared_memory_bytes(RunConfig(), "cpu")
    assert wanted[0] <= needed < wanted[0] + MIB
