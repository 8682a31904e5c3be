"""Everything of an MMLU evaluation that can go wrong before the model loads."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.config import DEMO_MODEL, SMALL_MODEL, RunConfig
from harness.engine import capacity, checkpoint, executor, plan, process_needs, ray_checks
from harness.engine import vllm as engine
from harness.engine.plan import EnginePlan, Site
from harness.engine.settings import Purpose, Sampling
from harness.errors import UsageError
from harness.inputs import model as models
from harness.inputs.model_source import ModelSource
from harness.inputs.prompts import check_vocabulary
from harness.inputs.tokenizer import load_tokenizer
from harness.language import phrase
from harness.machine import process_limits, sockets
from harness.machine import system as system_info
from harness.measure.record import SCHEMA_VERSION, RunRecord, model_part, run_part
from harness.mmlu import prompts as mmlu_prompts
from harness.mmlu.config import FULL_SIZE, MOST_SHOTS, PLAIN, MmluConfig
from harness.mmlu.files import load_questions
from harness.mmlu.prompts import ANSWER_TOKENS
from harness.mmlu.questions import QuestionSet, choose
from harness.results import folder as run_folder
from harness.results import room
from harness.rules.departures import Departure


@dataclasses.dataclass(frozen=True)
class PreparedMmlu:
    """An evaluation whose every input has been resolved and checked."""

    config: MmluConfig
    plan: EnginePlan
    sampling: Sampling
    tokenizer: Any
    data: QuestionSet
    prompts: list[list[int]]  # token ids, one list a question
    letters: list[int]  # the token ids of " A" to " D"; empty in the llama protocol
    departures: tuple[Departure, ...]


def prepare(config: MmluConfig, say: Callable[[str], None]) -> PreparedMmlu:
    """Resolves and checks all inputs of an evaluation. Raises UsageError; writes nothing."""
    run = config.run
    run_folder.check_results_dir(Path(run.results_dir))
    sockets.check()
    process_needs.check_variables()
    process_needs.check_open_files()
    room.check(Path(run.results_dir), room.BYTES_OF_ANY_RUN)
    site = Site(engine.installed_build(), system_info.collect())
    asked = run.tensor_parallel_size
    run = capacity.check_devices(run, site.device, site.system)
    executor.check_shared_memory(run, site.device)
    engine.check_engine_args(run.engine_args)
    say(phrase("reading the questions ({dataset}) ...", dataset=config.dataset))
    data = choose(
        load_questions(config.dataset, config.dataset_path),
        subjects=config.subjects,
        total_limit=config.total_limit,
        num_fewshot=config.num_fewshot,
    )
    model = models.resolve_model(run)
    checkpoint.check(run, model)
    run = capacity.fit_heads(run, asked, model)
    site = site.for_engine(run)
    site = site.on_system(ray_checks.with_others(run, site.system, model))
    if not model.has_tokenizer:
        raise UsageError(
            f"--model {run.model} has no tokenizer here, and MMLU is text; use --weights real, or "
            "--model demo."
        )
    tokenizer = load_tokenizer(model)
    letters = mmlu_prompts.letter_token_ids(tokenizer) if config.protocol == PLAIN else []
    prompts = mmlu_prompts.tokenise(config.protocol, data, tokenizer)
    check_vocabulary(run.model, prompts, model.vocab_size)
    purpose = Purpose(
        max_model_len=_max_model_len(config, model, data, prompts),
        # The examples of a subject are computed once. This is no MLPerf run, which may not do that.
        prefix_caching=True,
        arithmetic=_arithmetic(run, site.device, model),
    )
    engine_plan = plan.make(run, model, site, purpose)
    config = dataclasses.replace(config, run=run)
    return PreparedMmlu(
        config=config,
        plan=engine_plan,
        # Neither protocol forbids an answer that ends at once.
        sampling=Sampling(ANSWER_TOKENS[config.protocol], 0, model.eos_token_ids),
        tokenizer=tokenizer,
        data=data,
        prompts=prompts,
        letters=letters,
        departures=tuple(_departures(config, data)),
    )


def _arithmetic(run: RunConfig, device: str, model: ModelSource) -> str | None:
    """The format to compute in; None: that of the weights.

    A CPU is no slower in float32, and then the log-probabilities are exact to 0.001 instead of
    some tenths: bf16 keeps 8 bits of a number. Kernels for quantised weights may not have it.
    """
    if model.quantization is not None:
        return None
    memory = process_limits.memory()
    fits = memory is not None and model.weights_bytes(4) < memory.free_bytes / 2
    return "float32" if device == "cpu" and run.precision == "bf16" and fits else None


def _max_model_len(
    config: MmluConfig, model: ModelSource, data: QuestionSet, prompts: list[list[int]]
) -> int:
    answer = ANSWER_TOKENS[config.protocol]
    longest = max(range(len(prompts)), key=lambda position: len(prompts[position]))
    subject, needed = data.questions[longest].subject, len(prompts[longest]) + answer
    given = config.run.max_model_len
    limit = model.max_position_embeddings if given is None else given
    if needed > limit:
        what = (
            phrase("--model {model} ends at {limit} tokens", model=config.run.model, limit=limit)
            if given is None
            else f"--max-model-len {given}"
        )
        way_out = (
            phrase("choose other --subjects")
            if given is None
            else phrase("use --max-model-len auto")
        )
        if config.num_fewshot:
            way_out = phrase("{way_out}, or fewer examples (--num-fewshot)", way_out=way_out)
        raise UsageError(
            f"{what}: the longest prompt ({subject}, {config.num_fewshot} examples) has "
            f"{len(prompts[longest])} tokens and its answer up to {answer}, so {needed} are "
            f"needed; {way_out}."
        )
    if limit > model.max_position_embeddings:
        raise UsageError(
            f"--max-model-len {given}: the model ends at {model.max_position_embeddings} tokens, "
            f"and the prompts here need {needed}; use auto."
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
    if config.run.model == SMALL_MODEL:
        add("model", "The model is SmolLM2-135M-Instruct, which stands in for a large one.")
    if config.run.weights == "dummy":
        add("weights", "The weights are random numbers of the model's shape: it can only guess.")
    return found


def describe(prepared: PreparedMmlu, command: list[str]) -> RunRecord:
    """config.json as it stands before the engine starts, in the form that a run has."""
    config, data = prepared.config, prepared.data
    lengths = [len(prompt) for prompt in prepared.prompts]
    return RunRecord(
        {
            "schema_version": SCHEMA_VERSION,
            "run": run_part(command),
            "flags": config.to_json(),
            "resolved": {
                "sample_count": len(data.questions),
                "full_size": len(data.questions) == FULL_SIZE,
                **prepared.plan.to_json(),
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
            "model": model_part(prepared.plan.model),
            "system": dataclasses.asdict(prepared.plan.system),
        }
    )
