"""How far each machine is while an engine is loaded: vLLM's words, by Ray's word of who speaks."""

from __future__ import annotations

from harness.engine import loading

VLLM = "INFO 11-25 07:55:10 [gpu_model_runner.py:4711]"
SAID = f"""\
(EngineCoreActor pid=12) {VLLM} Starting to load model /models/llama...
(EngineCoreActor pid=34, ip=10.0.0.2) {VLLM} Starting to load model /models/llama...
(EngineCoreActor pid=12) {VLLM} Loading weights took 21.06 seconds
(EngineCoreActor pid=12) {VLLM} Available KV cache memory: 55.31 GiB
"""


def test_each_machine_is_told_with_what_it_is_at() -> None:
    assert loading.sentence(SAID) == "this machine has its KV cache; 10.0.0.2 reads the weights"


def test_of_several_processes_on_a_machine_the_furthest_counts() -> None:
    late = f"(EngineCoreActor pid=35, ip=10.0.0.2) {VLLM} init engine (profile, ...) took 40 s\n"

    assert loading.by_machine(SAID + late)["10.0.0.2"] == "is ready"
    assert loading.by_machine(late + SAID)["10.0.0.2"] == "is ready"


def test_what_takes_half_a_minute_each_before_the_weights_is_told_as_well() -> None:
    handed_out = f"{VLLM} Starting ray-based data parallel backend\n"
    begun = f"(EngineCoreActor pid=34, ip=10.0.0.2) {VLLM} Initializing a V1 LLM engine (v0.26.0)"

    said = loading.sentence(handed_out)
    assert said == "every machine starts an engine, which imports vLLM first"
    assert loading.sentence(handed_out + begun) == "10.0.0.2 starts a worker"


def test_nothing_is_told_before_anybody_speaks() -> None:
    assert loading.sentence("") is None
    assert loading.sentence(f"{VLLM} Starting to load model") is None
