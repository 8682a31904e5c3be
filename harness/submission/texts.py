"""The files of a submission that are written rather than copied: what each of them says."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness import command_line, formatting, precision, templates
from harness.engine import kernels, one_query
from harness.metrics import TOKEN_DTYPE, AccuracyResult
from harness.rounds import OFFICIAL_MODEL
from harness.rules.evidence import ROUGE_NAMES, Evidence
from harness.scoring.accuracy import printed_percent

TEMPLATES = Path(__file__).with_name("templates")
_WEIGHTS = {"bf16": "bf16", "fp16": "fp16", "fp8": "fp8 (e4m3)"}
_KV_CACHES = {"fp8": "fp8 (e4m3)", "fp8_e4m3": "fp8 (e4m3)", "bfloat16": "bf16", "float16": "fp16"}
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
    engine = config["resolved"]["engine"]
    formats, transformations = _weights(config)
    return {
        "input_data_types": TOKEN_DTYPE,  # token ids
        "retraining": "No",
        "starting_weights_filename": _weights_name(config),
        "weight_data_types": formats,
        "weight_transformations": transformations,
        "kv_cache_data_type": _kv_cache(config),
        "max_new_tokens": config["flags"]["max_new_tokens"],
        "engine": {name: value for name, value in engine.items() if name not in _PLACES},
        "data_set_sha256": config["dataset"]["checksum_sha256"],
        "code_commit": config["system"].get("git_commit"),
    }


def _weights(config: dict[str, Any]) -> tuple[str, str]:
    """The number formats of the weights, and what made them of the published ones."""
    flag, came = config["flags"]["precision"], precision.quantization(config)
    if came is None:
        return _WEIGHTS[flag], _TRANSFORMATIONS[flag]
    formats = ", ".join(came["formats"]) or f"those of {came['method']}"
    how = f"quantised by {came['method']} before they were loaded, and used as they are"
    return formats, f"{how}; see calibration.md"


def _kv_cache(config: dict[str, Any]) -> str:
    """The number format of keys and values: the engine's, else the checkpoint's, else its own."""
    flag, came = config["flags"]["precision"], precision.quantization(config)
    given = config["resolved"]["engine"].get("kv_cache_dtype") or "auto"
    if given == "auto":
        given = (came or {}).get("kv_cache") or ("bf16" if flag == "fp8" else flag)
    return _KV_CACHES.get(given, str(given))


def _weights_name(config: dict[str, Any]) -> str:
    revision = config["model"].get("revision")
    asked = config["model"]["requested"]
    official = config["model"]["unofficial_because"] is None
    name = OFFICIAL_MODEL if official else str(asked).rstrip("/").rpartition("/")[2]
    if came := precision.label(config):
        name += f", as {came}"
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
            ("precision", precision.of(config)),
            ("data set", f"{data['name']}, {data['samples']:,} samples, {checksum}"),
            ("vLLM", system.get("vllm_version")),
            ("LoadGen", config["loadgen"]["version"]),
            ("commit", system.get("git_commit") or formatting.NOT_KNOWN),
        ],
    )


def calibration(runs: Sequence[Evidence]) -> str:
    """calibration.md: how the weights became what ran, for each precision in the submission."""
    plain = [run for run in runs if precision.quantization(run.config) is None]
    schemes: dict[str, list[str]] = {}
    for run in runs:
        if scheme := run.config["resolved"]["engine"].get("quantization"):
            schemes.setdefault(scheme, []).append(run.scenario.label)
    by_flag = {
        flag: [run for run in plain if run.flags.precision == flag]
        for flag in {run.flags.precision for run in plain}
    }
    return templates.render(
        "calibration.md.j2",
        TEMPLATES,
        precisions=by_flag.keys(),
        kv_caches={flag: _kv_caches(of) for flag, of in by_flag.items()},
        vllm_versions=sorted({str(run.config["system"].get("vllm_version")) for run in runs}),
        schemes=schemes,
        one_token=_one_token(by_flag.get("fp8", ())),
        checkpoints=list(_checkpoints(runs)),
    )


def _checkpoints(runs: Sequence[Evidence]) -> Iterator[dict[str, Any]]:
    """Every way in which weights came quantised, once, as the runs recorded it."""
    ways: dict[str, list[Evidence]] = {}
    for run in runs:
        if came := precision.quantization(run.config):
            ways.setdefault(json.dumps(came, sort_keys=True), []).append(run)
    for as_json, of in ways.items():
        came = json.loads(as_json)
        size = came["group_size"]
        yield {
            **came,
            "groups": f", with a scale for each {size} of them" if size else "",
            "kv_caches": _kv_caches(of),
            "by_cublas": any(map(kernels.multiplies_by_cublas, _engines(of))),
            "one_token": _one_token(of),
            "as_it_stands": json.dumps(came["config"], indent=2),
        }


def _engines(runs: Sequence[Evidence]) -> Iterator[dict[str, Any]]:
    yield from (run.config["resolved"]["engine"] for run in runs)


def _one_token(runs: Sequence[Evidence]) -> bool:
    """Whether steps of one token ran on kernels of their own."""
    return any(map(one_query.is_asked_for, _engines(runs)))


def _kv_caches(runs: Sequence[Evidence]) -> str:
    """The number formats of the KV cache: "bf16", or "bf16 in Offline, fp8 (e4m3) in Server"."""
    scenarios: dict[str, list[str]] = {}
    for run in runs:
        scenarios.setdefault(_kv_cache(run.config), []).append(run.scenario.label)
    if len(scenarios) == 1:
        return next(iter(scenarios))
    return ", ".join(f"{name} in {' and '.join(of)}" for name, of in scenarios.items())
