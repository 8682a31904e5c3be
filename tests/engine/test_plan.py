"""The plan of an engine for weights that come quantised."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig
from harness.engine import plan
from harness.engine.plan import EnginePlan, Site
from harness.engine.settings import Purpose
from harness.inputs.model import resolve_model
from harness.machine import system as system_info
from tests.engine.checkpoints import FP8_TENSORS
from tests.engine.plans import plan_for
from tests.inputs.model_folders import make_folder

INT4 = {"num_bits": 4, "type": "int", "group_size": 128}
FP8 = {"num_bits": 8, "type": "float"}
CHECKPOINT = {
    "quant_method": "compressed-tensors",
    "config_groups": {"group_0": {"weights": INT4, "input_activations": None}},
    "kv_cache_scheme": FP8,
}


def test_weights_that_come_quantised_are_sized_by_their_format(tmp_path: Path) -> None:
    folder = make_folder(tmp_path / "model", quantization_config=CHECKPOINT)

    plain, quantised = plan_for(precision="bf16"), plan_for(precision="bf16", model=str(folder))

    assert quantised.place.weights_bytes < 0.4 * plain.place.weights_bytes
    assert quantised.place.kv_bytes_per_token == plain.place.kv_bytes_per_token / 2
    assert "quantization" not in quantised.settings  # vLLM reads it off the checkpoint


def test_what_was_measured_of_plain_weights_is_not_claimed_of_quantised_ones(
    tmp_path: Path,
) -> None:
    folder = make_folder(tmp_path / "model", quantization_config=CHECKPOINT)

    quantised = plan_for("singlestream", precision="bf16", model=str(folder))

    assert plan_for("singlestream", precision="bf16").profile.name == "one-token-bf16-singlestream"
    assert quantised.profile.name == "gpu-singlestream"


def test_a_checkpoint_in_fp8_with_a_kv_cache_in_fp8_runs_as_weights_made_fp8(
    tmp_path: Path,
) -> None:
    folder = str(make_folder(tmp_path / "model", quantization_config=FP8_TENSORS))
    made = plan_for("offline", "fp8")

    in_fp8, in_bf16 = (
        plan_for("offline", "bf16", model=folder, engine_args=given)
        for given in ({"kv_cache_dtype": "fp8"}, {})
    )

    names = ("attention_backend", "block_size", "worker_extension_cls", "kv_cache_dtype")
    assert [in_fp8.settings[name] for name in names] == [made.settings[name] for name in names]
    assert in_fp8.environment == made.environment
    assert in_fp8.profile.name == made.profile.name
    assert in_fp8.note is None
    assert in_bf16.settings["worker_extension_cls"] == made.settings["worker_extension_cls"]
    assert "attention_backend" not in in_bf16.settings
    assert "--engine-arg kv_cache_dtype=fp8" in (in_bf16.note or "")
    assert "quantization" not in in_fp8.settings.keys() | in_bf16.settings.keys()


def plan_on_a_cpu(**flags: Any) -> EnginePlan:
    config = RunConfig(model="demo", dataset="sample", **flags)
    return plan.make(
        config, resolve_model(config), Site("cpu", system_info.collect()), Purpose(2668)
    )


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("TORCH_COMPILE_DISABLE", raising=False)


@pytest.mark.usefixtures("own_cache")
def test_an_eager_engine_on_a_cpu_compiles_nothing() -> None:
    assert plan_on_a_cpu().environment == {"TORCH_COMPILE_DISABLE": "1"}


@pytest.mark.usefixtures("own_cache")
def test_the_users_own_word_on_compiling_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_COMPILE_DISABLE", "0")

    assert plan_on_a_cpu().environment == {"TORCH_COMPILE_DISABLE": "0"}


@pytest.mark.usefixtures("own_cache")
def test_who_asks_for_a_compiled_model_gets_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "true")  # any program will do: nothing is compiled here

    assert plan_on_a_cpu(engine_args={"enforce_eager": False}).environment == {}
