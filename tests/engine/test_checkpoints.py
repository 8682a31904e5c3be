"""Quantised checkpoints, held against the flags and against vLLM before anything loads."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig
from harness.engine import checkpoint, inspection
from harness.engine import vllm as engine
from harness.errors import UsageError
from harness.inputs.model import resolve_model
from tests.engine.checkpoints import AWQ, GPTQ
from tests.inputs.model_folders import make_folder


@pytest.fixture(autouse=True)
def looked_at(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """The classes that would be inspected beside the import of vLLM."""
    asked: list[Sequence[str]] = []

    def beside(architectures: Sequence[str]) -> contextlib.nullcontext[None]:
        asked.append(architectures)
        return contextlib.nullcontext()

    monkeypatch.setattr(inspection, "beside", beside)
    return asked


@pytest.mark.parametrize(
    ("found", "flags", "said"),
    [
        (AWQ, {"precision": "fp8"}, r"--precision fp8: .* comes quantised \(int4 weights by awq\), "
         "and nothing is quantised twice; use --precision bf16"),
        ({"quant_method": "aqlm"}, {}, "has weights quantised by aqlm, and the installed vLLM "
         r"does not know aqlm \(it knows .*awq.*\); give it in another scheme"),
        ({"quant_method": "awq", "bits": 5, "group_size": 128, "zero_point": True}, {},
         "vLLM refuses it"),
        ({"quant_method": "mxfp4"}, {"precision": "fp16"},
         "mxfp4 computes in bfloat16, not in float16"),
    ],
    ids=["quantised twice", "unknown to vLLM", "of an impossible width", "in another arithmetic"],
)  # fmt: skip
def test_a_quantised_checkpoint_that_cannot_run_as_asked_is_refused(
    found: dict[str, Any], flags: dict[str, Any], said: str, tmp_path: Path
) -> None:
    folder = make_folder(tmp_path / "model", quantization_config=found)
    asked = RunConfig(model=str(folder), weights="dummy", **flags)

    with pytest.raises(UsageError, match=said):
        checkpoint.check(asked, resolve_model(asked))


def test_a_quantised_checkpoint_that_vllm_knows_is_accepted(
    tmp_path: Path, looked_at: list[Sequence[str]]
) -> None:
    folder = make_folder(tmp_path / "model", quantization_config=AWQ)
    asked = RunConfig(model=str(folder), weights="dummy")

    checkpoint.check(asked, resolve_model(asked))

    assert looked_at == [["LlamaForCausalLM"]]


def test_gptqs_layers_are_known_by_the_weight_files_alone(tmp_path: Path) -> None:
    """Without them vLLM would run the model in bf16, and the report would say int4."""
    folder = make_folder(tmp_path / "model", quantization_config=GPTQ)
    asked = RunConfig(model=str(folder), weights="dummy")

    with pytest.raises(UsageError, match=r"--weights dummy: .* so all of them would run in bf16"):
        checkpoint.check(asked, resolve_model(asked))

    make_folder(folder, "model.safetensors", quantization_config=GPTQ)
    checkpoint.check(asked, resolve_model(asked))


def test_gptqs_layers_may_be_named(tmp_path: Path) -> None:
    named = GPTQ | {"modules_in_block_to_quantize": ["mlp.down_proj"]}
    folder = make_folder(tmp_path / "model", quantization_config=named)
    asked = RunConfig(model=str(folder), weights="dummy")

    checkpoint.check(asked, resolve_model(asked))


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"quantization": "gptq"}, "use --precision for that; a checkpoint that comes quantised"),
        ({"quantization_config": {"linear": "fp8_per_tensor"}}, "use --precision for that"),
        ({"hf_overrides": {"quantization_config": None}}, "is not to be overridden"),
    ],
)
def test_no_engine_argument_changes_how_weights_are_quantised(
    given: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        engine.check_engine_args(given)
