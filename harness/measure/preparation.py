"""Everything that can go wrong before the model loads, found before the model loads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import config
from harness.config import RunConfig, Scenario
from harness.engine import capacity, checkpoint, executor, plan, process_needs, ray_checks, sharing
from harness.engine import vllm as engine
from harness.engine.plan import EnginePlan, Site
from harness.engine.profiles import Profile
from harness.engine.settings import Purpose, Sampling
from harness.engine_args import beyond_tuning
from harness.errors import UsageError
from harness.inputs import dataset
from harness.inputs import model as models
from harness.inputs.model_dataset import load_for_model
from harness.inputs.model_source import ModelSource
from harness.language import phrase
from harness.loadgen import planning, release
from harness.machine import sockets
from harness.machine import system as system_info
from harness.machine.system import SystemInfo
from harness.measure.record import SCHEMA_VERSION, RunRecord, model_part, run_part
from harness.measure.score import ScoringInputs, not_judged_because, tokenizer_of_answers
from harness.results import folder as run_folder
from harness.results import room
from harness.rules.departures import Departure, RunFacts, departures

# What a search for settings has found for a run on a machine; None: nothing better.
FindTuned = Callable[[RunConfig, SystemInfo], Profile | None]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A run whose every input has been resolved and checked."""

    config: RunConfig
    plan: EnginePlan
    sampling: Sampling
    tokenizer: Any  # None where no text is read or written
    dataset: dataset.Dataset
    full_size: bool
    min_duration_s: float
    needed_bytes: int  # that its folder will hold, roughly and at most
    not_judged_because: str | None  # why accuracy is not scored; None: it is
    departures: tuple[Departure, ...]
    loadgen_version: str | None
    loadgen_round: str | None

    @property
    def scoring(self) -> ScoringInputs:
        """What its answers are held against."""
        return ScoringInputs(
            self.config,
            self.dataset,
            self.tokenizer,
            self.sampling.end_token_ids,
            self.not_judged_because,
        )


def prepare(
    settings: RunConfig,
    say: Callable[[str], None],
    like: Prepared | None = None,
    find_tuned: FindTuned = lambda _config, _system: None,
) -> Prepared:
    """Resolves and checks all inputs of a run. Raises UsageError; writes nothing.

    `like` is a run of the same model and data set, whose prompts need not be made again.
    """
    run_folder.check_results_dir(Path(settings.results_dir))
    sockets.check()
    process_needs.check_variables()
    process_needs.check_open_files()
    site = Site(engine.installed_build(), system_info.collect())
    asked = settings.tensor_parallel_size
    settings = capacity.check_devices(settings, site.device, site.system)
    executor.check_shared_memory(settings, site.device)
    loadgen = release.installed(settings.loadgen_model)
    release.check(settings, loadgen)
    engine.check_engine_args(settings.engine_args)
    model = models.resolve_model(settings)
    checkpoint.check(settings, model)
    settings = capacity.fit_heads(settings, asked, model)
    site = site.for_engine(settings)
    site = site.on_system(ray_checks.with_others(settings, site.system, model))
    data, tokenizer = _data(settings, model, like, say)
    duration_s = config.min_duration_s(settings, len(data))
    room.check(Path(settings.results_dir), needed := needed_bytes(settings, len(data), duration_s))
    not_judged = not_judged_because(settings, data)
    if settings.runs_accuracy:
        tokenizer = tokenizer_of_answers(model, tokenizer, judged=not_judged is None)
    purpose = Purpose(_max_model_len(settings, model, data))
    tuned = find_tuned(settings, site.system)
    engine_plan = plan.make(settings, model, site, purpose, tuned)
    shared = sharing.note(settings, asked, site.device, site.system, model)
    slow = process_needs.note_on_bf16(settings, site.device)
    notes = (engine_plan.note, shared, slow, process_needs.note_on_variables())
    for note in filter(None, notes if like is None else ()):
        say(phrase("note: {note}", note=note))
    facts = RunFacts(
        sample_count=len(data),
        dataset_unofficial_because=data.unofficial_because,
        model_unofficial_because=model.unofficial_because,
        prefix_caching=bool(engine_plan.settings.get("enable_prefix_caching")),
        loadgen_round=loadgen.round,
        unusual_engine_args=beyond_tuning(settings.engine_args),
        chat_template=data.chat_template,
    )
    return Prepared(
        config=settings,
        plan=engine_plan,
        sampling=sampling_of(settings, model),
        tokenizer=tokenizer,
        dataset=data,
        full_size=config.is_full_size(settings, len(data)),
        min_duration_s=duration_s,
        needed_bytes=needed,
        not_judged_because=not_judged,
        departures=departures(settings, facts),
        loadgen_version=loadgen.version,
        loadgen_round=loadgen.round,
    )


