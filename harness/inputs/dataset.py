"""The samples of a run: articles as token ids, with reference summaries where there are any."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness import formatting
from harness.config import RunConfig
from harness.errors import UsageError
from harness.inputs import articles, hub_dataset, llama3_tokenizer, prompts, synthetic
from harness.inputs.hub_dataset import official_file
from harness.inputs.prompts import Tokenizer
from harness.language import phrase
from harness.rounds import OFFICIAL_DATASET, OFFICIAL_DATASET_CONFIG, OFFICIAL_DATASET_SPLIT

EDGE_SHUFFLE_SEED = 42  # download_cnndm.py:81-87
SUBSET_SEED = 0
BEGINNING_CHARACTERS = 300  # of an article, enough to know it again


@dataclass(frozen=True)
class Sample:
    """One prompt. Its token ids are a list of int, since that is what the engine takes."""

    token_ids: list[int]
    reference: str | None  # the highlights; None where the data set has none
    beginning: str | None = None  # of the article, for people; None where there is no text


@dataclass(frozen=True)
class Dataset:
    """The samples of a run in LoadGen's order."""

    name: str
    samples: tuple[Sample, ...]
    checksum: str  # sha256 over what is fed to the model and judged by: token ids and references
    unofficial_because: str | None  # a sentence for the report; None: the official data set
    source: str  # where it came from, for people
    available: int  # samples that a run could have of it
    chat_template: bool = False  # whether the prompts stand in the model's chat template

    def __len__(self) -> int:
        return len(self.samples)

    @property
    def longest_prompt_tokens(self) -> int:
        """Tokens of the longest prompt, BOS included."""
        return max(len(sample.token_ids) for sample in self.samples)

    @property
    def mean_prompt_tokens(self) -> float:
        """Tokens of the average prompt, BOS included."""
        return sum(len(sample.token_ids) for sample in self.samples) / len(self.samples)


@dataclass(frozen=True)
class _Articles:
    """The entries that a data set offers, before any is chosen or tokenised."""

    name: str
    entries: Sequence[Mapping[str, Any]]
    source: str  # where they came from, for people
    unofficial_because: str | None
    may_repeat: bool = False  # whether a count above theirs takes them over again


def load_dataset(
    config: RunConfig,
    tokenizer: Callable[[], Tokenizer] | None,
    vocab_size: int,
    *,
    bos_token_id: int | None = None,
    special_token_ids: Collection[int] = (),
) -> Dataset:
    """The samples that `--dataset`, `--dataset-path` and `--total-sample-count` ask for.

    `tokenizer` is called only where text must become tokens (None: the model has no tokenizer);
    `bos_token_id` and `special_token_ids` are used by the synthetic prompts, which begin with the
    one and hold none of the others. Raises UsageError for anything wrong with the data.
    """
    if config.dataset == "synthetic":
        return _synthetic(config, vocab_size, bos_token_id, special_token_ids)
    if config.dataset == "sample":
        offered = _shipped_articles()
    elif config.dataset_path and not Path(config.dataset_path).expanduser().is_dir():
        offered = _articles_of_file(config, Path(config.dataset_path).expanduser())
    else:
        offered = _articles_in_hub_format(config)
    return _tokenised(config, offered, tokenizer, vocab_size)


def _shipped_articles() -> _Articles:
    return _Articles(
        name="sample",
        entries=articles.read_entries(articles.SAMPLE_ARTICLES),
        source=phrase("the articles shipped with this program"),
        unofficial_because=(
            "The data set is the few articles shipped with this program, not CNN/DailyMail."
        ),
        may_repeat=True,
    )


def _articles_of_file(config: RunConfig, path: Path) -> _Articles:
    """An official cnn_eval.json or sample_cnn_eval_5000.json, or one of the same schema."""
    if not path.is_file():
        raise UsageError(
            f"--dataset-path {config.dataset_path}: there is no such file; give the official "
            f"{official_file(config)}, or use --dataset sample."
        )
    entries = articles.read_entries(path)
    official = config.category_record.dataset_samples
    because = None
    if len(entries) != official:
        because = (
            f"The data set is {path.name} with {len(entries):,} articles; the official one has "
            f"{official:,} in the {config.category} category."
        )
    elif articles.prompt_field(entries) != "tok_input":
        because = (
            f"The data set is {path.name}, which lacks the official token ids; they were made here."
        )
    source = f"{path}, taken at the user's word" if because is None else str(path)
    return _Articles("cnndm", entries, source, because)


def _articles_in_hub_format(config: RunConfig) -> _Articles:
    """CNN/DailyMail in the hub's format (columns article, highlights), from there or a folder."""
    rows = hub_dataset.validation_rows(config)
    official = config.category_record.dataset_samples
    count = len(rows)
    because = None
    if config.category == "edge":
        rows = rows.shuffle(seed=EDGE_SHUFFLE_SEED).select(range(min(official, count)))
        because = (
            f"The data set is a subset remade by shuffle(seed={EDGE_SHUFFLE_SEED}); the edge "
            f"targets belong to the official {official_file(config)} (see --dataset-path)."
        )
    elif count != official:
        because = f"The data set has {count:,} articles; the official one has {official:,}."
    entries = hub_dataset.entries(config, rows)
    place = f"the folder {config.dataset_path}" if config.dataset_path else "the hub"
    source = (
        f"{OFFICIAL_DATASET} {OFFICIAL_DATASET_CONFIG}, {OFFICIAL_DATASET_SPLIT} split, "
        f"from {place}"
    )
    return _Articles("cnndm", entries, source, because)


