"""What several machines are refused for, and how vLLM shares a run out to them."""

from __future__ import annotations

import dataclasses

import pytest

from harness.config import RunConfig
from harness.engine import ray_checks
from harness.engine.ray_cluster import Machine
from harness.engine.ray_probe import Answer
from harness.errors import UsageError
from harness.machine import system as system_info

HERE = Machine("a", "10.0.0.1", gpus=8, free_gpus=8, is_here=True)
THERE = Machine("b", "10.0.0.2", gpus=8, free_gpus=8, is_here=False)
ALIKE = Answer("3.11.7", {"vLLM": "0.26.0", "Ray": "2.55.1"}, "f00d", (), None)


def with_ray(copies: int, tensor: int = 1) -> RunConfig:
    return RunConfig(
        distributed_executor_backend="ray",
        data_parallel_size=copies,
        tensor_parallel_size=tensor,
    )


def test_as_many_copies_go_to_the_other_machine_as_stay_here() -> None:
    assert ray_checks.placement(with_ray(16), [HERE, THERE], 8) == {HERE: 8, THERE: 8}
    assert ray_checks.placement(with_ray(8, 2), [HERE, THERE], 4) == {HERE: 8, THERE: 8}
    assert ray_checks.placement(with_ray(12), [HERE, THERE], 8) == {HERE: 8, THERE: 8 - 4}


def test_no_other_machine_is_taken_where_this_one_does() -> None:
    assert ray_checks.placement(with_ray(8), [HERE, THERE], 8) == {HERE: 8}


def test_too_few_gpus_are_told_by_machine() -> None:
    busy = dataclasses.replace(THERE, free_gpus=5)

    with pytest.raises(
        UsageError,
        match=r"take 16 GPUs together and vLLM takes 8 of every machine; of the cluster's machines "
        r"10\.0\.0\.1 \(this machine\) has 8, 10\.0\.0\.2 has 8, 5 of them free\. Lower",
    ):
        ray_checks.placement(with_ray(16), [HERE, busy], 8)


def test_a_machine_that_is_not_wide_enough_is_passed_by() -> None:
    small = Machine("c", "10.0.0.3", gpus=4, free_gpus=4, is_here=False)

    assert ray_checks.placement(with_ray(16), [HERE, small, THERE], 8) == {HERE: 8, THERE: 8}


def test_a_cluster_without_a_gpu_here_is_refused() -> None:
    none = dataclasses.replace(HERE, free_gpus=0)

    with pytest.raises(UsageError, match=r"10\.0\.0\.1 \(this machine\) has 8, 0 of them free"):
        ray_checks.placement(with_ray(1), [none, THERE], 1)


def test_another_address_of_this_machine_is_refused_before_vllm_waits_for_it() -> None:
    ray_checks.check_address(HERE, "10.0.0.1")
    with pytest.raises(UsageError, match=r"as 10\.0\.0\.1, and vLLM would take it for 192\.168"):
        ray_checks.check_address(HERE, "192.168.0.1")


def test_vllm_goes_by_its_own_variable_before_the_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_HOST_IP", "10.9.9.9")

    assert ray_checks.address_of_vllm() == "10.9.9.9"


@pytest.mark.parametrize(
    ("answer", "sentence"),
    [
        (
            dataclasses.replace(ALIKE, python="3.12.1"),
            r"10\.0\.0\.2 has Python 3\.12\.1, and this machine Python 3\.11\.7; the same",
        ),
        (
            dataclasses.replace(ALIKE, releases={"vLLM": "0.25.0", "Ray": "2.55.1"}),
            r"10\.0\.0\.2 has vLLM 0\.25\.0, and this machine vLLM 0\.26\.0; the same",
        ),
        (
            dataclasses.replace(ALIKE, releases={"vLLM": None, "Ray": "2.55.1"}),
            r"10\.0\.0\.2 has no vLLM, and this machine vLLM 0\.26\.0; the same",
        ),
        (dataclasses.replace(ALIKE, source=None), r"10\.0\.0\.2 has no copy of this project at /"),
        (dataclasses.replace(ALIKE, source="beef"), r"10\.0\.0\.2 has another version of this"),
        (
            dataclasses.replace(ALIKE, missing=("/models/llama",)),
            r"10\.0\.0\.2 has no /models/llama, where the model is to be loaded from; put it there",
        ),
        (
            dataclasses.replace(ALIKE, host_address="192.168.0.2"),
            r"as 10\.0\.0\.2, whose VLLM_HOST_IP is 192\.168\.0\.2; set it to 10\.0\.0\.2 there",
        ),
        (TimeoutError("late"), r"10\.0\.0\.2 did not answer \(late\)"),
    ],
)
def test_a_machine_that_differs_is_refused_in_a_sentence(
    answer: Answer | Exception, sentence: str
) -> None:
    with pytest.raises(UsageError, match=sentence) as refusal:
        ray_checks.check_alike("10.0.0.2", ALIKE, answer)

    assert refusal.value.exit_status == 2


def test_a_machine_that_is_alike_is_taken() -> None:
    ray_checks.check_alike("10.0.0.2", ALIKE, dataclasses.replace(ALIKE, host_address="10.0.0.2"))


def test_other_gpus_there_are_refused() -> None:
    own = dataclasses.replace(system_info.collect(), gpu_count=8, gpu_name="NVIDIA H100")
    other = dataclasses.replace(own, gpu_name="NVIDIA H200")

    ray_checks.check_gpus("10.0.0.2", own, own, (None, None), 0.9)
    with pytest.raises(UsageError, match=r"10\.0\.0\.2 has NVIDIA H200, and this machine NVIDIA H"):
        ray_checks.check_gpus("10.0.0.2", own, other, (None, None), 0.9)


def test_a_gpu_that_another_program_holds_there_is_refused() -> None:
    own = dataclasses.replace(system_info.collect(), gpu_count=8, gpu_name="NVIDIA H100")

    ray_checks.check_gpus("10.0.0.2", own, own, (79 << 30, 80 << 30), 0.9)
    with pytest.raises(UsageError, match=r"a GPU of 10\.0\.0\.2 is used by another program, 20"):
        ray_checks.check_gpus("10.0.0.2", own, own, (20 << 30, 80 << 30), 0.9)


def test_ray_older_than_vllm_takes_is_refused() -> None:
    ray_checks.check_release("2.55.1", "2.43.0")
    ray_checks.check_release("2.55.1", None)
    with pytest.raises(UsageError, match=r"Ray 2\.9\.3 is installed, and this vLLM wants 2\.43\.0"):
        ray_checks.check_release("2.9.3", "2.43.0")


def test_the_installed_vllm_says_which_ray_it_takes() -> None:
    least = ray_checks.least_ray()

    assert least is not None
    assert least.startswith("2.")