def sampling_of(settings: RunConfig, model: ModelSource) -> Sampling:
    """The rules' sampling: greedy, and at least one token that is not an end token."""
    return Sampling(settings.max_new_tokens, settings.round.min_new_tokens, model.eos_token_ids)


def _data(
    settings: RunConfig,
    model: ModelSource,
    like: Prepared | None,
    say: Callable[[str], None],
) -> tuple[dataset.Dataset, Any]:
    """The data set, and the tokenizer where its prompts needed one."""
    if like is not None:
        return like.dataset, like.tokenizer
    say(phrase("reading the data set ({dataset}) ...", dataset=settings.dataset))
    return load_for_model(settings, model)


def needed_bytes(settings: RunConfig, sample_count: int, min_duration_s: float) -> int:
    """What the run folder will hold at most, roughly. Raises UsageError for a rate too high."""
    queries = _queries(settings, sample_count, min_duration_s)
    return room.needed_bytes(sample_count, settings.max_new_tokens, queries * settings.repeat)


def _queries(settings: RunConfig, sample_count: int, min_duration_s: float) -> int:
    """About how many queries the performance test will have; only a rate that is given is known.

    Raises UsageError for a rate at which the test should not be tried.
    """
    qps = settings.server_target_qps
    if settings.scenario not in (Scenario.SERVER, Scenario.INTERACTIVE) or isinstance(qps, str):
        return sample_count
    target = planning.server_target(
        qps, sample_count=sample_count, min_duration_s=min_duration_s, source=""
    )
    if why := planning.beyond_reason(target):
        raise UsageError(
            f"--server-target-qps {qps:g}: {why}; auto takes a rate that this machine can hold."
        )
    return target.samples


def _max_model_len(settings: RunConfig, model: ModelSource, data: dataset.Dataset) -> int:
    needed = data.longest_prompt_tokens + settings.max_new_tokens
    given = settings.max_model_len
    if given is not None and given < needed:
        raise UsageError(
            f"--max-model-len {given}: the longest prompt has {data.longest_prompt_tokens} tokens "
            f"and the answer up to {settings.max_new_tokens}, "
            f"so at least {needed} are needed; use auto."
        )
    ends_at = model.max_position_embeddings
    if needed > ends_at:
        articles = dataset.flag_of(settings)
        raise UsageError(
            f"--model {settings.model}: it ends at {ends_at} tokens, and the longest prompt of "
            f"{articles} needs {needed} with its answer; give articles that are shorter."
        )
    if given is not None and given > ends_at:
        raise UsageError(
            f"--max-model-len {given}: the model ends at {ends_at} tokens, and the prompts here "
            f"need {needed}; use auto."
        )
    return given or needed


def describe(prepared: Prepared, command: list[str]) -> RunRecord:
    """config.json as it stands before the engine starts."""
    settings, data = prepared.config, prepared.dataset
    return RunRecord(
        {
            "schema_version": SCHEMA_VERSION,
            "run": run_part(command),
            "flags": settings.to_json(),
            "resolved": {
                "sample_count": len(data),
                "full_size": prepared.full_size,
                "min_duration_s": prepared.min_duration_s,
                **prepared.plan.to_json(),
                "sampling": prepared.sampling.to_json(),
                "end_token_ids": list(prepared.sampling.end_token_ids),
                "target_qps": None,
                "loadgen_model": settings.loadgen_model,
                "accuracy_not_judged_because": prepared.not_judged_because,
            },
            "official": dataclasses.asdict(settings.round),
            "departures": [dataclasses.asdict(departure) for departure in prepared.departures],
            "dataset": {
                "name": data.name,
                "source": data.source,
                "checksum_sha256": data.checksum,
                "samples": len(data),
                "available": data.available,
                "unofficial_because": data.unofficial_because,
                "chat_template": data.chat_template,
                "longest_prompt_tokens": data.longest_prompt_tokens,
                "mean_prompt_tokens": data.mean_prompt_tokens,
            },
            "model": model_part(prepared.plan.model),
            "system": dataclasses.asdict(prepared.plan.system),
            "loadgen": {"version": prepared.loadgen_version, "round": prepared.loadgen_round},
        }
    )
