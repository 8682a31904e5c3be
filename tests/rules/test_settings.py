"""Rules on what was run: for each a run that breaks that one alone."""

from __future__ import annotations

import pytest

from harness.config import Scenario
from harness.rules.verdict import judge
from tests.rules.changes import (
    Cases,
    Change,
    asked,
    assert_broken_alone,
    departed,
    each_case,
    recorded,
    smoke,
    without,
)
from tests.rules.runs import OFFLINE, SCENARIOS, SERVER, SINGLESTREAM, good, names

CASES: Cases = {
    "whole-data-set": [
        *((scenario, smoke(13_000 if scenario is not SINGLESTREAM else 4_999))
          for scenario in SCENARIOS),
        (OFFLINE, recorded("resolved", full_size=False)),
        (OFFLINE, departed("sample_count")),
    ],
    "model": [
        (OFFLINE, asked(model="demo")),
        (OFFLINE, asked({"model_unofficial_because": "The model is x."}, model="someone/x")),
        (OFFLINE, recorded("model", unofficial_because="The model is x.")),
        (SERVER, recorded("model", revision="0" * 40)),
        (SERVER, recorded("model", revision=None)),
    ],
    "weights": [
        (OFFLINE, asked(weights="dummy")),
        (SERVER, departed("weights")),
    ],
    "data-set": [
        (OFFLINE, asked({"dataset_unofficial_because": "It is another."}, dataset="sample")),
        (SINGLESTREAM, recorded("dataset", unofficial_because="It is a remade subset.")),
        (SERVER, recorded("flags", dataset="synthetic")),
    ],
    "prompt": [
        (OFFLINE, asked({"chat_template": True})),
        (SERVER, recorded("dataset", chat_template=True)),
    ],
    "precision": [
        (OFFLINE, recorded("resolved", engine={"quantization": "fp8"})),
        (OFFLINE, recorded("flags", precision="fp8")),
        (SERVER, recorded("resolved", engine={"dtype": "float16"})),
        (OFFLINE, lambda e: recorded("model", quantization={"label": "int4 weights by awq"})(
            recorded("flags", precision="fp8")(e))),
    ],
    "max-new-tokens": [
        (OFFLINE, asked(max_new_tokens=64)),
        (OFFLINE, recorded("resolved", sampling={"max_tokens": 129})),
        (SERVER, without(answer_lengths=[128, 129])),
    ],
    "min-new-tokens": [
        (OFFLINE, recorded("resolved", sampling={"min_tokens": 0})),
        (SERVER, recorded("resolved", sampling={"min_tokens": None})),
    ],
    "greedy": [
        (OFFLINE, recorded("resolved", sampling={"temperature": 0.7})),
        (OFFLINE, lambda e: without(config=e.config | {"resolved": {
            k: v for k, v in e.config["resolved"].items() if k != "sampling"}})(e)),
    ],
    "prefix-caching": [
        (OFFLINE, asked({"prefix_caching": True})),
        (OFFLINE, recorded("resolved", engine={"enable_prefix_caching": True})),
        (SERVER, recorded("resolved", engine={"enable_prefix_caching": None})),
    ],
    "engine-args": [
        (OFFLINE, asked(engine_args={"speculative_config": {}, "max_num_seqs": 8})),
        (SERVER, departed("engine_args")),
    ],
    "gate-share": [(OFFLINE, asked(high_accuracy=True))],
}  # fmt: skip


@each_case(CASES)
def test_the_verdict_names_the_broken_rule_and_no_other(
    rule: str, scenario: Scenario, change: Change
) -> None:
    assert_broken_alone(rule, scenario, change)


@pytest.mark.parametrize("scheme", ["fp8", "fp8_per_channel"])
def test_fp8_is_allowed_and_the_calibration_document_is_named(scheme: str) -> None:
    evidence = good(precision="fp8")
    evidence.config["resolved"]["engine"] |= {"quantization": scheme, "kv_cache_dtype": "fp8"}
    judged = judge(evidence)
    assert judged.official
    assert "calibration.md" in next(r for r in judged.rules if r.id == "precision").sentence


def test_weights_that_came_quantised_are_allowed_and_never_called_bf16() -> None:
    came = {"label": "int4 weights by awq", "kv_cache": "fp8"}
    evidence = recorded("model", quantization=came)(good())

    judged = judge(evidence)

    assert judged.official
    found = next(rule.found for rule in judged.rules if rule.id == "precision")
    assert found == (
        "int4 weights by awq, as the checkpoint came, bfloat16 arithmetic, KV cache in fp8 "
        "(allowed; a submission describes it in its calibration.md)"
    )


def test_a_run_that_recorded_no_sampling_is_told_so_once() -> None:
    evidence = good()
    del evidence.config["resolved"]["sampling"]
    assert names(judge(evidence)) == ["greedy"]
