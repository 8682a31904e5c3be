"""When FlashInfer's attention kernels are used, and what vLLM is then told beside its arguments."""

from __future__ import annotations

import dataclasses
import importlib.machinery
import importlib.metadata
import importlib.util
import itertools
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig
from harness.engine import attention, profiles
from harness.engine import vllm as engine
from harness.engine.profiles import Profile
from harness.engine.settings import Sampling
from harness.machine import gpus
from harness.machine import system as system_info
from harness.measure import preparation
from tests.engine.plans import plan_for, settings_for
from tools import compile_attention

PROJECT = Path(__file__).resolve().parents[2]
SHIPPED = PROJECT / "harness" / "inputs" / "data" / "llama3_1_8b_instruct" / "config.json"
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


VERSION = "0.6.14"


@pytest.fixture
def flashinfer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installation of FlashInfer without kernels."""
    found = importlib.machinery.ModuleSpec("flashinfer", None, is_package=True)
    found.submodule_search_locations = [str(tmp_path)]
    find_spec, version = importlib.util.find_spec, importlib.metadata.version
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: found if name == "flashinfer" else find_spec(name)
    )
    monkeypatch.setattr(
        importlib.metadata,
        "version",
        lambda name: VERSION if name == "flashinfer-python" else version(name),
    )
    return tmp_path


def put(flashinfer: Path, *names: str, version: str = VERSION) -> None:
    """Kernels, as the tool leaves them."""
    ready = flashinfer / "data" / "aot"
    for name in names:
        folder = ready / name
        folder.mkdir(parents=True)
        (folder / f"{name}.so").touch()
    (ready / attention.VERSION_FILE).write_text(f"{version}\n", encoding="utf-8")


def test_both_kernels_must_be_there(flashinfer: Path) -> None:
    found = [attention.compiled()]
    for name in (ANSWERS, PROMPTS):
        put(flashinfer, name)
        found.append(attention.compiled())

    assert found == [False, False, True]


def test_kernels_of_another_shape_do_not_count(flashinfer: Path) -> None:
    put(flashinfer, ANSWERS.replace("page_size_16", "page_size_64"), PROMPTS)

    assert not attention.compiled()


def test_kernels_of_another_release_do_not_count(flashinfer: Path) -> None:
    put(flashinfer, ANSWERS, PROMPTS, version="0.6.13")

    assert not attention.compiled()


def test_without_flashinfer_nothing_is_compiled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)

    assert not attention.compiled()


@pytest.mark.parametrize("gpu", ["NVIDIA H100 80GB HBM3", "NVIDIA H200", "NVIDIA GH200 480GB"])
def test_the_kernels_are_for_these_gpus(gpu: str) -> None:
    assert attention.suits(gpu, LLAMA, {})


@pytest.mark.parametrize(
    "gpu", ["NVIDIA L4", "NVIDIA B200", "NVIDIA H20", "NVIDIA A100-SXM4-80GB", None]
)
def test_other_gpus_do_without(gpu: str | None) -> None:
    assert not attention.suits(gpu, LLAMA, {})


@pytest.mark.parametrize(
    "other", [{"num_key_value_heads": 32}, {"head_dim": 64}, {"num_attention_heads": None}]
)
def test_models_of_another_shape_do_without(other: dict[str, int | None]) -> None:
    assert not attention.suits("NVIDIA H200", LLAMA | other, {})


@pytest.mark.parametrize(
    "given",
    [{"block_size": 32}, {"attention_backend": "FLASH_ATTN"}],
    ids=str,
)
def test_engine_arguments_that_ask_for_other_kernels_are_followed(given: dict[str, Any]) -> None:
    assert attention.suits("NVIDIA H200", LLAMA, {"max_num_seqs": 512})
    assert not attention.suits("NVIDIA H200", LLAMA, given)


@pytest.mark.parametrize(("size", "suits"), [(2, True), (4, True), (8, True), (16, False)])
def test_gpus_that_share_a_model_take_whole_heads(size: int, *, suits: bool) -> None:
    assert attention.suits("NVIDIA H200", LLAMA, {}, tensor_parallel_size=size) is suits


def test_the_tool_compiles_what_a_run_looks_for() -> None:
    shape = ("HEAD_DIM", "HEADS_OF_A_GROUP", "BLOCK_SIZE", "VERSION_FILE")

    assert [getattr(compile_attention, name) for name in shape] == [
        getattr(attention, name) for name in shape
    ]


def settings(precision: str, scenario: str, *, flashinfer: bool) -> Mapping[str, Any]:
    return settings_for(scenario, precision, flashinfer=flashinfer, products=False)


def test_a_kv_cache_in_another_format_has_vllms_kernels() -> None:
    given = {"kv_cache_dtype": "auto"}

    assert "attention_backend" not in settings_for("offline", "fp8", engine_args=given)


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
    if kernels:
        put(flashinfer, *kernels)
    machine = dataclasses.replace(
        system_info.collect(),
        gpu_count=1,
        gpu_name="NVIDIA H100 80GB HBM3",
        gpu_memory_bytes=85_017_493_504,
    )
    monkeypatch.setattr(engine, "installed_build", lambda: "gpu")
    monkeypatch.setattr(system_info, "collect", lambda: machine)
    monkeypatch.setattr(gpus, "free_and_total_memory_bytes", lambda _first: (None, None))
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

    resolved = preparation.describe(prepared, ["python", "run.py"]).to_json()["resolved"]
    if kernels:
        assert prepared.plan.profile.name == "flashinfer-fp8-offline"
        assert resolved["engine"]["attention_backend"] == "FLASHINFER"
        assert resolved["engine_environment"]["VLLM_KV_CACHE_LAYOUT"] == "HND"
    else:
        assert prepared.plan.profile.name == "h100-fp8-offline"
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

    Watched(plan_for("offline", products=False), Sampling(128, 1, (2,))).load()

    assert seen == {"VLLM_USE_V2_MODEL_RUNNER": "0", "VLLM_KV_CACHE_LAYOUT": "NHD"}
    assert "VLLM_USE_V2_MODEL_RUNNER" not in os.environ
    assert os.environ["VLLM_KV_CACHE_LAYOUT"] == "NHD"


def test_who_asks_for_a_backend_gets_no_variables_with_it() -> None:
    given = {"attention_backend": "FLASHINFER"}

    assert attention.environment(given, given) == {}
    assert attention.environment({"attention_backend": "FLASH_ATTN"}, {}) == {}
    assert attention.environment({"max_num_seqs": 4}, {}) == {}


def test_tuned_settings_for_kernels_that_are_gone_are_not_used() -> None:
    settings = {"max_num_seqs": 900, "max_num_batched_tokens": 4096}
    tuned = Profile("tuned", {**settings, "attention_backend": "FLASHINFER"}, "a search")
    there, gone = (
        plan_for("offline", flashinfer=found, products=False, tuned=tuned)
        for found in (True, False)
    )

    assert there.profile is tuned
    assert gone.profile.name == "h100-fp8-offline"


def test_settings_say_on_which_cards_they_were_measured() -> None:
    h100, h200 = (
        plan_for("server", gpu_name=name).profile
        for name in ("NVIDIA H100 80GB HBM3", "NVIDIA H200")
    )

    assert h100.settings == h200.settings
    assert "one H100 of 80 GB" in h200.source
    assert "one H200, two processes" in h200.source
