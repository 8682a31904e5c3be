"""What the written files of a submission say."""

from __future__ import annotations

from pathlib import Path

import pytest

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
