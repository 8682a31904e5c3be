"""What config.json of a run or an evaluation holds, field by field."""

from __future__ import annotations

import dataclasses

from harness.config import CATEGORIES, DATASETS, MODES, PRECISIONS, WEIGHTS, Scenario
from harness.machine.hardware import Hardware
from harness.machine.process_limits import ProcessLimits
from harness.machine.system import SystemInfo
from harness.rounds import ROUNDS
from harness.shapes import (
    ABOVE_0,
    COUNT,
    NUMBER,
    OBJECT,
    POSITIVE,
    TEXT,
    YES_NO,
    Each,
    Fields,
    Kind,
    Shape,
    maybe,
    one_of,
    optional,
)

_KINDS = {"str": TEXT, "int": COUNT, "float": NUMBER, "bool": YES_NO}


def _of_dataclass(record: type) -> dict[str, Kind]:
    """The plain fields of a record, any of which an earlier version may not have written."""
    kinds = ((f.name, str(f.type).removesuffix(" | None")) for f in dataclasses.fields(record))
    return {name: optional(_KINDS[kind]) for name, kind in kinds if kind in _KINDS}


_RUN = Fields(
    {
        "name": maybe(TEXT),
        "started": maybe(TEXT),
        "finished": maybe(TEXT),
        "status": TEXT,
        "error": maybe(TEXT),
        "command": Each(TEXT),
        "phases": Each(NUMBER, dict),
        "first_query_s": optional(NUMBER),
        "gpu_energy_j": optional(NUMBER),
        "ceilings": optional(Fields({"tflop_per_s": ABOVE_0, "terabytes_per_s": ABOVE_0})),
        "requests": optional(COUNT),
        "scoring": optional(TEXT),
        "scoring_error": optional(TEXT),
        "scored_again": optional(TEXT),
    }
)
_DEPARTURES = Each(Fields({"id": TEXT, "sentence": TEXT}))
_SYSTEM = Fields(
    {
        **_of_dataclass(SystemInfo),
        "hardware": optional(Fields(_of_dataclass(Hardware))),
        "limits": optional(Fields(_of_dataclass(ProcessLimits))),
        "others": optional(Each(Fields(_of_dataclass(SystemInfo)))),
    }
)
# What a run and an evaluation have in common; `flags` tell which of them it is.
ANY = Fields(
    {
        "run": _RUN,
        "flags": OBJECT,
        "resolved": OBJECT,
        "departures": _DEPARTURES,
        "dataset": OBJECT,
        "model": OBJECT,
        "system": _SYSTEM,
    }
)

PROFILE = Fields({"name": TEXT, "source": TEXT})
_PROBE = Fields(
    {
        "qps": ABOVE_0,
        "holds": YES_NO,
        "because": TEXT,
        "queries": COUNT,
        "seconds": NUMBER,
        "ttft_p99_ms": maybe(NUMBER),
        "tpot_p99_ms": maybe(NUMBER),
        "brief": optional(YES_NO),
        "broken_off": optional(YES_NO),
    },
    closed=True,
)
FLAGS: dict[str, Shape] = {
    "model": TEXT,
    "precision": one_of(PRECISIONS),
    "weights": one_of(WEIGHTS),
    "results_dir": TEXT,
    "mode": one_of(MODES),
}
ENGINE: dict[str, Shape] = {
    "engine": Fields(
        {
            "dtype": optional(TEXT),
            "quantization": optional(TEXT),
            "kv_cache_dtype": optional(TEXT),
        }
    ),
    "engine_environment": optional(OBJECT),
}
DATASET: dict[str, Shape] = {
    "name": TEXT,
    "source": TEXT,
    "checksum_sha256": maybe(TEXT),
    "samples": COUNT,
    "longest_prompt_tokens": NUMBER,
    "mean_prompt_tokens": NUMBER,
}
_SHAPE = ("layers", "hidden", "inner", "heads", "kv_heads", "head_size", "vocabulary")
MODEL: dict[str, Shape] = {
    "requested": TEXT,
    "path": maybe(TEXT),
    "revision": maybe(TEXT),
    "source": optional(TEXT),
    "shape": optional(Fields(dict.fromkeys(_SHAPE, POSITIVE), closed=True)),
    "quantization": optional(Fields({"bits": optional(ABOVE_0)})),
}
_COPIES = dataclasses.replace(POSITIVE, may_be_absent=True)  # a whole number where it is there
RUN = Fields(
    {
        "flags": Fields(
            {
                **FLAGS,
                "version": one_of(ROUNDS),
                "category": one_of(CATEGORIES),
                "scenario": one_of([scenario.value for scenario in Scenario]),
                "dataset": one_of(DATASETS),
                "max_new_tokens": COUNT,
                "extra_metrics": YES_NO,
                "price_per_hour": optional(ABOVE_0),
                "repeat": _COPIES,
                "data_parallel_size": _COPIES,
                "pipeline_parallel_size": _COPIES,
                "high_accuracy": optional(YES_NO),
                "compliance": optional(YES_NO),
                "total_sample_count": optional(COUNT),
                "min_duration_s": optional(NUMBER),
                "dataset_path": optional(TEXT),
                "distributed_executor_backend": maybe(TEXT),
                "engine_args": Each(TEXT, dict, may_be_absent=True),
            }
        ),
        "resolved": Fields(
            {
                **ENGINE,
                "sample_count": COUNT,
                "tensor_parallel_size": optional(POSITIVE),
                "full_size": YES_NO,
                "min_duration_s": NUMBER,
                "profile": optional(PROFILE),
                "probes": optional(Each(_PROBE)),
                "sampling": optional(
                    Fields(
                        {
                            "temperature": optional(NUMBER),
                            "max_tokens": optional(COUNT),
                            "min_tokens": optional(COUNT),
                        }
                    )
                ),
                "end_token_ids": optional(Each(COUNT)),
                "target_qps": maybe(Fields({"value": NUMBER, "source": TEXT})),
                "loadgen_model": TEXT,
                "accuracy_not_judged_because": optional(TEXT),
            }
        ),
        "dataset": Fields({**DATASET, "unofficial_because": maybe(TEXT)}),
        "model": Fields({**MODEL, "unofficial_because": maybe(TEXT)}),
        "loadgen": Fields({"version": maybe(TEXT), "round": maybe(TEXT)}),
    }
)
