"""Checkpoints that come quantised: what their files say of it, in the ways of several tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig
from harness.inputs import quantization
from harness.inputs.model import resolve_model
from harness.inputs.quantization import Quantization
from tests.inputs.model_folders import make_folder, refused

AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm"}
GPTQ = {"quant_method": "gptq", "bits": 8, "group_size": -1, "desc_act": False}
FP8_TENSORS = {
    "quant_method": "compressed-tensors",
    "format": "float-quantized",
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {"num_bits": 8, "type": "float", "strategy": "channel"},
            "input_activations": {"num_bits": 8, "type": "float", "dynamic": True},
        }
    },
    "kv_cache_scheme": {"num_bits": 8, "type": "float"},
    "ignore": ["lm_head"],
}
INT4_TENSORS = {
    "quant_method": "compressed_tensors",
    "config_groups": {
        "group_0": {
            "targets": ["Linear"],
            "weights": {"num_bits": 4, "type": "int", "group_size": 64},
            "input_activations": None,
        }
    },
}
OLD_MODELOPT = {
    "producer": {"name": "modelopt", "version": "0.23"},
    "quantization": {"quant_algo": "FP8", "kv_cache_quant_algo": "FP8"},
}


def read(found: dict[str, Any], tmp_path: Path) -> Quantization:
    known = quantization.read("./model", tmp_path, {"quantization_config": found})
    assert known is not None
    return known


@pytest.mark.parametrize(
    ("found", "label", "group_size", "activations", "kv_cache"),
    [
        (AWQ, "int4 weights by awq", 128, None, None),
        ({"quant_method": "AWQ", "w_bit": 4, "q_group_size": 64}, "int4 weights by awq",
         64, None, None),
        (GPTQ, "int8 weights by gptq", None, None, None),
        (FP8_TENSORS, "fp8 weights by compressed-tensors", None, "fp8", "fp8"),
        (INT4_TENSORS, "int4 weights by compressed-tensors", 64, None, None),
        ({"quant_method": "fp8", "activation_scheme": "static"}, "fp8 weights by fp8",
         None, "fp8", None),
        ({"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
         "nf4 weights by bitsandbytes", None, None, None),
        ({"quant_method": "bitsandbytes", "load_in_8bit": True}, "int8 weights by bitsandbytes",
         None, None, None),
        (OLD_MODELOPT, "fp8 weights by modelopt", None, "fp8", "fp8"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16},
         "nvfp4 weights by modelopt_fp4", 16, "nvfp4", None),
        ({"quant_method": "torchao", "quant_type": {"default": {"_type": "Int4WeightOnlyConfig"}}},
         "int4 weights by torchao", None, None, None),
        ({"quant_method": "quark", "global_quant_config": {"weight": {"dtype": "fp8_e4m3"}}},
         "fp8 weights by quark", None, None, None),
        ({"quant_method": "auto-round", "bits": 4, "data_type": "int"}, "int4 weights by inc",
         None, None, None),
        ({"quant_method": "mxfp4"}, "mxfp4 weights by mxfp4", None, None, None),
        ({"quant_method": "aqlm"}, "weights quantised by aqlm", None, None, None),
    ],
    ids=lambda value: value.get("quant_method") if isinstance(value, dict) else "",
)  # fmt: skip
def test_each_tool_is_understood(
    found: dict[str, Any], label: str, group_size: int | None, activations: str | None,
    kv_cache: str | None, tmp_path: Path,
) -> None:  # fmt: skip
    known = read(found, tmp_path)

    assert known.label == label
    assert (known.group_size, known.activations) == (group_size, activations)
    assert known.kv_cache == kv_cache
    assert known.config == found


@pytest.mark.parametrize("config", [{}, {"quantization_config": None}])
def test_weights_as_published_are_not_quantised(config: dict[str, Any], tmp_path: Path) -> None:
    assert quantization.read("./model", tmp_path, config) is None


def test_the_older_places_are_looked_at_as_well(tmp_path: Path) -> None:
    key = quantization.read("./model", tmp_path, {"compression_config": INT4_TENSORS})
    (tmp_path / "hf_quant_config.json").write_text(json.dumps(OLD_MODELOPT))
    file = quantization.read("./model", tmp_path, {})

    assert key is not None and key.method == "compressed-tensors"
    assert file is not None and file.method == "modelopt"


def test_layers_that_differ_are_all_named_and_sized_by_the_widest(tmp_path: Path) -> None:
    groups = {
        str(bits): {"weights": {"num_bits": bits, "type": kind}}
        for bits, kind in ((4, "int"), (8, "float"), (4, "int"))
    }

    known = read({"quant_method": "compressed-tensors", "config_groups": groups}, tmp_path)

    assert known.label == "int4 and fp8 weights by compressed-tensors"
    assert known.bits == 8


@pytest.mark.parametrize("found", [{}, {"bits": 4}, "awq", 4, {"quant_method": None}], ids=str)
def test_weights_quantised_in_no_known_way_are_never_taken_for_bf16(
    found: Any, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "model", quantization_config=found)

    said = refused(RunConfig(model=str(folder), weights="dummy"))

    assert "its weights are quantised, but quantization_config in its config.json" in said


def test_memory_is_that_of_the_files_or_of_the_format(tmp_path: Path) -> None:
    """Of 8.03 billion parameters 1.05 billion are embeddings and output layer, in 16 bits."""
    folder = make_folder(tmp_path / "model", quantization_config=AWQ)
    dummy = RunConfig(model=str(folder), weights="dummy")

    without_files = resolve_model(dummy).loaded_bytes("bf16")
    (folder / "model-00001-of-00002.safetensors").write_bytes(bytes(500))
    (folder / "model-00002-of-00002.safetensors").write_bytes(bytes(300))
    (folder / "consolidated.safetensors").write_bytes(bytes(800))
    with_files = resolve_model(dummy).loaded_bytes("bf16")

    others = 2 * 128_256 * 4096
    assert without_files == int((8_030_261_248 - others) * (4 + 16 / 128) / 8 + others * 2)
    assert 5 < without_files / 2**30 < 6
    assert with_files == 800


def test_memory_of_an_unknown_format_is_counted_as_if_it_were_not_quantised(
    tmp_path: Path,
) -> None:
    folder = make_folder(tmp_path / "model", quantization_config={"quant_method": "aqlm"})

    model = resolve_model(RunConfig(model=str(folder), weights="dummy"))

    assert model.loaded_bytes("bf16") == model.weights_bytes(2)


def test_a_quantised_folder_of_the_official_shape_says_so(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model", quantization_config=AWQ)

    model = resolve_model(RunConfig(model=str(folder), weights="dummy"))

    assert model.unofficial_because is None
    assert model.source.endswith("Llama-3.1-8B-Instruct, with int4 weights by awq")
