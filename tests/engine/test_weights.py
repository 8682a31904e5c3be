"""Which kind of weights a model has, as far as there are kernels made for it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig
from harness.engine import weights
from harness.inputs.model import resolve_model
from tests.engine.checkpoints import AWQ, FP8_TENSORS, GPTQ, INT4_TENSORS
from tests.inputs.model_folders import make_folder


def kind(folder: Path, scheme: dict[str, Any] | None, precision: str = "bf16") -> str | None:
    made = make_folder(folder / "model", quantization_config=scheme)
    config = RunConfig(model=str(made), weights="dummy", precision=precision)
    return weights.kind(config, resolve_model(config))


def changed(scheme: dict[str, Any], where: str, **changes: Any) -> dict[str, Any]:
    """A scheme of compressed-tensors with other `weights`, inputs, group ("") or names beside."""
    other = copy.deepcopy(scheme)
    group = other["config_groups"]["group_0"]
    place = {"group": group, "beside": other}.get(where)
    (group[where] if place is None else place).update(changes)
    return other


PER_HEAD = {"num_bits": 8, "type": "float", "strategy": "attn_head"}
TWO_GROUPS = {
    name: INT4_TENSORS["config_groups"]["group_0"] | {"targets": targets}
    for name, targets in (("group_0", ["Linear"]), ("group_1", ["re:.*down_proj"]))
}


@pytest.mark.parametrize(("precision", "found"), [("bf16", "bf16"), ("fp8", "fp8"), ("fp16", None)])
def test_weights_as_published_are_of_the_precision(
    precision: str, found: str | None, tmp_path: Path
) -> None:
    assert kind(tmp_path, None, precision) == found


@pytest.mark.parametrize(
    ("scheme", "found"),
    [
        (FP8_TENSORS, "fp8"),
        (changed(FP8_TENSORS, "beside", kv_cache_scheme={"num_bits": 8, "type": "float"}), "fp8"),
        (INT4_TENSORS, "int4"),
        (changed(INT4_TENSORS, "weights", actorder="weight"), "int4"),
        (changed(INT4_TENSORS, "weights", actorder="static"), "int4"),
        (changed(INT4_TENSORS, "weights", actorder=False), "int4"),
        (changed(INT4_TENSORS, "group", format="pack-quantized") | {"format": "mixed"}, "int4"),
        (GPTQ, "int4"),
    ],
    ids=[
        "fp8",
        "fp8 with a KV cache",
        "int4",
        "int4 in order",
        "static",
        "no order",
        "a format of the group",
        "gptq",
    ],
)
def test_a_checkpoint_says_of_which_kind_it_is(
    scheme: dict[str, Any], found: str, tmp_path: Path
) -> None:
    assert kind(tmp_path, scheme) == found


@pytest.mark.parametrize(
    "scheme",
    [
        AWQ,
        changed(FP8_TENSORS, "weights", strategy="tensor"),
        changed(FP8_TENSORS, "input_activations", dynamic=False, strategy="tensor"),
        changed(FP8_TENSORS, "group", input_activations=None),
        changed(FP8_TENSORS, "beside", ignore=["lm_head", "model.layers.0.mlp.down_proj"]),
        changed(FP8_TENSORS, "beside", format="int-quantized"),
        changed(FP8_TENSORS, "beside", transform_config={"config_groups": {"R4": {}}}),
        changed(FP8_TENSORS, "beside", kv_cache_scheme=PER_HEAD),
        changed(INT4_TENSORS, "beside", transform_config={"config_groups": {"R4": {}}}),
        changed(INT4_TENSORS, "beside", format="marlin-24"),
        changed(INT4_TENSORS, "beside", config_groups=TWO_GROUPS),
        changed(INT4_TENSORS, "group", format="marlin-24"),
        changed(INT4_TENSORS, "weights", group_size=64),
        changed(INT4_TENSORS, "weights", symmetric=False),
        changed(INT4_TENSORS, "weights", actorder="group"),
        changed(INT4_TENSORS, "weights", num_bits=8),
        changed(INT4_TENSORS, "group", input_activations={"num_bits": 8, "type": "int"}),
        changed(INT4_TENSORS, "group", targets=["re:.*mlp.*"]),
        changed(INT4_TENSORS, "beside", ignore=[]),
        GPTQ | {"desc_act": True},
        GPTQ | {"sym": False},
        GPTQ | {"bits": 8},
        GPTQ | {"group_size": 32},
        GPTQ | {"dynamic": {"-:.*down.*": {}}},
        GPTQ | {"lm_head": True},
        GPTQ | {"modules_in_block_to_quantize": ["mlp.down_proj"]},
        {"quant_method": "fp8", "activation_scheme": "static"},
    ],
    ids=str,
)
def test_other_schemes_are_of_no_kind(scheme: dict[str, Any], tmp_path: Path) -> None:
    assert kind(tmp_path, scheme) is None


def test_a_kind_is_one_of_weights_beside_bfloat16(tmp_path: Path) -> None:
    assert kind(tmp_path, INT4_TENSORS, "fp16") is None


@pytest.mark.parametrize(
    ("asked", "in_fp8"),
    [
        ({"precision": "fp8"}, True),
        ({"precision": "bf16"}, False),
        ({"engine_args": {"kv_cache_dtype": "fp8"}}, True),
        ({"engine_args": {"kv_cache_dtype": "fp8_e4m3"}}, True),
        ({"engine_args": {"kv_cache_dtype": "fp8_e5m2"}}, False),
        ({"precision": "fp8", "engine_args": {"kv_cache_dtype": "bfloat16"}}, False),
        ({"precision": "fp8", "engine_args": {"kv_cache_dtype": "auto"}}, False),
    ],
    ids=str,
)
def test_who_asks_for_a_kv_cache_in_fp8_gets_it(asked: dict[str, Any], in_fp8: bool) -> None:
    config = RunConfig(weights="dummy", **asked)

    assert weights.cache_in_fp8(config, resolve_model(config)) is in_fp8


def test_a_checkpoint_may_ask_for_a_kv_cache_in_fp8(tmp_path: Path) -> None:
    scheme = changed(FP8_TENSORS, "beside", kv_cache_scheme={"num_bits": 8, "type": "float"})
    folder = make_folder(tmp_path / "model", quantization_config=scheme)
    config = RunConfig(model=str(folder), weights="dummy")

    assert weights.cache_in_fp8(config, resolve_model(config))
