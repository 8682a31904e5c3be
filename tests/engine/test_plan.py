"""The plan of an engine for weights that come quantised."""

from __future__ import annotations

from pathlib import Path

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
