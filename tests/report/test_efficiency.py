"""MFU, MBU, energy and price, against numbers worked by hand; docs/metrics.md has the same."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.config import RunConfig, Scenario
from harness.errors import UsageError
from harness.inputs import quantization
from harness.inputs.model_source import SHIPPED_CONFIG_FOLDER, read_source
from harness.logs.times import write_telemetry
from harness.machine import cards
from harness.metrics import TelemetryPoint
from harness.report import efficiency
from harness.report.efficiency import Shape, Work
from harness.report.make import make_report
from tests.builders import SAMPLES, config_json, edit, text_of, write_run
from tests.report.conftest import LLAMA

pytestmark = pytest.mark.usefixtures("drawn")
SMALL = Shape(layers=2, hidden=4, inner=8, heads=2, kv_heads=1, head_size=2, vocabulary=10)
WORK = Work(samples=3, prompt_tokens=5, new_tokens=12, steps=10)


def test_flop_are_those_worked_by_hand() -> None:
    # A layer: 4 x 2 x (2 x 2 + 2 x 1) = 48 of attention and 3 x 4 x 8 = 96 of the MLP; two of them.
    assert SMALL.layer_weights == 2 * (48 + 96)
    # 3 x 5 tokens of prompts and 12 of answers, of which the last 3 are not computed on.
    assert WORK.computed_tokens == 24
    # Each sample ends at 8 tokens: 1 + 2 + ... + 8 = 36 pairs; 4 x 2 layers x 2 heads x 2.
    assert efficiency.model_flop(SMALL, WORK) == (
        2 * 288 * 24  # layers
        + 2 * 4 * 10 * 12  # output layer, for the tokens of the answers alone
        + 32 * 3 * 36  # attention
    )


def test_bytes_are_those_worked_by_hand() -> None:
    # A token's keys and values: 2 x 1 head x 2 values x 2 layers x 2 bytes = 16.
    # The second to fourth token of an answer look back on 5 + 1, 5 + 2 and 5 + 3 tokens: 21.
    assert efficiency.model_bytes(SMALL, WORK, weight_bytes=2, kv_bytes=2) == (
        10 * (288 * 2 + 40 * 2)  # the weights in each of 10 steps
        + 16 * 24  # written
        + 16 * 3 * 21  # read again
    )
    assert efficiency.model_bytes(SMALL, WORK, weight_bytes=1, kv_bytes=1) == (
        10 * (288 + 40 * 2) + 8 * 24 + 8 * 3 * 21
    )


def test_bytes_are_not_known_without_the_steps_of_the_engine() -> None:
    work = Work(3, 5, 12, None)
    assert efficiency.model_bytes(SMALL, work, weight_bytes=2, kv_bytes=2) is None


def test_a_token_of_llama_is_15_gflop() -> None:
    shape = Shape(**LLAMA)
    assert shape.layer_weights == 6_979_321_856  # 8,030,261,248 less two tables and the norms
    one = efficiency.model_flop(shape, Work(1, 1, 1, None))
    assert one == 2 * 6_979_321_856 + 2 * 4096 * 128256 + 4 * 32 * 32 * 128


def test_the_shape_of_the_model_is_recorded() -> None:
    source = read_source("", SHIPPED_CONFIG_FOLDER, unofficial_because=None, source="")
    assert source.shape == LLAMA


def test_a_slice_or_an_unknown_card_has_no_datasheet() -> None:
    h100 = cards.find("NVIDIA H100 80GB HBM3")
    assert h100 and h100.name == "H100 SXM" and h100.fp8_flop_per_s == 1979e12
    h200, h100_pcie = cards.find("NVIDIA H200"), cards.find("NVIDIA H100 PCIe")
    assert h200 and h200.memory_bytes_per_s == 4.8e12
    assert h100_pcie and h100_pcie.bf16_flop_per_s == 756.5e12
    l4, l40s = cards.find("NVIDIA L4"), cards.find("NVIDIA L40S")
    assert l4 and l40s and l4.name == "L4" and l40s.name == "L40S"
    for name in (
        None, "", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "NVIDIA H200 NVL", "NVIDIA L40",
        "NVIDIA H200 + NVIDIA L4", "engine double",
    ):  # fmt: skip
        assert cards.find(name) is None, name


def run_with(tmp_path: Path, **changes: object) -> Path:
    """An Offline run of 20 samples on two H200, seen by the telemetry to take 1,000 W."""
    settings = RunConfig(
        scenario=Scenario.OFFLINE,
        mode="performance",
        total_sample_count=SAMPLES,
        data_parallel_size=2,
        **changes,  # type: ignore[arg-type]
    )
    record = config_json(settings)
    record["model"]["shape"] = LLAMA
    folder = write_run(tmp_path / "run", settings, test="offline-valid", record=record)
    points = [TelemetryPoint(s, gpu_power_w=1000.0, engine_steps=40) for s in (1.0, 2.0)]
    write_telemetry(folder / "telemetry.csv", points)
    return folder


def test_a_run_is_held_against_all_its_gpus(tmp_path: Path) -> None:
    folder = run_with(tmp_path, price_per_hour=7.2)
    performance = make_report(folder)["run"]["performance"]
    found = performance["efficiency"]
    seconds, tokens = performance["duration_s"], performance["total_new_tokens"]
    assert found["card"] == "H200 SXM"
    assert found["peak_flop_per_s"] == 2 * 989.5e12
    assert found["mfu"] == pytest.approx(found["model_flop"] / seconds / (2 * 989.5e12))
    assert found["mbu"] == pytest.approx(found["model_bytes"] / seconds / (2 * 4.8e12))
    assert found["joules_per_token"] == pytest.approx(1000 * seconds / tokens)
    assert found["tokens_per_second_per_watt"] == pytest.approx(tokens / seconds / 1000)
    # 7.2 an hour are 0.002 a second.
    assert found["price_per_million_tokens"] == pytest.approx(1e6 * 0.002 * seconds / tokens)
    for page in (text_of(folder), (folder / "report.html").read_text()):
        assert "by the datasheet of H200 SXM" in page and "price of a million tokens" in page


def test_fp8_is_held_against_products_in_fp8_and_energy_counts_before_power(
    tmp_path: Path,
) -> None:
    folder = run_with(tmp_path, precision="fp8", extra_metrics=True)
    record = json.loads((folder / "config.json").read_text())
    record["run"]["gpu_energy_j"] = 500.0
    record["run"]["ceilings"] = {"tflop_per_s": 1000.0, "terabytes_per_s": 4.0}
    (folder / "config.json").write_text(json.dumps(record))
    performance = make_report(folder)["run"]["performance"]
    found = performance["efficiency"]
    assert found["peak_flop_per_s"] == 2 * 1979e12
    assert found["mfu_of_measured"] == pytest.approx(found["mfu"] * 1979 / 1000)
    assert found["mbu_of_measured"] == pytest.approx(found["mbu"] * 4.8 / 4.0)
    assert found["joules_per_token"] == pytest.approx(500 / performance["total_new_tokens"])


@pytest.mark.parametrize(("activations", "peak"), [("fp8", 1979e12), (None, 989.5e12)])
def test_a_checkpoint_is_held_against_the_products_that_it_asks_for(
    activations: str | None, peak: float, tmp_path: Path
) -> None:
    folder = run_with(tmp_path)
    record = json.loads((folder / "config.json").read_text())
    record["model"]["quantization"] = {"label": "some weights", "activations": activations}
    (folder / "config.json").write_text(json.dumps(record))

    found = make_report(folder)["run"]["performance"]["efficiency"]

    assert found["peak_flop_per_s"] == 2 * peak


def test_a_checkpoint_may_bring_a_kv_cache_in_fp8(tmp_path: Path) -> None:
    folder = run_with(tmp_path)
    in_bf16 = make_report(folder)["run"]["performance"]["efficiency"]["model_bytes"]
    record = json.loads((folder / "config.json").read_text())
    came = {"label": "some weights", "activations": None, "kv_cache": "fp8"}
    record["model"]["quantization"] = came
    (folder / "config.json").write_text(json.dumps(record))

    found = make_report(folder)["run"]["performance"]["efficiency"]["model_bytes"]

    assert found < in_bf16


def test_without_products_in_fp8_those_in_bf16_count() -> None:
    a100, h100 = cards.find("NVIDIA A100-SXM4-80GB"), cards.find("NVIDIA H100 80GB HBM3")

    assert a100 and h100
    assert (a100.multiplies_in("fp8"), h100.multiplies_in("fp8")) == ("bf16", "fp8")
    assert a100.flop_per_s("fp8") == a100.bf16_flop_per_s
    assert h100.flop_per_s("fp8") == h100.fp8_flop_per_s
    assert h100.flop_per_s("fp16") == h100.bf16_flop_per_s


def test_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    folder = run_with(tmp_path)
    (folder / "telemetry.csv").unlink()
    edit(folder / "config.json", "NVIDIA H200", "a GPU")
    found = make_report(folder)["run"]["performance"]["efficiency"]
    assert found.pop("model_flop") > 0
    assert set(found.values()) == {None}
    assert list(efficiency.rows(found | {"model_flop": 1.0})) == []


def test_a_price_is_an_amount() -> None:
    from harness.config import validate

    for price in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UsageError, match="--price-per-hour"):
            validate(RunConfig(price_per_hour=price))


def test_a_quantised_checkpoint_is_read_in_the_bits_that_its_record_holds(tmp_path: Path) -> None:
    awq = {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True}
    known = quantization.read("./model", tmp_path, {"quantization_config": awq})
    assert known is not None
    config = {"model": {"quantization": known.to_json()}, "flags": {"precision": "bf16"}}

    assert efficiency.weight_bytes_of(config) == (4 + 16 / 128) / 8
    assert efficiency.weight_bytes_of({**config, "model": {"quantization": None}}) == 2
