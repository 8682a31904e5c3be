"""Everything of an MMLU evaluation that can go wrong before the model loads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.config import DEMO_MODEL, RunConfig
from harness.engine import capacity, profiles
from harness.engine import vllm as engine
from harness.errors import UsageError
from harness.inputs import model as models
from harness.machine import system as system_info
from harness.measure.preparation import SCHEMA_VERSION, model_record, place_of, run_record
from harness.mmlu import prompts as mmlu_prompts
from harness.mmlu.config import FULL_SIZE, MOST_SHOTS, PLAIN, MmluConfig
from harness.mmlu.files import load_questions
from harness.mmlu.prompts import ANSWER_TOKENS
from harness.mmlu.questions import QuestionSet, choose
from harness.results import folder as run_folder
from harness.rules.departures import Departure


@dataclasses.dataclass(frozen=True)
class PreparedMmlu:
    """An evaluation whose every input has been resolved and checked."""

    config: MmluConfig
    device: str  # "gpu" or "cpu"
    model: models.ModelSource
    tokenizer: Any
    data: QuestionSet
    prompts: list[list[int]]  # token ids, one list a question
    letters: list[int]  # the token ids of " A" to " D"; empty in the llama protocol
    engine_settings: dict[str, Any]
    profile: profiles.Profile
    departures: tuple[Departure, ...]
    system: system_info.SystemInfo
    engine_environment: dict[str, str]  # vLLM's variables while the engine starts


def prepare(config: MmluConfig, say: Callable[[str], None]) -> PreparedMmlu:
    """Resolves and checks all inputs of an evaluation. Raises UsageError; writes nothing."""
    run = config.run
    run_folder.check_results_dir(Path(run.results_dir))
    device = engine.installed_build()
    machine = system_info.collect()
    asked = run.tensor_parallel_size
    run = capacity.check_devices(run, device, machine)
    engine.check_engine_args(run.engine_args)
    say(f"reading the questions ({config.dataset}) ...")
    data = choose(
        load_questions(config.dataset, config.dataset_path),
        subjects=config.subjects,
        total_limit=config.total_limit,
        num_fewshot=config.num_fewshot,
    )
    model = models.resolve_model(run)
    run = capacity.fit_heads(run, asked, model)
    if not model.has_tokenizer:
        raise UsageError(
            f"--model {run.model} has no tokenizer here, and MMLU is text; use --weights real, or "
            "--model demo."
        )
    tokenizer = models.load_tokenizer(model)
    letters = mmlu_prompts.letter_token_ids(tokenizer) if config.protocol == PLAIN else []
    prompts = mmlu_prompts.tokenise(config.protocol, data, tokenizer)
    profile = profiles.choose(place_of(run, device, model, machine), run.precision, "offline")
    engine_settings = engine.engine_settings(
        run,
        model,
        device=device,
        max_model_len=_max_model_len(config, model, data, prompts),
        profile=profile,
        # The examples of a subject are computed once. This is no MLPerf run, which may not do that.
        prefix_caching=True,
        arithmetic=_arithmetic(run, device, model),
        copies_here=capacity.copies_here(run, machine),
    )
    capacity.check_memory(run, device, model, engine_settings)
    config = dataclasses.replace(config, run=run)
    return PreparedMmlu(
        config=config,
        device=device,
        model=model,
        tokenizer=tokenizer,
        data=data,
        prompts=prompts,
        letters=letters,
        engine_settings=engine_settings,
        profile=profile,
        departures=tuple(_departures(config, data)),
        system=machine,
        engine_environment=engine.environment(engine_settings, run.engine_args),
    )


def _arithmetic(run: RunConfig, device: str, model: models.ModelSource) -> str | None:
    """The format to compute in; None: that of the weights.

    A CPU is no slower in float32, and then the log-probabilities are exact to 0.001 instead of
    some tenths: bf16 keeps 8 bits of a number.
    """
    import psutil

    fits = model.weights_bytes(4) < psutil.virtual_memory().available / 2
    return "float32" if device == "cpu" and run.precision == "bf16" and fits else None


def _max_model_len(
    config: MmluConfig, model: models.ModelSource, data: QuestionSet, prompts: list[list[int]]
) -> int:
    answer = ANSWER_TOKENS[config.protocol]
    longest = max(range(len(prompts)), key=lambda position: len(prompts[position]))
    subject, needed = data.questions[longest].subject, len(prompts[longest]) + answer
    given = config.run.max_model_len
    limit = model.max_position_embeddings if given is None else given
    if needed > limit:
        what = (
            f"--model {config.run.model} ends at {limit} tokens"
            if given is None
            else f"--max-model-len {given}"
        )
        way_out = "use --max-model-len auto" if given is not None else "choose other --subjects"
        if config.num_fewshot:
            way_out += ", or fewer examples (--num-fewshot)"
        raise UsageError(
            f"{what}: the longest prompt ({subject}, {config.num_fewshot} examples) has "
            f"{len(prompts[longest])} tokens and its answer up to {answer}, so {needed} are "
            f"needed; {way_out}."
        )
    if limit > model.max_position_embeddings:
        raise UsageError(
            f"--max-model-len {given}: the model ends at {model.max_position_embeddings} tokens; "
            f"the prompts here need {needed}."
        )
    return given or needed


def _departures(config: MmluConfig, data: QuestionSet) -> list[Departure]:
    """Why the score is not the one that others report for MMLU, a sentence each."""
    found: list[Departure] = []

    def add(name: str, sentence: str) -> None:
        found.append(Departure(name, sentence))

    if config.dataset == "sample":
        add("dataset", "The questions were written for this program; they are not MMLU's.")
    elif len(data.questions) != FULL_SIZE:
        add("questions", f"It asked {len(data.questions):,} of MMLU's {FULL_SIZE:,} questions.")
    if config.num_fewshot != MOST_SHOTS:
        add(
            "num_fewshot",
            f"Each question came after {config.num_fewshot} examples; reported scores are of "
            f"{MOST_SHOTS}.",
        )
    if config.run.model == DEMO_MODEL:
        add("model", "The model is the tiny demo model with random weights: it can only guess.")
    if config.run.weights == "dummy":
        add("weights", "The weights are random numbers of the model's shape: it can only guess.")
    return found


def config_record(prepared: PreparedMmlu, command: list[str]) -> dict[str, Any]:
    """config.json as it stands before the engine starts, in the form that a run has."""
    config, data = prepared.config, prepared.data
    lengths = [len(prompt) for prompt in prepared.prompts]
    return {
        "schema_version": SCHEMA_VERSION,
        "run": run_record(command),
        "flags": config.to_json(),
        "resolved": {
            "sample_count": len(data.questions),
            "full_size": len(data.questions) == FULL_SIZE,
            "tensor_parallel_size": config.run.tensor_parallel_size,
            "max_model_len": prepared.engine_settings["max_model_len"],
            "device": prepared.device,
            "engine": prepared.engine_settings,
            "engine_environment": prepared.engine_environment,
            "profile": dataclasses.asdict(prepared.profile),
            "letter_token_ids": prepared.letters,
        },
        "departures": [dataclasses.asdict(departure) for departure in prepared.departures],
        "dataset": {
            "name": data.name,
            "source": data.source,
            "checksum_sha256": data.checksum,
            "samples": len(data.questions),
            "subjects": len(data.subjects),
            "available": data.available,
            "longest_prompt_tokens": max(lengths),
            "mean_prompt_tokens": sum(lengths) / len(lengths),
        },
        "model": model_record(prepared.model),
        "system": dataclasses.asdict(prepared.system),
    }
