"""How a run departs from the official rules: for each way its id, a few words and a sentence.

The id is public: config.json and index.json hold it, and a rule names the departure that says the
same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from harness import formatting
from harness.config import DEMO_MODEL, STAND_INS, RunConfig, is_full_size, min_duration_s
from harness.language import phrase


@dataclass(frozen=True)
class Departure:
    """One way in which a run is not an official one."""

    id: str
    sentence: str


@dataclass(frozen=True)
class RunFacts:
    """What is known of the data, the model and the engine once they are resolved."""

    sample_count: int
    dataset_unofficial_because: str | None  # None: the official data set
    model_unofficial_because: str | None  # None: the official model and revision
    prefix_caching: bool
    loadgen_round: str | None  # the round whose seeds the installed LoadGen carries
    unusual_engine_args: tuple[str, ...] = ()  # beyond the settings of speed the rules leave free
    chat_template: bool = False  # whether the prompts stand in the model's chat template


@dataclass(frozen=True)
class Kind:
    """A departure before it meets a run."""

    id: str
    label: Callable[[RunConfig, int], str]  # of the flags and the samples it ran: a few words
    sentence: Callable[[RunConfig, RunFacts], str | None]  # None: the run does not depart so


def departures(config: RunConfig, facts: RunFacts) -> tuple[Departure, ...]:
    """How this run departs from the official rules, a sentence each; empty for an official one."""
    sentences = ((kind.id, kind.sentence(config, facts)) for kind in KINDS)
    return tuple(Departure(name, sentence) for name, sentence in sentences if sentence)


def short_label(departure: str, config: RunConfig, sample_count: int) -> str:
    """A departure in a few words: "smoke run of 20 of 13,368 samples"."""
    for kind in KINDS:
        if kind.id == departure:
            return kind.label(config, sample_count)
    return departure.replace("_", " ")  # of another version of this program


def fewer_samples(config: RunConfig, sample_count: int) -> str:
    """Says how many samples ran and how many an official run has."""
    whole = formatting.count(config.category_record.dataset_samples)
    return phrase(
        "It ran {samples} samples; an official run uses all {whole}.",
        samples=formatting.count(sample_count),
        whole=whole,
    )


def other_answer_length(config: RunConfig, tokens: int) -> str:
    """Says where answers end and where the rules have it."""
    return phrase(
        "Answers end at {tokens} tokens; the rules say {official}.",
        tokens=tokens,
        official=config.round.max_new_tokens,
    )


def _sample_count(config: RunConfig, facts: RunFacts) -> str | None:
    if is_full_size(config, facts.sample_count):
        return None
    return fewer_samples(config, facts.sample_count)


def _sample_count_label(config: RunConfig, sample_count: int) -> str:
    whole = formatting.count(config.category_record.dataset_samples)
    return phrase(
        "smoke run of {samples} of {whole} samples",
        samples=formatting.count(sample_count),
        whole=whole,
    )


def _min_duration(config: RunConfig, facts: RunFacts) -> str | None:
    official_s, seconds = config.round.min_duration_s, min_duration_s(config, facts.sample_count)
    if not config.runs_performance or seconds >= official_s:
        return None
    what = (
        phrase("to last {seconds:g} s", seconds=seconds)
        if seconds
        else phrase("no minimum duration")
    )
    return phrase(
        "The performance test had {what}; the rules ask for {official_s} s.",
        what=what,
        official_s=official_s,
    )


def _min_duration_label(config: RunConfig, sample_count: int) -> str:
    return phrase(
        "minimum duration {duration}",
        duration=formatting.duration(min_duration_s(config, sample_count)),
    )


def _model(config: RunConfig, facts: RunFacts) -> str | None:
    if config.model == DEMO_MODEL:
        return phrase(
            "The model is the tiny demo model with random weights, not Llama-3.1-8B-Instruct."
        )
    return facts.model_unofficial_because


def _model_label(config: RunConfig, _sample_count: int) -> str:
    return (
        phrase("{model} model", model=config.model)
        if config.model in STAND_INS
        else phrase("not the official model")
    )


def _weights(config: RunConfig, _facts: RunFacts) -> str | None:
    if config.weights != "dummy":
        return None
    return phrase(
        "The weights are random numbers of the model's shape: timing means something, "
        "accuracy does not."
    )


def _dataset(_config: RunConfig, facts: RunFacts) -> str | None:
    return facts.dataset_unofficial_because


def _chat_template(_config: RunConfig, facts: RunFacts) -> str | None:
    if not facts.chat_template:
        return None
    return phrase(
        "The official prompts stand in the model's chat template, without which it would not "
        "summarise; the rules have them bare."
    )


def _max_new_tokens(config: RunConfig, _facts: RunFacts) -> str | None:
    if config.max_new_tokens == config.round.max_new_tokens:
        return None
    return other_answer_length(config, config.max_new_tokens)


def _prefix_caching(_config: RunConfig, facts: RunFacts) -> str | None:
    if not facts.prefix_caching:
        return None
    return phrase("Prefix caching is on; the rules forbid reuse across queries.")


def _engine_args(_config: RunConfig, facts: RunFacts) -> str | None:
    if not facts.unusual_engine_args:
        return None
    names = ", ".join(facts.unusual_engine_args)
    return phrase(
        "vLLM was given {names}: whether the rules allow that was not checked.", names=names
    )


def _loadgen_seeds(config: RunConfig, facts: RunFacts) -> str | None:
    if facts.loadgen_round == config.version:
        return None
    carried = f"v{facts.loadgen_round}" if facts.loadgen_round else phrase("no round known here")
    return phrase(
        "LoadGen carries the seeds of {carried}, not those of v{round}.",
        carried=carried,
        round=config.version,
    )


def _high_accuracy(config: RunConfig, _facts: RunFacts) -> str | None:
    if not config.high_accuracy:
        return None
    return phrase(
        "The gate is 99.9 % of the reference; the official gate of this model is 99 %, and "
        "there is no 99.9 % variant."
    )


def _no_accuracy(config: RunConfig, _facts: RunFacts) -> str | None:
    return None if config.runs_accuracy else _no_test(phrase("accuracy"))


def _no_performance(config: RunConfig, _facts: RunFacts) -> str | None:
    return None if config.runs_performance else _no_test(phrase("performance"))


def _no_test(name: str) -> str:
    return phrase(
        "There is no {name} test in this run; an official result needs one from the same settings.",
        name=name,
    )


def _always(text: str) -> Callable[[RunConfig, int], str]:
    return lambda _config, _sample_count: text


KINDS = (
    Kind("sample_count", _sample_count_label, _sample_count),
    Kind("min_duration", _min_duration_label, _min_duration),
    Kind("model", _model_label, _model),
    Kind("weights", _always(phrase("random weights")), _weights),
    Kind(
        "dataset",
        lambda config, _count: phrase("data set {dataset}", dataset=config.dataset),
        _dataset,
    ),
    Kind("chat_template", _always(phrase("prompts in a chat template")), _chat_template),
    Kind(
        "max_new_tokens",
        lambda config, _count: phrase(
            "answers of at most {tokens} tokens", tokens=config.max_new_tokens
        ),
        _max_new_tokens,
    ),
    Kind("prefix_caching", _always(phrase("prefix caching on")), _prefix_caching),
    Kind("engine_args", _always(phrase("engine args")), _engine_args),
    Kind("loadgen_seeds", _always(phrase("another round's seeds")), _loadgen_seeds),
    Kind("high_accuracy", _always(phrase("a gate of our own (99.9 %)")), _high_accuracy),
    Kind("no_accuracy", _always(phrase("no accuracy test")), _no_accuracy),
    Kind("no_performance", _always(phrase("no performance test")), _no_performance),
)
