"""How many samples a proposed command runs, and what it takes to make them enough."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from harness import formatting
from harness.command_line import value_of, with_flag, without_flag, without_flags
from harness.config import LONGEST_TEST_S, STAND_INS, Scenario
from harness.language import phrase
from harness.rounds import OFFICIAL_MODEL, Round
from harness.rules.draft import Draft, is_same, scenario_of
from harness.rules.evidence import Evidence

# What a first look takes: enough to prove a percentile though some queries are late, and no more.
SMOKE_SAMPLES = {
    Scenario.OFFLINE: 20,
    Scenario.SERVER: 1000,
    Scenario.INTERACTIVE: 1000,
    Scenario.SINGLESTREAM: 100,
}
LONGEST_PROMPT = 2540  # tokens, of CNN/DailyMail with the official model, and of synthetic prompts


def enough(evidence: Evidence, draft: Draft, pace: float | None) -> Draft:
    """The command with samples enough, on the data set of the run wherever that can be.

    `pace` is how many samples a second it will answer; None: nobody knows.
    """
    fewest = _fewest(evidence, draft.words)
    if samples(evidence, draft.words) >= fewest:
        return draft
    if _available(evidence) >= fewest:
        return _more_of_it(evidence, draft)
    seconds = SMOKE_SAMPLES[scenario_of(evidence, draft.words)] / pace if pace else math.inf
    if seconds > LONGEST_TEST_S:
        return _of_another_data_set(evidence, draft)
    return _over_again(draft, f"{max(1, math.ceil(seconds))}", fewest)


def samples(evidence: Evidence, words: Sequence[str]) -> int:
    """How many samples a command would run."""
    given = value_of(words, "--total-sample-count")
    if given is not None and given.isdigit():
        return int(given)
    if is_same(evidence, words, "--dataset", "--dataset-path", "--category"):
        return min(_available(evidence), _whole(evidence))
    return evidence.category.dataset_samples


def fewest_samples(official: Round, scenario: Scenario) -> int:
    """Of fewer queries early stopping makes nothing."""
    if scenario in (Scenario.SERVER, Scenario.INTERACTIVE):
        return official.early_stopping_min_queries_server
    if scenario is Scenario.SINGLESTREAM:
        return official.early_stopping_min_queries_single_stream
    return 1


def _fewest(evidence: Evidence, words: Sequence[str]) -> int:
    """How many samples a command needs for a performance test that proves its percentile."""
    if value_of(words, "--mode") == "accuracy":
        return 1
    fewest = fewest_samples(evidence.official, scenario_of(evidence, words))
    issued = evidence.performance.sample_count if evidence.performance else None
    if is_same(evidence, words, "--total-sample-count", "--min-duration", "--scenario"):
        return 1 if (issued or 0) >= fewest else fewest  # passes over the data set may be many
    return fewest


def _whole(evidence: Evidence) -> int:
    """The samples of this run's data set where no number is asked for."""
    if evidence.flags.total_sample_count is None:
        return evidence.sample_count
    return evidence.category.dataset_samples


def _available(evidence: Evidence) -> int:
    """How many samples a run could have of this run's data set."""
    data = evidence.config["dataset"]
    if evidence.flags.dataset_path and data["unofficial_because"]:
        # An earlier version of this program did not record it.
        return int(data.get("available", evidence.sample_count))
    return int(data.get("available", evidence.category.dataset_samples))


def _more_of_it(evidence: Evidence, draft: Draft) -> Draft:
    """More samples of the run's own data set."""
    count = min(_available(evidence), SMOKE_SAMPLES[scenario_of(evidence, draft.words)])
    why = phrase(
        "{why} this time with {asked} samples, as fewer prove no percentile.",
        why=draft.why,
        asked=formatting.count(count),
    )
    words = with_flag(draft.words, "--total-sample-count", f"{count}")
    return _room_for_longer(evidence, Draft(why, words))


def _over_again(draft: Draft, seconds: str, fewest: int) -> Draft:
    """The run's own samples, as often as it takes: LoadGen fills the least duration with passes."""
    why = phrase(
        "{why} --min-duration {seconds} takes the same samples over and over, as fewer than "
        "{fewest} queries prove no percentile.",
        why=draft.why,
        seconds=seconds,
        fewest=formatting.count(fewest),
    )
    return Draft(why, with_flag(draft.words, "--min-duration", seconds))


def _of_another_data_set(evidence: Evidence, draft: Draft) -> Draft:
    """Samples of one that has enough: where no real model is run, one that needs no network."""
    stand_in = evidence.flags.model in STAND_INS
    name = "sample" if stand_in else "cnndm"
    if evidence.flags.weights == "dummy":
        name = "synthetic"  # there may be no tokenizer
    count = f"{SMOKE_SAMPLES[scenario_of(evidence, draft.words)]}"
    path = evidence.flags.dataset_path
    why = phrase(
        "{why} this time with {asked} samples of --dataset {name}, as {file} has {available}, and "
        "so few prove no percentile.",
        why=draft.why,
        asked=formatting.count(int(count)),
        name=name,
        file=Path(path).name if path else f"--dataset {evidence.flags.dataset}",
        available=formatting.count(_available(evidence)),
    )
    words = without_flags(draft.words, "--dataset-path")
    words = with_flag(words, "--dataset", name)
    words = with_flag(words, "--total-sample-count", count)
    return _room_for_longer(evidence, Draft(why, words))


def _room_for_longer(evidence: Evidence, draft: Draft) -> Draft:
    """Without a limit that the prompts may pass which the run did not have."""
    flags, words = evidence.flags, draft.words
    if value_of(words, "--max-model-len") is None:
        return draft
    known = value_of(words, "--dataset-path") is None and (
        flags.model_repo == OFFICIAL_MODEL or value_of(words, "--dataset") == "synthetic"
    )
    if known and (flags.max_model_len or 0) >= LONGEST_PROMPT + flags.max_new_tokens:
        return draft
    why = phrase(
        "{why} --max-model-len is left out, as a longer prompt may be among them.", why=draft.why
    )
    return Draft(why, without_flag(words, "--max-model-len"))
