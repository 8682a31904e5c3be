"""Runs as a table for a spreadsheet: a row for each run folder, columns with units in their names.

The figures come from LoadGen's logs and samples.csv. What the logs do not hold (the settings, the
machine, the scores) comes from the run's own files, and is empty where those are not there.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.logs.performance import performance_result
from harness.metrics import LatencyStats, PerformanceResult
from harness.results.files import read_object
from harness.results.folder import ACCURACY_LOG, RunFolder
from harness.results.index import part
from harness.rules.validity import invalid_reasons

FORMATS = ("json", "csv", "parquet")
_LATENCIES = ("mean_ms", "p50_ms", "p90_ms", "p99_ms")
_ROUGE = ("rouge1", "rouge2", "rougeL", "rougeLsum")
_MEASURED = ()  # the place of what no file of ours holds
# Every column: the type of its values, each of which may be empty, and where in config.json,
# summary.json or rouge.json the value stands.
_PLACES: dict[str, tuple[type, tuple[str, ...]]] = {
    "run": (str, _MEASURED),
    "started": (str, ("config", "run", "started")),
    "finished": (str, ("config", "run", "finished")),
    "status": (str, _MEASURED),
    "version": (str, ("config", "flags", "version")),
    "category": (str, ("config", "flags", "category")),
    "scenario": (str, ("config", "flags", "scenario")),
    "mode": (str, ("config", "flags", "mode")),
    "model": (str, ("config", "flags", "model")),
    "precision": (str, ("config", "flags", "precision")),
    "weights": (str, ("config", "flags", "weights")),
    "dataset": (str, ("config", "flags", "dataset")),
    "dataset_samples": (int, ("config", "resolved", "sample_count")),
    "full_size": (bool, ("config", "resolved", "full_size")),
    "verdict": (str, ("summary", "verdict", "result")),
    "valid": (bool, _MEASURED),
    "invalid_reasons": (str, _MEASURED),
    "loadgen_valid": (bool, _MEASURED),
    "duration_s": (float, _MEASURED),
    "samples_answered": (int, _MEASURED),
    "tokens_generated": (int, _MEASURED),
    "tokens_per_second": (float, _MEASURED),
    "samples_per_second": (float, _MEASURED),
    "target_qps": (float, _MEASURED),
    **{f"{w}_{f}": (float, _MEASURED) for w in ("latency", "ttft", "tpot") for f in _LATENCIES},
    "accuracy_passed": (bool, ("rouge", "passed")),
    **{name: (float, ("rouge", name)) for name in _ROUGE},
    "answers_scored": (int, ("rouge", "run_gen_num")),
    "answers_characters": (int, ("rouge", "run_gen_len")),
    "gpu_name": (str, ("config", "system", "gpu_name")),
    "gpu_count": (int, ("config", "system", "gpu_count")),
    "tensor_parallel_size": (int, ("config", "resolved", "tensor_parallel_size")),
    "data_parallel_size": (int, ("config", "flags", "data_parallel_size")),
    "pipeline_parallel_size": (int, ("config", "flags", "pipeline_parallel_size")),
    "max_num_seqs": (int, ("config", "resolved", "engine", "max_num_seqs")),
    "max_num_batched_tokens": (int, ("config", "resolved", "engine", "max_num_batched_tokens")),
    "vllm_version": (str, ("config", "system", "vllm_version")),
    "git_commit": (str, ("config", "system", "git_commit")),
    "git_dirty": (bool, ("config", "system", "git_dirty")),
    "path": (str, _MEASURED),
}
COLUMNS = {name: kind for name, (kind, _) in _PLACES.items()}


def row(run_dir: Path) -> dict[str, Any]:
    """A run folder as a row: a value or None for each of COLUMNS. Raises UsageError, LogError."""
    folder = RunFolder(run_dir.resolve())
    if not folder.path.is_dir():
        raise UsageError(
            f"{run_dir}: no such folder; give run folders, for example results/2*-offline."
        )
    performance = performance_result(folder.path)
    if performance is None and not (folder.accuracy / ACCURACY_LOG).is_file():
        raise UsageError(f"{run_dir} holds no LoadGen logs, so it has no row.")
    files = {
        "config": read_object(folder.config_json),
        "summary": read_object(folder.summary_json),
        "rouge": read_object(folder.rouge_json),
    }
    values: dict[str, Any] = {
        "run": folder.name,
        "path": str(run_dir),
        "status": folder.status(files["config"])[0],
        **{name: part(files, *place) for name, (_, place) in _PLACES.items() if place},
    }
    if performance:
        values |= _measured(performance)
        values["scenario"] = values["scenario"] or performance.scenario.lower()
    return {name: _of_type(values.get(name), kind) for name, kind in COLUMNS.items()}


def _measured(result: PerformanceResult) -> dict[str, Any]:
    reasons = invalid_reasons(result)
    values: dict[str, Any] = {
        "valid": not reasons,
        "invalid_reasons": "; ".join(reasons) or None,
        "loadgen_valid": result.loadgen.valid,
        "duration_s": result.duration_s,
        "samples_answered": result.sample_count,
        "tokens_generated": result.total_new_tokens,
        "tokens_per_second": result.tokens_per_second,
        "samples_per_second": result.samples_per_second,
        "target_qps": result.target_qps,
    }
    for what in ("latency", "ttft", "tpot"):
        stats = getattr(result, what) or LatencyStats()
        for field in _LATENCIES:
            values[f"{what}_{field}"] = getattr(stats, field)
    return values


def _of_type(value: Any, kind: type) -> Any:
    """The value where it is of its column's type; anything else in a damaged file is nothing."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    is_it = isinstance(value, kind) and (kind is not int or not isinstance(value, bool))
    return value if is_it else None


def as_text(rows: Sequence[dict[str, Any]], table_format: str) -> str:
    """Rows as CSV with a line of headings, or as a JSON list of objects."""
    if table_format == "json":
        return json.dumps(rows, indent=2, allow_nan=False, ensure_ascii=False) + "\n"
    text = io.StringIO()
    writer = csv.DictWriter(text, list(COLUMNS), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    """Spreadsheets read TRUE and FALSE as such, whatever their language."""
    return str(value).upper() if isinstance(value, bool) else value


def as_parquet(rows: Sequence[dict[str, Any]]) -> bytes:
    """Rows as a Parquet file, every column of its type even where all its values are empty."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    schema = pa.schema([(name, types[kind]) for name, kind in COLUMNS.items()])
    file = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(rows), schema=schema), file)
    return file.getvalue()
