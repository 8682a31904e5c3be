"""The rules of a submission tree, read once more and independently of the code that writes one.

Both official checkers have holes, so this is the union of what they and the rules demand of
llama3.1-8b. `problems` walks a whole tree and returns a sentence for each rule that is broken.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness.rounds import ROUNDS, Category, Round
from tests.submission_facts import (
    ACCURACY_PATTERNS,
    ALLOWED,
    HEADLINE,
    LARGEST_ACCURACY_LOG,
    LARGEST_FILE,
    LOADGEN_SCENARIO,
    LOGS,
    MAY_BE_EMPTY,
    MEASUREMENT_FIELDS,
    MODELS,
    SYSTEM_FIELDS,
)


def problems(tree: Path, round_name: str) -> list[str]:
    """What is wrong with a closed tree; nothing for one that both checkers accept."""
    return list(_walk(tree, ROUNDS[round_name]))


def _walk(tree: Path, official: Round) -> Iterator[str]:
    yield from _names(tree)
    if [path.name for path in tree.iterdir()] != ["closed"]:
        yield "the root holds something else than closed/"
    for submitter in (tree / "closed").iterdir():
        yield from _submitter(submitter, official)


def _names(tree: Path) -> Iterator[str]:
    for path in tree.rglob("*"):
        name = path.relative_to(tree)
        if path.name.startswith(".") or " " in path.name or path.name == "__pycache__":
            yield f"{name} has a name that is refused"
        if path.is_symlink():
            yield f"{name} is a link"
        if path.is_dir() and not any(path.iterdir()):
            yield f"{name} is an empty folder"
        if path.is_file() and path.stat().st_size > LARGEST_FILE:
            yield f"{name} is larger than 50 MB"


def _submitter(root: Path, official: Round) -> Iterator[str]:
    old = official.name == "5.1"
    folders = {"systems", "results", *(("code", "measurements") if old else ("src",))}
    systems = {path.name for path in (root / "results").iterdir()}
    datacenter = any((root / "results" / name / "llama3.1-8b").is_dir() for name in systems)
    if old and datacenter:
        folders.add("compliance")
    there = {path.name for path in root.iterdir() if path.is_dir()}
    if there != folders:
        yield f"folders are {sorted(there)}, not {sorted(folders)}"
    loose = {path.suffix for path in root.iterdir() if path.is_file()} - {".md", ".pdf"}
    if loose:
        yield f"files of kind {loose} lie in the submitter's folder"
    if not (root / "calibration.md").is_file():
        yield "calibration.md is missing"
    if {path.name for path in (root / "systems").iterdir()} != {f"{s}.json" for s in systems}:
        yield "systems and results differ"
    if old and {path.name for path in (root / "measurements").iterdir()} != systems:
        yield "measurements and results differ"
    for name in systems:
        yield from _system(root, name)
        for model in (root / "results" / name).iterdir():
            yield from _model(root, name, model.name, official)


def _system(root: Path, name: str) -> Iterator[str]:
    described = json.loads((root / "systems" / f"{name}.json").read_text())
    for field in SYSTEM_FIELDS:
        if field not in described:
            yield f"systems: {field} is missing"
        elif field not in MAY_BE_EMPTY and not described[field]:
            yield f"systems: {field} is empty"
    if described["submitter"] != root.name or described["division"] != "closed":
        yield "systems: submitter or division is not the folder's"
    if described["status"] not in ("available", "preview", "rdi"):
        yield "systems: status is none of three"
    models = {path.name for path in (root / "results" / name).iterdir()}
    if {described["system_type"]} != {MODELS.get(model) for model in models}:
        yield "systems: system_type is not that of the results"


def _model(root: Path, system: str, model: str, official: Round) -> Iterator[str]:
    if model not in MODELS:
        yield f"{model} is no model of this benchmark"
        return
    there = {path.name for path in (root / "results" / system / model).iterdir()}
    if there - ALLOWED[model]:
        yield f"{model}: {sorted(there - ALLOWED[model])} is no scenario of it"
    if model == "llama3.1-8b-edge" and there != ALLOWED[model]:
        yield f"{model}: SingleStream and Offline are required"
    if model == "llama3.1-8b" and ("Offline" not in there or len(there) < 2):
        yield f"{model}: Offline and one of Server and Interactive are required"
    code = root / ("code" if official.name == "5.1" else "src")
    if official.name == "5.1":
        code /= model
    if not (code / "README.md").is_file() or not list(code.glob("*.py")):
        yield f"{code.name} holds no source"
    for scenario in sorted(there & ALLOWED[model]):
        for problem in _scenario(root, system, model, scenario, official):
            yield f"{model}/{scenario}: {problem}"


def _scenario(root: Path, system: str, model: str, scenario: str, official: Round) -> Iterator[str]:
    old = official.name == "5.1"
    results = root / "results" / system / model / scenario
    measurements = root / "measurements" / system / model / scenario if old else results
    compliance = root / "compliance" / system / model / scenario if old else results
    category = official.category(MODELS[model])
    performance, accuracy = results / "performance" / "run_1", results / "accuracy"
    if {path.name for path in performance.iterdir()} != LOGS:
        yield "performance/run_1 does not hold the two logs alone"
    wanted = LOGS | {"accuracy.txt", "mlperf_log_accuracy.json"}
    if {path.name for path in accuracy.iterdir()} != wanted:
        yield "accuracy does not hold the four files alone"
        return
    yield from _measurements(measurements, f"{system}.json" if old else "measurements.json")
    yield from _performance(performance, model, scenario, official, category)
    yield from _accuracy(accuracy, scenario, official, category)
    if model == "llama3.1-8b":
        yield from _test06(compliance / "TEST06", scenario)
    elif (compliance / "TEST06").exists():
        yield "edge has a TEST06"


def _measurements(folder: Path, name: str) -> Iterator[str]:
    for file in ("user.conf", "README.md", name):
        if not (folder / file).is_file() or not (folder / file).read_text().strip():
            yield f"{file} is missing or empty"
            return
    described = json.loads((folder / name).read_text())
    yield from (f"{name}: {f} is empty" for f in MEASUREMENT_FIELDS if not described.get(f))


def _log(folder: Path) -> tuple[dict[str, Any], list[str]]:
    """The last value of each key of a detail log, and LoadGen's errors."""
    values, errors = {}, []
    for line in (folder / "mlperf_log_detail.txt").read_text().splitlines():
        assert line.startswith(":::MLLOG")
        entry = json.loads(line.removeprefix(":::MLLOG"))
        values[entry["key"]] = entry["value"]
        if entry["metadata"]["is_error"]:
            errors.append(str(entry["value"]))
    return values, errors


