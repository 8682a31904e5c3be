"""Everything that can go wrong before the model loads, found before the model loads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import config, processes
from harness.config import DEFAULT_GPU_MEMORY_UTILIZATION, RunConfig
from harness.engine import attention, capacity, fp8, profiles
from harness.engine import vllm as engine
from harness.engine_args import beyond_tuning
from harness.errors import UsageError
from harness.inputs import dataset
from harness.inputs import model as models
from harness.loadgen import process as loadgen
from harness.machine import system as system_info
from harness.results import folder as run_folder
from harness.rules.departures import Departure, RunFacts, departures
from harness.scoring import accuracy
from harness.tuning import file as tuning_file

SCHEMA_VERSION = 1  # of config.json


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A run whose every input has been resolved and checked."""

    config: RunConfig
    device: str  # "gpu" or "cpu"
    model: models.ModelSource
    tokenizer: Any  # None where no text is read or written
    dataset: dataset.Dataset
    full_size: bool
    min_duration_s: float
    engine_settings: dict[str, Any]
    profile: profiles.Profile
    not_judged_because: str | None  # why accuracy is not scored; None: it is
    departures: tuple[Departure, ...]
    loadgen_version: str | None
    loadgen_round: str | None
    system: system_info.SystemInfo
    # vLLM's variables while the engine starts.
    engine_environment: dict[str, str] = dataclasses.field(default_factory=dict)


def prepare(
    settings: RunConfig, say: Callable[[str], None], like: Prepared | None = None
) -> Prepared:
    """Resolves and checks all inputs of a run. Raises UsageError; writes nothing.

    `like` is a run of the same model and data set, whose prompts need not be made again.
    """
    run_folder.check_results_dir(Path(settings.results_dir))
    device = engine.installed_build()
    machine = system_info.collect()
    asked = settings.tensor_parallel_size
    settings = capacity.check_devices(settings, device, machine)
    loadgen_version, loadgen_round = loadgen.installed_round()
    loadgen.check_round(settings, loadgen_round, loadgen_version)
    engine.check_engine_args(settings.engine_args)
    model = models.resolve_model(settings)
    settings = capacity.fit_heads(settings, asked, model)
    tokenizers: list[Any] = []

    def tokenizer() -> Any:
        if not tokenizers:
            tokenizers.append(models.load_tokenizer(model))
        return tokenizers[0]

    if like is not None:
        data = like.dataset
        tokenizers = [like.tokenizer] if like.tokenizer is not None else []
    else:
        say(f"reading the data set ({settings.dataset}) ...")
        data = dataset.load_dataset(
            settings,
            tokenizer if model.has_tokenizer else None,
            model.vocab_size,
            bos_token_id=model.bos_token_id,
            special_token_ids=model.special_token_ids,
        )
    not_judged = _not_judged_because(settings, data)
    if settings.runs_accuracy and not_judged is None:
        accuracy.check_sentence_splitter()
        tokenizer()
    tuned = None  # a search begins from the profile, whatever an earlier one has found
    if settings.tune_minutes is None:
        tuned = tuning_file.find(Path(settings.results_dir), settings, machine)
    place = place_of(settings, device, model, machine)
    profile = profiles.choose(place, settings.precision, settings.scenario.value, tuned)
    if like is None and tuned is None and place.flashinfer is False:
        say(
            "note: fp8 runs on FlashAttention 3 here; FlashInfer's kernels were 2 to 4 % faster on "
            "an H100: python tools/compile_attention.py makes them, once, in some minutes"
        )
    engine_settings = engine.engine_settings(
        settings,
        model,
        device=device,
        max_model_len=_max_model_len(settings, model, data),
        profile=profile,
        copies_here=capacity.copies_here(settings, machine),
    )
    capacity.check_memory(settings, device, model, engine_settings)
    facts = RunFacts(
        sample_count=len(data),
        dataset_unofficial_because=data.unofficial_because,
        model_unofficial_because=model.unofficial_because,
        prefix_caching=bool(engine_settings.get("enable_prefix_caching")),
        loadgen_round=loadgen_round,
        unusual_engine_args=beyond_tuning(settings.engine_args),
    )
    return Prepared(
        config=settings,
        device=device,
        model=model,
        tokenizer=tokenizers[0] if tokenizers else None,
        dataset=data,
        full_size=config.is_full_size(settings, len(data)),
        min_duration_s=config.min_duration_s(settings, len(data)),
        engine_settings=engine_settings,
        profile=profile,
        not_judged_because=not_judged,
        departures=departures(settings, facts),
        loadgen_version=loadgen_version,
        loadgen_round=loadgen_round,
        system=machine,
        engine_environment=engine.environment(engine_settings, settings.engine_args),
    )


