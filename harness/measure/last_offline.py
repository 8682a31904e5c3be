"""What the newest Offline run of the same model, settings and machine says about a rate for
Server.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.measure.pace import agree
from harness.results.files import read_object
from harness.results.folder import RunFolder, finished_runs
from harness.results.index import number, part

# A rate carries over only between runs that agree in these, and from none that was shorter: a
# smoke run does not fill the engine, and is many times slower than a full one.
SAME = (
    ("flags", "model"),
    ("flags", "precision"),
    ("flags", "weights"),
    ("flags", "dataset"),
    ("flags", "max_new_tokens"),
    ("flags", "data_parallel_size"),
    ("flags", "pipeline_parallel_size"),
    ("flags", "distributed_executor_backend"),
    ("flags", "engine_args"),
    ("resolved", "tensor_parallel_size"),
    ("system", "gpu_name"),
    ("system", "cpu"),
)


@dataclass(frozen=True)
class OfflineRate:
    """An earlier Offline result."""

    run: str
    samples_per_second: float  # tokens per second over the average tokens of an answer


def find(results_dir: Path, record: Mapping[str, Any]) -> OfflineRate | None:
    """The newest finished Offline performance run that agrees with `record`, a run's config.json.
    None: there is none.
    """
    for entry in finished_runs(results_dir):
        if entry.get("scenario") != "offline" or not entry.get("tokens_per_sec"):
            continue
        folder = RunFolder(results_dir / str(entry["run"]))
        if not agree(read_object(folder.config_json), record, SAME):
            continue
        performance = part(read_object(folder.summary_json), "run", "performance")
        tokens, count = number(performance, "total_new_tokens"), number(performance, "sample_count")
        if tokens and count:
            return OfflineRate(folder.name, entry["tokens_per_sec"] / (tokens / count))
    return None
