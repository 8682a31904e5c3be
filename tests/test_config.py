"""Settings: what contradicts itself, how they are read back, and the rounds they choose from."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

import run
from harness import config, rounds
from harness.config import RunConfig, Scenario
from harness.errors import UsageError


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        (
            RunConfig(category="edge", scenario=Scenario.SERVER),
            "--scenario server does not exist in --category edge (it has offline, singlestream); "
            "use --category datacenter for it.",
        ),
        (
            RunConfig(scenario=Scenario.SINGLESTREAM),
            "--scenario singlestream does not exist in --category datacenter "
            "(it has offline, server, interactive); use --category edge for it.",
        ),
        (
            RunConfig(total_sample_count=0),
            "--total-sample-count 0: at least 1 sample is needed; the full set is 13368.",
        ),
        (
            RunConfig(gpu_memory_utilization=1.5),
            "--gpu-memory-utilization 1.5: a share of the memory above 0 and at most 1 is needed, "
            "for example 0.92.",
        ),
        (
            RunConfig(max_new_tokens=1),
            "--max-new-tokens 1: LoadGen refuses answers of fewer than 2 tokens; the official "
            "value is 128.",
        ),
        (RunConfig(tensor_parallel_size=0), "--tensor-parallel-size 0: at least 1 is needed."),
        (
            RunConfig(dataset="sample", dataset_path="a.json"),
            "--dataset-path goes with --dataset cnndm, not with --dataset sample; drop one of "
            "the two.",
        ),
    ],
)
def test_a_contradiction_is_refused_with_the_flag_and_the_way_out(
    settings: RunConfig, text: str
) -> None:
    with pytest.raises(UsageError) as refused:
        config.validate(settings)

    assert str(refused.value) == text


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -1.0])
def test_durations_and_rates_must_be_numbers(value: float) -> None:
    for settings in (RunConfig(min_duration_s=value), RunConfig(server_target_qps=value)):
        with pytest.raises(UsageError):
            config.validate(settings)


def test_a_smoke_run_has_no_minimum_duration_and_a_full_one_the_official() -> None:
    assert config.min_duration_s(RunConfig(), 20) == 0
    assert config.min_duration_s(RunConfig(), 13368) == 600
    assert config.min_duration_s(RunConfig(min_duration_s=30.0), 13368) == 30
    assert config.min_duration_s(RunConfig(category="edge"), 5000) == 600


def test_interactive_is_loadgens_server_under_a_name_of_its_own() -> None:
    assert Scenario.INTERACTIVE.loadgen_name == "Server"
    assert rounds.V5_1.loadgen_model("datacenter", "interactive") == "llama3_1-8b-interactive"
    assert rounds.V5_1.loadgen_model("datacenter", "server") == "llama3_1-8b"
    assert rounds.V5_1.loadgen_model("edge", "offline") == "llama3_1-8b-edge"


def test_rounds_differ_in_their_seeds_alone() -> None:
    assert len({record.seeds for record in rounds.ROUNDS.values()}) == 3
    assert rounds.V5_1.datacenter == rounds.V6_1.datacenter
    assert rounds.V5_1.edge.accuracy.gen_len == 3051113
    assert rounds.V5_1.datacenter.accuracy.rouge1 * rounds.V5_1.gate_multiplier == pytest.approx(
        38.391408
    )


def test_flags_are_read_back_from_config_json_as_they_were() -> None:
    flags = RunConfig(
        scenario=Scenario.INTERACTIVE,
        server_target_qps=12.5,
        min_duration_s=60.0,
        engine_args={"max_num_seqs": 512, "block_size": "16", "enforce_eager": True},
    )
    record = json.loads(json.dumps(flags.to_json()))

    assert RunConfig.from_json(record) == flags
    assert RunConfig.from_json(record).scenario is Scenario.INTERACTIVE


def test_flags_of_another_version_of_the_program_are_read() -> None:
    record = {"scenario": "server", "mode": "performance", "flag_of_tomorrow": 1}

    assert RunConfig.from_json(record) == RunConfig(scenario=Scenario.SERVER, mode="performance")


def test_a_command_without_flags_is_the_default_run() -> None:
    assert run.parse_flags([]) == RunConfig()


@pytest.mark.parametrize(
    "content",
    ["HF_X=\u201csecret\u201d".encode("cp1252"), "HF_X=a".encode("utf-16"), b"HF_X=a\0b"],
)
def test_an_env_file_that_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / ".env").write_bytes(content)

    with pytest.raises(UsageError, match=r"\.env cannot be read \(.*\); write it anew, as UTF-8"):
        config.load_env_file(tmp_path)


def test_a_mark_before_the_text_of_an_env_file_is_not_part_of_a_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_X", "")  # so that it is taken out again
    monkeypatch.delenv("HF_X")
    (tmp_path / ".env").write_text("HF_X=a", encoding="utf-8-sig")

    config.load_env_file(tmp_path)

    assert os.environ["HF_X"] == "a"
