"""The flags of one MMLU evaluation, and what can be refused from them alone."""

from __future__ import annotations

import dataclasses
from typing import Any

from harness import paths
from harness.config import RunConfig, validate
from harness.errors import UsageError
from harness.results.folder import MMLU

PLAIN, LLAMA = "plain", "llama"
PROTOCOLS = (PLAIN, LLAMA)
DATASETS = ("mmlu", "sample")
FULL_SIZE = 14_042  # questions of cais/mmlu's test split
MOST_SHOTS = 5
# What an evaluation has of a run's flags; the others are about LoadGen.
SHARED_FLAGS = (
    "model",
    "backend",
    "precision",
    "weights",
    "tensor_parallel_size",
    "data_parallel_size",
    "pipeline_parallel_size",
    "distributed_executor_backend",
    "max_model_len",
    "gpu_memory_utilization",
    "stall_timeout_s",
    "results_dir",
    "keep_all",
)


@dataclasses.dataclass(frozen=True)
class MmluConfig:
    """The flags of one evaluation; `run` holds those that run.py has too."""

    run: RunConfig
    protocol: str = PLAIN
    num_fewshot: int = MOST_SHOTS
    total_limit: int | None = None  # None: every question
    subjects: tuple[str, ...] = ()  # none: all of them
    dataset: str = DATASETS[0]
    dataset_path: str | None = None
    details: bool = False

    def to_json(self) -> dict[str, Any]:
        """Every flag under its own name, in the places where a run has them."""
        run = self.run.to_json()
        fields = {name: run[name] for name in (*SHARED_FLAGS, "engine_args")}
        own = dataclasses.asdict(self)
        del own["run"]
        where = {"version": None, "category": MMLU, "scenario": None, "mode": "accuracy"}
        return {**where, **fields, **own, "subjects": list(self.subjects)}

    def validate(self) -> None:
        """What can be refused from the flags alone. Raises UsageError."""
        validate(self.run)
        if self.dataset_path is not None:
            paths.check("--dataset-path", self.dataset_path, of_home=True)
        if self.protocol not in PROTOCOLS:
            raise UsageError(f"--protocol {self.protocol}: use one of {', '.join(PROTOCOLS)}.")
        if not 0 <= self.num_fewshot <= MOST_SHOTS:
            raise UsageError(
                f"--num-fewshot {self.num_fewshot}: 0 to {MOST_SHOTS} examples are possible; MMLU "
                f"has {MOST_SHOTS} for each subject."
            )
        if self.total_limit is not None and self.total_limit < 1:
            raise UsageError(
                f"--total-limit {self.total_limit}: at least 1 question is needed; leave the flag "
                f"out to ask all {FULL_SIZE:,}."
            )
        if self.dataset_path and self.dataset != DATASETS[0]:
            raise UsageError(
                f"--dataset-path goes with --dataset {DATASETS[0]}, not with --dataset "
                f"{self.dataset}; drop one of the two."
            )