def _settings(values: dict[str, Any], scenario: str, official: Round) -> Iterator[str]:
    if values["effective_scenario"] != LOADGEN_SCENARIO.get(scenario, scenario):
        yield f"LoadGen's scenario is {values['effective_scenario']}"
    for name in ("qsl_rng_seed", "sample_index_rng_seed", "schedule_rng_seed"):
        if values[f"effective_{name}"] != getattr(official.seeds, name):
            yield f"{name} is not that of v{official.name}"


def _performance(
    folder: Path, model: str, scenario: str, official: Round, category: Category
) -> Iterator[str]:
    values, errors = _log(folder)
    yield from _settings(values, scenario, official)
    expected = {
        "effective_test_mode": "PerformanceOnly",
        "result_validity": "VALID",
        "num_errors": 0,
        "requested_use_token_latencies": True,
        "effective_sample_concatenate_permutation": True,
        "result_min_duration_met": True,
        "result_min_queries_met": True,
    }
    if scenario != "Offline":
        expected["early_stopping_met"] = True
    for key, value in expected.items():
        if values.get(key) != value:
            yield f"{key} is {values.get(key)!r}, not {value!r}"
    if errors:
        yield f"LoadGen's errors: {errors}"
    if values["effective_performance_sample_count"] < category.dataset_samples:
        yield "the performance sample count is too small"
    if values["effective_min_duration_ms"] < 600_000:
        yield "the minimum duration is below 600 s"
    least = category.dataset_samples if scenario == "Offline" else 0
    if values["effective_samples_per_query"] < least:
        yield "Offline issued fewer samples than the data set has"
    limits = official.latency_limits(scenario.lower()) if model == "llama3.1-8b" else None
    if limits:
        ttft = values["result_first_token_99.00_percentile_latency_ns"] / 1e6
        tpot = values["result_time_per_output_token_99.00_percentile_ns"] / 1e6
        if not ttft < limits.ttft_p99_ms or not tpot < limits.tpot_p99_ms:
            yield f"TTFT {ttft} ms or TPOT {tpot} ms is over the limit"
        if values["result_99.00_percentile_latency_ns"] > 20e9:
            yield "the latency is over 20 s"
    if not values.get(HEADLINE[scenario], 0) > 0:
        yield f"{HEADLINE[scenario]} is missing"
    if "Result is : VALID" not in (folder / "mlperf_log_summary.txt").read_text():
        yield "the summary does not say VALID"


def _accuracy(folder: Path, scenario: str, official: Round, category: Category) -> Iterator[str]:
    values, errors = _log(folder)
    yield from _settings(values, scenario, official)
    if values["effective_test_mode"] != "AccuracyOnly" or errors:
        yield "the accuracy log is of another mode or has errors"
    count = values.get("effective_accuracy_sample_count", values["qsl_reported_total_count"])
    if count != category.dataset_samples:
        yield f"accuracy was measured on {count} samples"
    lines = (folder / "accuracy.txt").read_text().splitlines()
    found = {
        name: float(match.group(1))
        for name, pattern in ACCURACY_PATTERNS.items()
        for line in lines
        if (match := re.match(pattern, line))
    }
    for name in ACCURACY_PATTERNS:
        reference = getattr(category.accuracy, name)
        low, high = (0.9, 1.1) if name == "gen_len" else (0.99, float("inf"))
        if not low * reference <= found.get(name, 0) <= high * reference:
            yield f"accuracy.txt: {name} is {found.get(name)}"
    if sum(bool(re.match(r"^hash=([\w\d]+)$", line)) for line in lines) != 1:
        yield "accuracy.txt: there is not one hash"
    log = (folder / "mlperf_log_accuracy.json").read_text()
    if not 0 < len(log) <= LARGEST_ACCURACY_LOG or "\n\n...\n\n" not in log:
        yield "the accuracy log is not cut"


def _test06(folder: Path, scenario: str) -> Iterator[str]:
    if not (folder / "verify_accuracy.txt").is_file():
        yield "TEST06 is missing"
        return
    first = "Skipped" if scenario == "Offline" else "True"
    lines = (folder / "verify_accuracy.txt").read_text().splitlines()
    wanted = [
        f"First token check pass: {first}",
        "EOS check pass: True",
        "Sample length check pass: True",
        "TEST06 verification complete",
    ]
    if lines != wanted:
        yield f"TEST06 says {lines}"
    answers = json.loads((folder / "accuracy" / "mlperf_log_accuracy.json").read_text())
    if len(answers) != 100:
        yield f"TEST06 logged {len(answers)} answers"