def _tokenised(
    config: RunConfig,
    offered: _Articles,
    tokenizer: Callable[[], Tokenizer] | None,
    vocab_size: int,
) -> Dataset:
    """Checks every entry, picks the subset, and makes token ids of what has none yet."""
    name, entries, because = offered.name, offered.entries, offered.unofficial_because
    flag = flag_of(config)
    prompt_field = articles.prompt_field(entries)
    chat_template = prompt_field == "input" and prompts.needs_chat_template(config)
    articles.check_kinds(flag, entries, prompt_field)
    if len(entries) not in _official_sizes(config):
        # Not asked of the official articles: they are run as they are, whatever they hold.
        articles.check_contents(flag, entries, prompt_field)
    chosen = [entries[position] for position in _chosen_positions(config, offered)]
    if prompt_field == "tok_input":
        token_ids = [entry["tok_input"] for entry in chosen]
        articles.check_vocabulary(flag, entries, vocab_size)
        if because is None and tokenizer is not None:
            because = prompts.template_difference(entries, tokenizer())
    elif tokenizer is None:
        raise UsageError(without_tokenizer(config, vocab_size))
    else:
        token_ids = prompts.tokenise(
            [entry["input"] for entry in chosen], tokenizer(), chat_template=chat_template
        )
        prompts.check_vocabulary(config.model, token_ids, vocab_size)
    samples = tuple(
        Sample(prompt, entry["output"], _beginning(entry))
        for entry, prompt in zip(chosen, token_ids, strict=True)
    )
    checksum = _checksum((sample.token_ids, sample.reference) for sample in samples)
    available = len(entries)
    if offered.may_repeat:
        available = max(available, config.category_record.dataset_samples)
    return Dataset(name, samples, checksum, because, offered.source, available, chat_template)


def _beginning(entry: Mapping[str, Any]) -> str | None:
    article = entry.get("input")
    if not isinstance(article, str):
        return None
    # A file may hold half a pair of surrogates, which no file can be written with.
    return article[:BEGINNING_CHARACTERS].encode(errors="replace").decode()


def _synthetic(
    config: RunConfig,
    vocab_size: int,
    bos_token_id: int | None,
    special_token_ids: Collection[int],
) -> Dataset:
    """Prompts of random ordinary tokens with the length profile of the real set."""
    total = config.category_record.dataset_samples
    token_ids = synthetic.prompts(
        total,
        _positions(total, config.total_sample_count or total),
        vocab_size=vocab_size,
        bos_token_id=bos_token_id,
        special_token_ids=special_token_ids,
    )
    return Dataset(
        name="synthetic",
        samples=tuple(Sample(prompt.tolist(), reference=None) for prompt in token_ids),
        checksum=_checksum((prompt, None) for prompt in token_ids),
        unofficial_because=(
            "The data set is random tokens with the lengths of CNN/DailyMail's prompts, not its "
            "articles."
        ),
        source=phrase("made here from seed {seed}", seed=synthetic.SEED),
        available=total,
    )


def without_tokenizer(config: RunConfig, vocab_size: int) -> str:
    """Why a data set of text cannot be used with a model that has no tokenizer here."""
    way_out = phrase("use --dataset synthetic")
    if llama3_tokenizer.suits(vocab_size):
        way_out += f", or get it: python run.py {llama3_tokenizer.FLAG}"
    return (
        f"{flag_of(config)} holds text, and --model {config.model} with --weights {config.weights} "
        f"has no tokenizer; {way_out}."
    )


def flag_of(config: RunConfig) -> str:
    """The flag that names the data set, as it could be typed."""
    path = config.dataset_path
    return f"--dataset-path {path}" if path else f"--dataset {config.dataset}"


def _chosen_positions(config: RunConfig, offered: _Articles) -> list[int]:
    total = len(offered.entries)
    count = config.total_sample_count or total
    if offered.may_repeat and count > total:
        most = config.category_record.dataset_samples
        if count > most:
            raise UsageError(
                f"--total-sample-count {count}: the articles of --dataset {offered.name} are taken "
                f"over again until there are {formatting.count(most)}, as many as the official "
                "data set has; use that or less."
            )
        return [number % total for number in range(count)]
    return _positions(total, count)


def _positions(total: int, count: int) -> list[int]:
    """Which samples of a data set of `total` make the subset of `count`; all of them when equal."""
    if count > total:
        raise UsageError(
            f"--total-sample-count {count}: the data set has {formatting.count(total)} samples; "
            f"use --total-sample-count {total} or less."
        )
    return sorted(random.Random(SUBSET_SEED).sample(range(total), count))


def _checksum(content: Iterable[tuple[Any, str | None]]) -> str:
    """sha256 of each prompt and reference: both lengths, token ids (int32, little-endian), text."""
    digest = hashlib.sha256()
    for token_ids, reference in content:
        text = (reference or "").encode()
        digest.update(np.asarray([len(token_ids), len(text)], dtype="<i8").tobytes())
        digest.update(np.asarray(token_ids, dtype="<i4").tobytes())
        digest.update(text)
    return digest.hexdigest()


def _official_sizes(config: RunConfig) -> set[int]:
    return {config.round.datacenter.dataset_samples, config.round.edge.dataset_samples}
