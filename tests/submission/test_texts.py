"""What the written files of a submission say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.submission import checks
from harness.submission.finished_run import FinishedRun
from tests.submission.conftest import NAME, changed, make


def test_no_path_of_the_machine_gets_into_the_measurements(
    good: list[FinishedRun], tmp_path: Path, project: Path, system_json: Path
) -> None:
    places = (("resolved", "engine", "model"), ("resolved", "engine", "download_dir"),
              ("model", "path"), ("flags", "results_dir"))  # fmt: skip
    for place in places:
        good[0] = changed(good[0], *place, value="/home/me/secret")
    command = ["python", "run.py", "--results-dir", "/home/me/secret", "--mode", "both"]
    good[0] = changed(good[0], "run", "command", value=command)

    out = make(good, tmp_path, project, system_json)

    folder = out / "closed/ACME/measurements" / NAME / "llama3.1-8b/Offline"
    texts = [path.read_text() for path in folder.iterdir()]
    assert not any("secret" in text for text in texts)
    assert any("python run.py --mode both" in text for text in texts)


@pytest.mark.parametrize(
    ("precision", "words"),
    [
        ("bf16", "Nothing is quantised"),
        ("fp16", "converted to fp16"),
        ("fp8", '- `quantization="fp8_per_channel"` in Offline'),
    ],
)
def test_the_calibration_says_what_was_done_to_the_weights(
    precision: str, words: str, good: list[FinishedRun], tmp_path: Path, project: Path,
    system_json: Path,
) -> None:  # fmt: skip
    scheme = "fp8_per_channel" if precision == "fp8" else None
    runs = [changed(one, "flags", "precision", value=precision) for one in good]
    runs = [changed(one, "resolved", "engine", "quantization", value=scheme) for one in runs]

    out = make(runs, tmp_path, project, system_json)

    text = (out / "closed/ACME/calibration.md").read_text()
    assert words in text
    assert text.count("\n## ") == 1


AWQ = {"quant_method": "awq", "bits": 4, "group_size": 128}
CAME = {
    "method": "awq",
    "label": "int4 weights by awq",
    "formats": ["int4"],
    "group_size": 128,
    "activations": None,
    "kv_cache": None,
    "config": AWQ,
}


def test_weights_that_came_quantised_are_described_everywhere(
    good: list[FinishedRun], tmp_path: Path, project: Path, system_json: Path
) -> None:
    runs = [changed(one, "model", "quantization", value=CAME) for one in good]
    runs[1] = changed(runs[1], "resolved", "engine", "kv_cache_dtype", value="fp8")

    out = make(runs, tmp_path, project, system_json) / "closed/ACME"

    described = json.loads(
        (out / "measurements" / NAME / f"llama3.1-8b/Offline/{NAME}.json").read_text()
    )
    assert described["weight_data_types"] == "int4"
    assert described["weight_transformations"] == (
        "quantised by awq before they were loaded, and used as they are; see calibration.md"
    )
    assert described["kv_cache_data_type"] == "bf16"
    assert "as int4 weights by awq, model-*" in described["starting_weights_filename"]
    readme = (out / "measurements" / NAME / "llama3.1-8b/Offline/README.md").read_text()
    assert "| precision | int4 weights by awq, bf16 arithmetic |" in readme
    text = (out / "calibration.md").read_text()
    assert [line for line in text.splitlines() if line.startswith("## ")] == [
        "## Int4 weights by awq"
    ]
    assert "- **Weights.** int4, with a scale for each 128 of them, by awq." in text
    assert "- **KV cache.** bf16 in Offline and Interactive, fp8 (e4m3) in Server." in text
    assert json.loads(text.partition("```json\n")[2].partition("```")[0]) == AWQ
    assert "Nothing is quantised" not in text


FP8_CAME = CAME | {"method": "compressed-tensors", "label": "fp8 weights by compressed-tensors",
                   "formats": ["fp8"], "group_size": None, "activations": "fp8"}  # fmt: skip
BY_CUBLAS = "harness.engine.cublas_fp8.WorkerExtension"
ONE_TOKEN = "harness.engine.one_token_fp8.WorkerExtension"


@pytest.mark.parametrize(
    ("extension", "said"), [(None, (0, 0)), (BY_CUBLAS, (1, 0)), (ONE_TOKEN, (1, 1))]
)
def test_a_checkpoints_products_are_described_as_they_ran(
    extension: str | None, said: tuple[int, int], good: list[FinishedRun], tmp_path: Path,
    project: Path, system_json: Path,
) -> None:  # fmt: skip
    where = ("resolved", "engine", "worker_extension_cls")
    runs = [changed(one, "model", "quantization", value=FP8_CAME) for one in good]
    runs = [changed(one, *where, value=extension) for one in runs]

    text = (make(runs, tmp_path, project, system_json) / "closed/ACME/calibration.md").read_text()

    counts = (text.count("products are cuBLASLt's"), text.count("A step of one token"))
    assert counts == said


def test_steps_of_one_token_are_told_of_the_weights_that_they_read(
    good: list[FinishedRun], tmp_path: Path, project: Path, system_json: Path
) -> None:
    """Of weights made fp8 here nothing is said for the sake of a checkpoint beside them."""
    runs = [changed(one, "flags", "precision", value="fp8") for one in good]
    runs[1] = changed(good[1], "model", "quantization", value=CAME)
    runs[1] = changed(runs[1], "resolved", "engine", "worker_extension_cls", value=ONE_TOKEN)

    text = (make(runs, tmp_path, project, system_json) / "closed/ACME/calibration.md").read_text()

    assert "multiplies these fp8 weights by bf16 activations" not in text
    assert text.count("A step of one token") == 1


def test_a_submitter_is_asked_how_the_weights_came_to_be_quantised(
    good: list[FinishedRun],
) -> None:
    runs = [changed(good[0], "model", "quantization", value=CAME)]

    (doubt,) = [text for text in checks.doubts(runs) if "calibration.md" in text]

    assert "which samples of the official calibration set made it" in doubt


def test_a_quantised_kv_cache_is_described_beside_weights_that_are_not(
    good: list[FinishedRun], tmp_path: Path, project: Path, system_json: Path
) -> None:
    runs = [changed(one, "resolved", "engine", "kv_cache_dtype", value="fp8") for one in good]

    out = make(runs, tmp_path, project, system_json)

    text = (out / "closed/ACME/calibration.md").read_text()
    assert "The KV cache alone is quantised" in text
    assert "the KV cache is fp8 (e4m3)" in text
