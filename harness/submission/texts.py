"""The files of a submission that are written rather than copied: what each of them says."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from harness import command_line, formatting, templates
from harness.metrics import TOKEN_DTYPE, AccuracyResult
from harness.rounds import OFFICIAL_MODEL
from harness.rules.evidence import ROUGE_NAMES, Evidence
from harness.scoring.accuracy import printed_percent

TEMPLATES = Path(__file__).with_name("templates")
_WEIGHTS = {"bf16": "bf16", "fp16": "fp16", "fp8": "fp8 (e4m3)"}
_TRANSFORMATIONS = {
    "bf16": "none",
    "fp16": "converted from bf16 to fp16 while loading",
    "fp8": "quantised from bf16 to fp8 (e4m3) while loading; see calibration.md",
}
# Where things lie on the machine that ran; nobody else can use it.
_PLACES = ("model", "tokenizer", "download_dir", "revision")


def accuracy_text(result: AccuracyResult, log_sha256: str) -> str:
    """accuracy.txt: what evaluation.py prints, plain numbers and all, and the log's hash.

    language/llama3.1-8b/evaluation.py:123-131 and tools/submission/truncate_accuracy_log.py.
    """
    printed: dict[str, Any] = {
        name: str(printed_percent(getattr(result, name))) for name in ROUGE_NAMES
    }
    # Plain ints: numpy 2 would print np.int64(...), which the checker does not understand.
    printed |= {"gen_len": int(result.gen_len or 0), "gen_num": int(result.gen_num)}
    return f"\nResults\n\n{printed}\n\nhash={log_sha256}\n"


def measurements(evidence: Evidence) -> dict[str, Any]:
    """The description of one implementation: the five keys that are asked for, and more."""
    config = evidence.config
    precision = config["flags"]["precision"]
    engine = config["resolved"]["engine"]
    return {
        "input_data_types": TOKEN_DTYPE,  # token ids
        "retraining": "No",
        "starting_weights_filename": _weights_name(config),
        "weight_data_types": _WEIGHTS[precision],
        "weight_transformations": _TRANSFORMATIONS[precision],
        "kv_cache_data_type": "fp8 (e4m3)" if precision == "fp8" else precision,
        "max_new_tokens": config["flags"]["max_new_tokens"],
        "engine": {name: value for name, value in engine.items() if name not in _PLACES},
        "data_set_sha256": config["dataset"]["checksum_sha256"],
        "code_commit": config["system"].get("git_commit"),
    }


def _weights_name(config: dict[str, Any]) -> str:
    revision = config["model"].get("revision")
    asked = config["model"]["requested"]
    official = config["model"]["unofficial_because"] is None
    name = OFFICIAL_MODEL if official else str(asked).rstrip("/").rpartition("/")[2]
    return f"{name}, model-*.safetensors" + (f", revision {revision}" if revision else "")


def measurement_readme(evidence: Evidence, code: str) -> str:
    """README.md beside the measurements: how to repeat this very run. `code` is its folder."""
    config = evidence.config
    data, system = config["dataset"], config["system"]
    checksum = f"SHA-256 {data['checksum_sha256']}"
    return templates.render(
        "measurement_readme.md.j2",
        TEMPLATES,
        scenario=evidence.scenario.label,
        category=config["flags"]["category"],
        round=evidence.official.name,
        code=code,
        command=shlex.join(command_line.without_flag(config["run"]["command"], "--results-dir")),
        rows=[
            ("weights", _weights_name(config)),
            ("precision", config["flags"]["precision"]),
            ("data set", f"{data['name']}, {data['samples']:,} samples, {checksum}"),
            ("vLLM", system.get("vllm_version")),
            ("LoadGen", config["loadgen"]["version"]),
            ("commit", system.get("git_commit") or formatting.NOT_KNOWN),
        ],
    )


def calibration(
    precisions: Collection[str],
    vllm_versions: Collection[str],
    schemes: Mapping[str, Sequence[str]],
) -> str:
    """calibration.md: how the weights became what ran, for each precision in the submission.

    `schemes` are vLLM's names of the quantisations that ran, each with its scenarios.
    """
    return templates.render(
        "calibration.md.j2",
        TEMPLATES,
        precisions=precisions,
        vllm_versions=sorted(vllm_versions),
        schemes=schemes,
    )
