"""When FlashInfer's attention kernels are used, and what vLLM is then told beside its arguments."""

from __future__ import annotations

import dataclasses
import importlib.machinery
import importlib.util
import itertools
import json
import os
from pathlib import Path

import pytest

from harness import attention, engine, preparation, profiles, system_info
from harness.config import RunConfig
from harness.model import resolve_model
from harness.profiles import Place

PROJECT = Path(__file__).resolve().parent.parent
SHIPPED = PROJECT / "harness" / "data" / "llama3_1_8b_instruct" / "config.json"
LLAMA = json.loads(SHIPPED.read_text(encoding="utf-8"))
# As FlashInfer 0.6.14 names what tools/compile_attention.py compiles.
ANSWERS = (
    "xqa_input_bf16_kv_cache_e4m3_output_bf16_page_size_16_head_dim_128_head_group_ratio_4_"
    "use_sliding_window_False_use_spec_dec_False_spec_q_seq_len_1"
)
PROMPTS = (
    "batch_prefill_with_kv_cache_dtype_q_e4m3_dtype_kv_e4m3_dtype_o_bf16_dtype_idx_i32_"
    "head_dim_qk_128_head_dim_vo_128_posenc_0_use_swa_False_use_logits_cap_False_f16qk_False_sm90"
)


