"""What the newest Offline run of the same model and machine settings says about a rate
for Server.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config import RunConfig
from harness.results.files import read_object
from harness.results.folder import RunFolder, finished_runs
from harness.results.index import number, part

# A rate carries over only between runs that agree in these flags.
SAME_FLAGS = (
    "model",
    "precision",
    "weights",
    "dataset",
    "max_new_tokens",
    "data_parallel_size",
    "pipeline_parallel_size",
)


@dataclass(frozen=True)
class OfflineRate:
    """An earlier Offline result."""

    run: str
    samples_per_second: float  # tokens per second over the average tokens of an answer


def find(results_dir: Path, config: RunConfig) -> OfflineRate | None:
    """The newest finished Offline performance run that `config` can be compared with, if any."""
    for entry in finished_runs(results_dir):
        if entry.get("scenario") != "offline" or not entry.get("tokens_per_sec"):
            continue
        folder = RunFolder(results_dir / str(entry["run"]))
        flags = read_object(folder.config_json)
        performance = part(read_object(folder.summary_json), "run", "performance")
        if not _comparable(flags, config):
            continue
        tokens, count = number(performance, "total_new_tokens"), number(performance, "sample_count")
        if tokens and count:
            return OfflineRate(folder.name, entry["tokens_per_sec"] / (tokens / count))
    return None


def _comparable(record: dict[str, Any], config: RunConfig) -> bool:
    ours = config.to_json()
    if any(part(record, "flags", name) != ours[name] for name in SAME_FLAGS):
        return False
    tensor = part(record, "resolved", "tensor_parallel_size")
    return bool(tensor == config.tensor_parallel_size)
