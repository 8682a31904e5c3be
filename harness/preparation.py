"""Everything that can go wrong before the model loads, found before the model loads."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import (
    accuracy,
    config,
    dataset,
    engine,
    formatting,
    loadgen,
    profiles,
    run_folder,
    system_info,
)
from harness import model as models
from harness.config import DEFAULT_GPU_MEMORY_UTILIZATION, Departure, RunConfig, RunFacts
from harness.errors import UsageError

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
    not_judged_because: str | None  # why accuracy is not scored; None: it is
    departures: tuple[Departure, ...]
    loadgen_version: str | None
    loadgen_round: str | None
    system: system_info.SystemInfo


def prepare(settings: RunConfig, say: Callable[[str], None]) -> Prepared:
    """Resolves and checks all inputs of a run. Raises UsageError; writes nothing."""
    run_folder.check_results_dir(Path(settings.results_dir))
    device = engine.installed_build()
    machine = system_info.collect()
    asked = settings.tensor_parallel_size
    settings = _check_devices(settings, device, machine)
    loadgen_version, loadgen_round = loadgen.installed_round()
    loadgen.check_round(settings, loadgen_round, loadgen_version)
    engine.check_engine_args(settings.engine_args)
    model = models.resolve_model(settings)
    settings = _fit_heads(settings, asked, model)
    tokenizers: list[Any] = []

    def tokenizer() -> Any:
        if not tokenizers:
            tokenizers.append(models.load_tokenizer(model))
        return tokenizers[0]

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
    engine_settings = engine.engine_settings(
        settings, model, device=device, max_model_len=_max_model_len(settings, model, data)
    )
    _check_memory(settings, device, model, engine_settings)
    facts = RunFacts(
        sample_count=len(data),
        dataset_unofficial_because=data.unofficial_because,
        model_unofficial_because=model.unofficial_because,
        prefix_caching=bool(engine_settings.get("enable_prefix_caching")),
        loadgen_round=loadgen_round,
        unusual_engine_args=engine.beyond_tuning(settings.engine_args),
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
        not_judged_because=not_judged,
        departures=config.departures(settings, facts),
        loadgen_version=loadgen_version,
        loadgen_round=loadgen_round,
        system=machine,
    )


def _check_devices(settings: RunConfig, device: str, machine: system_info.SystemInfo) -> RunConfig:
    """Refuses what this machine cannot do, and resolves --tensor-parallel-size auto."""
    gpus = machine.gpu_count or 0
    if device == "gpu" and gpus == 0:
        raise UsageError(
            "No NVIDIA GPU is visible, and the installed vLLM is the CUDA build. Check nvidia-smi "
            "(in docker: --gpus all), or install the CPU build with `make venv VARIANT=cpu`."
        )
    if device == "cpu" and settings.precision == "fp8":
        raise UsageError(
            "--precision fp8 needs a GPU, and the CPU build of vLLM is installed; "
            "use --precision bf16."
        )
    if device == "cpu" and settings.distributed_executor_backend == "ray":
        raise UsageError(
            "--distributed-executor-backend ray: vLLM refuses Ray on a CPU; drop the flag."
        )
    others = settings.data_parallel_size * settings.pipeline_parallel_size
    across_machines = settings.distributed_executor_backend == "ray"
    places, unit = (gpus, "GPU") if device == "gpu" else (os.cpu_count() or 1, "core")
    tensor = settings.tensor_parallel_size
    if tensor is None:
        tensor = max(1, gpus // others) if device == "gpu" else 1
    if tensor * others > places and not across_machines:
        asked = {
            "--tensor-parallel-size": settings.tensor_parallel_size or 1,
            "--data-parallel-size": settings.data_parallel_size,
            "--pipeline-parallel-size": settings.pipeline_parallel_size,
        }
        flag = max(asked, key=lambda name: asked[name])
        raise UsageError(
            f"{flag} {asked[flag]}: the parallel sizes take {tensor * others} {unit}s together, "
            f"and {places} {'is' if places == 1 else 'are'} here; lower it."
        )
    binding = os.environ.get("VLLM_CPU_OMP_THREADS_BIND", "")
    if device == "cpu" and tensor > 1 and binding.count("|") + 1 != tensor:
        example = "|".join(str(core) for core in range(tensor))
        raise UsageError(
            f"--tensor-parallel-size {tensor}: on a CPU each part needs cores of its own; set "
            f"VLLM_CPU_OMP_THREADS_BIND='{example}', or use --tensor-parallel-size 1."
        )
    return settings.with_values(tensor_parallel_size=tensor)


def _fit_heads(settings: RunConfig, asked: int | None, model: models.ModelSource) -> RunConfig:
    """Tensor parallel shares the attention heads out evenly; auto takes the most that does.

    `asked` is --tensor-parallel-size as given, None for auto. Raises UsageError.
    """
    heads = model.config["num_attention_heads"]
    tensor = settings.tensor_parallel_size or 1
    if heads % tensor == 0:
        return settings
    best = max(size for size in range(1, tensor + 1) if heads % size == 0)
    if asked is None:
        return settings.with_values(tensor_parallel_size=best)
    raise UsageError(
        f"--tensor-parallel-size {tensor}: the model's {heads} attention heads cannot be shared "
        f"out to {tensor}; use {best}."
    )


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


def _check_memory(
    settings: RunConfig, device: str, model: models.ModelSource, engine_settings: dict[str, Any]
) -> None:
    """Free memory against what the engine will ask for, before minutes are spent on loading."""
    utilization = engine_settings.get("gpu_memory_utilization")
    weights = model.weights_bytes(1 if settings.precision == "fp8" else 2)
    if device == "cpu":
        import psutil

        memory = psutil.virtual_memory()
        if utilization is not None and utilization * memory.total > memory.available:
            raise UsageError(
                f"--gpu-memory-utilization {utilization:g}: on a CPU this is a share of the "
                f"machine's memory, and {formatting.gibibytes(memory.available)} of "
                f"{formatting.gibibytes(memory.total)} are free; leave the flag out, or lower it."
            )
        if weights > memory.available:
            raise UsageError(
                f"--model {settings.model}: its weights take {formatting.gibibytes(weights)}, and "
                f"{formatting.gibibytes(memory.available)} of memory are free; use --model demo."
            )
        return
    free, total = system_info.gpu_memory_bytes()
    if free is None or total is None:
        return
    share = utilization or DEFAULT_GPU_MEMORY_UTILIZATION
    if share * total > free:
        raise UsageError(
            f"--gpu-memory-utilization {share:g} asks for {formatting.gibibytes(share * total)}, "
            f"and only {formatting.gibibytes(free)} of the GPU's {formatting.gibibytes(total)} "
            "are free; end the program that uses it (nvidia-smi lists them), or lower the flag."
        )
    parts = (settings.tensor_parallel_size or 1) * settings.pipeline_parallel_size
    if weights / parts > share * total:
        raise UsageError(
            f"--model {settings.model}: its weights take {formatting.gibibytes(weights / parts)} "
            f"on each GPU, and the engine may use {formatting.gibibytes(share * total)}; "
            "use more GPUs or --precision fp8."
        )


def _not_judged_because(settings: RunConfig, data: dataset.Dataset) -> str | None:
    if settings.weights == "dummy":
        return "The weights are random numbers, so the answers mean nothing."
    if any(sample.reference is None for sample in data.samples):
        return f"The {data.name} data set has no reference summaries."
    return None


def config_record(prepared: Prepared, command: list[str]) -> dict[str, Any]:
    """config.json as it stands before the engine starts."""
    settings, data, model = prepared.config, prepared.dataset, prepared.model
    return {
        "schema_version": SCHEMA_VERSION,
        "run": {
            "name": None,
            "started": None,
            "finished": None,
            "status": "running",
            "error": None,
            "command": command,
            "phases": {},
        },
        "flags": settings.to_json(),
        "resolved": {
            "sample_count": len(data),
            "full_size": prepared.full_size,
            "min_duration_s": prepared.min_duration_s,
            "tensor_parallel_size": settings.tensor_parallel_size,
            "max_model_len": prepared.engine_settings["max_model_len"],
            "device": prepared.device,
            "engine": prepared.engine_settings,
            "profile": dataclasses.asdict(
                profiles.choose(prepared.device, settings.scenario.value)
            ),
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
        "model": {
            "requested": model.requested,
            "path": model.path,
            "revision": model.revision,
            "source": model.source,
            "unofficial_because": model.unofficial_because,
            "parameters": model.parameter_count,
        },
        "system": dataclasses.asdict(prepared.system),
        "loadgen": {"version": prepared.loadgen_version, "round": prepared.loadgen_round},
    }