@pytest.fixture
def flashinfer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of FlashInfer without kernels."""
    found = importlib.machinery.ModuleSpec("flashinfer", None, is_package=True)
    found.submodule_search_locations = [str(tmp_path)]
    real = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: found if name == "flashinfer" else real(name)
    )
    return tmp_path


def compiled(flashinfer: Path, *names: str) -> None:
    for name in names:
        folder = flashinfer / "data" / "aot" / name
        folder.mkdir(parents=True)
        (folder / f"{name}.so").touch()


def test_both_kernels_must_be_compiled(flashinfer: Path) -> None:
    found = [attention.available("NVIDIA H200", LLAMA)]
    for name in (ANSWERS, PROMPTS):
        compiled(flashinfer, name)
        found.append(attention.available("NVIDIA H200", LLAMA))

    assert found == [False, False, True]


def test_kernels_of_another_shape_do_not_count(flashinfer: Path) -> None:
    compiled(flashinfer, ANSWERS.replace("page_size_16", "page_size_64"), PROMPTS)

    assert not attention.available("NVIDIA H200", LLAMA)


@pytest.mark.parametrize("gpu", ["NVIDIA L4", "NVIDIA B200", "NVIDIA A100-SXM4-80GB", None])
def test_other_gpus_do_without(gpu: str | None, flashinfer: Path) -> None:
    compiled(flashinfer, ANSWERS, PROMPTS)

    assert not attention.available(gpu, LLAMA)


@pytest.mark.parametrize(
    "other", [{"num_key_value_heads": 32}, {"head_dim": 64}, {"num_attention_heads": None}]
)
def test_models_of_another_shape_do_without(other: dict[str, int | None], flashinfer: Path) -> None:
    compiled(flashinfer, ANSWERS, PROMPTS)

    assert attention.available("NVIDIA H100 80GB HBM3", LLAMA)
    assert not attention.available("NVIDIA H100 80GB HBM3", LLAMA | other)


def test_without_flashinfer_nothing_is_available(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    assert not attention.available("NVIDIA H200", LLAMA)


def settings(precision: str, scenario: str, *, flashinfer: bool) -> dict[str, object]:
    place = Place("gpu", "NVIDIA H100 80GB HBM3", 78 << 30, 8 << 30, 65_536, flashinfer)
    asked = RunConfig(model="demo", precision=precision)
    profile = profiles.choose(place, precision, scenario)
    return engine.engine_settings(
        asked, resolve_model(asked), device="gpu", max_model_len=2668, profile=profile
    )


def test_fp8_on_a_hopper_gpu_takes_the_kernels_that_are_there() -> None:
    with_kernels = settings("fp8", "offline", flashinfer=True)

    assert with_kernels["attention_backend"] == "FLASHINFER"
    assert with_kernels["block_size"] == 16
    assert "attention_backend" not in settings("fp8", "offline", flashinfer=False)
    assert "attention_backend" not in settings("bf16", "offline", flashinfer=True)
    assert "attention_backend" not in settings("fp8", "singlestream", flashinfer=True)


@pytest.mark.parametrize("kernels", [(), (ANSWERS, PROMPTS)], ids=["missing", "compiled"])
def test_a_run_says_what_would_be_faster_and_records_what_vllm_was_told(
    kernels: tuple[str, ...], flashinfer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled(flashinfer, *kernels)
    machine = dataclasses.replace(
        system_info.collect(),
        gpu_count=1,
        gpu_name="NVIDIA H100 80GB HBM3",
        gpu_memory_bytes=85_017_493_504,
    )
    monkeypatch.setattr(engine, "installed_build", lambda: "gpu")
    monkeypatch.setattr(system_info, "collect", lambda: machine)
    monkeypatch.setattr(system_info, "gpu_memory_bytes", lambda: (None, None))
    said: list[str] = []
    asked = RunConfig(
        weights="dummy",
        dataset="synthetic",
        mode="performance",
        precision="fp8",
        total_sample_count=20,
        results_dir=str(tmp_path / "results"),
    )

    prepared = preparation.prepare(asked, said.append)

    resolved = preparation.config_record(prepared, ["python", "run.py"])["resolved"]
    if kernels:
        assert prepared.profile.name == "hopper-fp8-offline"
        assert resolved["engine"]["attention_backend"] == "FLASHINFER"
        assert resolved["engine_environment"]["VLLM_KV_CACHE_LAYOUT"] == "HND"
    else:
        assert prepared.profile.name == "h100-fp8-offline"
        assert resolved["engine_environment"] == {}
    assert any("tools/compile_attention.py" in line for line in said) is not bool(kernels)


def test_offline_and_server_share_an_engine() -> None:
    assert settings("fp8", "offline", flashinfer=True) == settings("fp8", "server", flashinfer=True)


def test_every_number_of_answers_has_a_graph_that_fits() -> None:
    told = settings("fp8", "offline", flashinfer=True)
    sizes = told["cudagraph_capture_sizes"]

    assert isinstance(sizes, list)
    assert sizes == sorted(set(sizes))
    assert (sizes[0], sizes[-1]) == (1, told["max_num_seqs"])
    assert max(after - before for before, after in itertools.pairwise(sizes)) <= 64
    assert profiles.graph_sizes(1) == [1]
    assert profiles.graph_sizes(64) == [1, 2, 4, 8, 16, 32, 64]


def test_the_variables_of_vllm_hold_while_the_engine_starts_and_no_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("VLLM_USE_V2_MODEL_RUNNER", raising=False)
    monkeypatch.setenv("VLLM_KV_CACHE_LAYOUT", "NHD")
    seen: dict[str, str | None] = {}

    class Watched(engine.Engine):
        def _load(self) -> None:
            names = ("VLLM_USE_V2_MODEL_RUNNER", "VLLM_KV_CACHE_LAYOUT")
            seen.update({name: os.environ.get(name) for name in names})

    told = settings("fp8", "offline", flashinfer=True)
    Watched(told, max_new_tokens=128, eos_token_ids=[2]).load()

    assert seen == {"VLLM_USE_V2_MODEL_RUNNER": "0", "VLLM_KV_CACHE_LAYOUT": "NHD"}
    assert "VLLM_USE_V2_MODEL_RUNNER" not in os.environ
    assert os.environ["VLLM_KV_CACHE_LAYOUT"] == "NHD"
    assert attention.environment({"attention_backend": "FLASH_ATTN"}) == {}