def place_of(
    settings: RunConfig, device: str, model: models.ModelSource, machine: system_info.SystemInfo
) -> profiles.Place:
    """What one GPU of the engine has to hold, for the choice of a profile."""
    parts = (settings.tensor_parallel_size or 1) * settings.pipeline_parallel_size
    share = settings.gpu_memory_utilization or DEFAULT_GPU_MEMORY_UTILIZATION
    memory, size = machine.gpu_memory_bytes, _bytes_per_value(settings)
    return profiles.Place(
        device=device,
        gpu_name=machine.gpu_name,
        memory_bytes=None if memory is None else int(share * memory),
        weights_bytes=model.weights_bytes(size) // parts,
        kv_bytes_per_token=model.kv_bytes_per_token(size) // parts,
        flashinfer=_flashinfer(settings, model, machine),
        fp8_products=_fp8_products(settings, model, machine),
    )


def _flashinfer(
    settings: RunConfig, model: models.ModelSource, machine: system_info.SystemInfo
) -> bool | None:
    """Whether FlashInfer's kernels are compiled; None: they are not for this GPU and work."""
    tensor = settings.tensor_parallel_size or 1
    wanted = profiles.by_flashinfer(settings.precision, settings.scenario.value)
    if wanted and attention.suits(machine.gpu_name, model.config, settings.engine_args, tensor):
        return attention.compiled()
    return None


def _fp8_products(
    settings: RunConfig, model: models.ModelSource, machine: system_info.SystemInfo
) -> bool:
    """Whether cuBLASLt can multiply; an engine argument beyond tuning may change the layers."""
    parts = (settings.tensor_parallel_size or 1) * settings.pipeline_parallel_size
    spread = parts > 1 or settings.distributed_executor_backend == "ray"
    if settings.precision != "fp8" or beyond_tuning(settings.engine_args):
        return False
    return fp8.suits(
        machine.gpu_name, machine.vllm_version, model.config, settings.engine_args, spread=spread
    )


def _bytes_per_value(settings: RunConfig) -> int:
    """Of weights and KV cache alike."""
    return 1 if settings.precision == "fp8" else 2


def _max_model_len(settings: RunConfig, model: models.ModelSource, data: dataset.Dataset) -> int:
    needed = data.longest_prompt_tokens + settings.max_new_tokens
    given = settings.max_model_len
    if given is not None and given < needed:
        raise UsageError(
            f"--max-model-len {given}: the longest prompt has {data.longest_prompt_tokens} tokens "
            f"and the answer up to {settings.max_new_tokens}, "
            f"so at least {needed} are needed; use auto."
        )
    chosen = given or needed
    if chosen > model.max_position_embeddings:
        raise UsageError(
            f"--max-model-len {chosen}: the model ends at {model.max_position_embeddings} tokens; "
            f"the prompts here need {needed}."
        )
    return chosen


def _not_judged_because(settings: RunConfig, data: dataset.Dataset) -> str | None:
    if settings.weights == "dummy":
        return "The weights are random numbers, so the answers mean nothing."
    if any(sample.reference is None for sample in data.samples):
        return f"The {data.name} data set has no reference summaries."
    return None


def run_record(command: list[str]) -> dict[str, Any]:
    """config.json's `run` before the engine starts; it grows as the run goes on."""
    return {
        "name": None,
        "started": None,
        "finished": None,
        "status": "running",
        "error": None,
        "command": command,
        "phases": {"preparation_s": round(processes.age_s(), 3)},
    }


def model_record(model: models.ModelSource) -> dict[str, Any]:
    """config.json's `model`."""
    return {
        "requested": model.requested,
        "path": model.path,
        "revision": model.revision,
        "source": model.source,
        "unofficial_because": model.unofficial_because,
        "parameters": model.parameter_count,
    }


def config_record(prepared: Prepared, command: list[str]) -> dict[str, Any]:
    """config.json as it stands before the engine starts."""
    settings, data, model = prepared.config, prepared.dataset, prepared.model
    return {
        "schema_version": SCHEMA_VERSION,
        "run": run_record(command),
        "flags": settings.to_json(),
        "resolved": {
            "sample_count": len(data),
            "full_size": prepared.full_size,
            "min_duration_s": prepared.min_duration_s,
            "tensor_parallel_size": settings.tensor_parallel_size,
            "max_model_len": prepared.engine_settings["max_model_len"],
            "device": prepared.device,
            "engine": prepared.engine_settings,
            "engine_environment": prepared.engine_environment,
            "sampling": engine.sampling_settings(settings.max_new_tokens),
            "profile": dataclasses.asdict(prepared.profile),
            "target_qps": None,
            "loadgen_model": settings.round.loadgen_model(
                settings.category, settings.scenario.value
            ),
            "accuracy_not_judged_because": prepared.not_judged_because,
        },
        "official": dataclasses.asdict(settings.round),
        "departures": [dataclasses.asdict(departure) for departure in prepared.departures],
        "dataset": {
            "name": data.name,
            "source": data.source,
            "checksum_sha256": data.checksum,
            "samples": len(data),
            "unofficial_because": data.unofficial_because,
            "longest_prompt_tokens": data.longest_prompt_tokens,
            "mean_prompt_tokens": data.mean_prompt_tokens,
        },
        "model": model_record(model),
        "system": dataclasses.asdict(prepared.system),
        "loadgen": {"version": prepared.loadgen_version, "round": prepared.loadgen_round},
    }
