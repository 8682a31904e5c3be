"""The samples of a run: articles as token ids, with reference summaries where there are any."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from harness import formatting
from harness.config import RunConfig
from harness.errors import UsageError
from harness.inputs.model import HUB_TIMEOUT_S, encode, first_line, transport_errors
from harness.rounds import OFFICIAL_DATASET, OFFICIAL_DATASET_CONFIG, OFFICIAL_DATASET_SPLIT

SAMPLE_ARTICLES = Path(__file__).parent / "data" / "sample_articles.json"

# Word for word: language/llama3.1-8b/download_cnndm.py:90-93. BOS precedes it; no chat template.
PROMPT_TEMPLATE = (
    "Summarize the following news article in 128 tokens. "
    "Please output the summary only, without any other text.\n\nArticle:\n{input}\n\nSummary:"
)

EDGE_SHUFFLE_SEED = 42  # download_cnndm.py:81-87
SUBSET_SEED = 0

# The length profile of the real set (13,368 prompts, mean about 870 tokens, the longest 2,540).
SYNTHETIC_SEED = 42
SYNTHETIC_MEAN_TOKENS = 870
SYNTHETIC_SIGMA = 0.5
SYNTHETIC_MIN_TOKENS = 60
SYNTHETIC_MAX_TOKENS = 2540
LLAMA3_ORDINARY_TOKENS = 128000  # ids from here on are special in Llama-3
LOW_SPECIAL_TOKENS = 10  # other tokenizers keep padding, BOS and EOS below this

TEMPLATE_CHECKS = 16  # entries of a tokenised file that are compared with the template


class Tokenizer(Protocol):
    """What is needed of a tokenizer: many texts to token ids in one call, which is parallel."""

    def __call__(self, text: list[str], **options: Any) -> Mapping[str, Any]: ...


@dataclass(frozen=True)
class Sample:
    """One prompt. Its token ids are a list of int, since that is what the engine takes."""

    index: int  # the number LoadGen calls it by
    source_index: int  # its place in the full data set
    token_ids: list[int]
    reference: str | None  # the highlights; None where the data set has none


@dataclass(frozen=True)
class Dataset:
    """The samples of a run in LoadGen's order."""

    name: str
    samples: tuple[Sample, ...]
    checksum: str  # sha256 over what is fed to the model and judged by: token ids and references
    unofficial_because: str | None  # a sentence for the report; None: the official data set
    source: str  # where it came from, for people

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

    def subset(self, count: int) -> Dataset:
        """The same `count` samples at every call, in order, numbered anew from 0.

        Raises UsageError when the data set has fewer.
        """
        if count == len(self.samples):
            return self
        chosen = tuple(
            replace(self.samples[position], index=index)
            for index, position in enumerate(_positions(len(self.samples), count))
        )
        return replace(self, samples=chosen, checksum=_checksum_of(chosen))


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
        return _from_entries(
            config,
            "sample",
            _read_entries(SAMPLE_ARTICLES),
            tokenizer,
            vocab_size,
            source="the articles shipped with this program",
            unofficial_because=(
                "The data set is the few articles shipped with this program, not CNN/DailyMail."
            ),
            repeats=True,
        )
    if config.dataset_path and not Path(config.dataset_path).expanduser().is_dir():
        return _from_file(config, Path(config.dataset_path).expanduser(), tokenizer, vocab_size)
    return _from_hub_format(config, tokenizer, vocab_size)


def _from_file(
    config: RunConfig,
    path: Path,
    tokenizer: Callable[[], Tokenizer] | None,
    vocab_size: int,
) -> Dataset:
    """An official cnn_eval.json or sample_cnn_eval_5000.json, or one of the same schema."""
    if not path.is_file():
        raise UsageError(
            f"--dataset-path {config.dataset_path}: there is no such file; give the official "
            f"{_official_file(config)}, or use --dataset sample."
        )
    entries = _read_entries(path)
    official = config.category_record.dataset_samples
    because = None
    if len(entries) != official:
        because = (
            f"The data set is {path.name} with {len(entries):,} articles; the official one has "
            f"{official:,} in the {config.category} category."
        )
    elif _prompt_field(entries) != "tok_input":
        because = (
            f"The data set is {path.name}, which lacks the official token ids; they were made here."
        )
    source = f"{path}, taken at the user's word" if because is None else str(path)
    return _from_entries(
        config, "cnndm", entries, tokenizer, vocab_size, source=source, unofficial_because=because
    )


def _from_hub_format(
    config: RunConfig, tokenizer: Callable[[], Tokenizer] | None, vocab_size: int
) -> Dataset:
    """CNN/DailyMail in the hub's format (columns article, highlights), from there or a folder."""
    rows = _hub_rows(config)
    official = config.category_record.dataset_samples
    count = len(rows)
    because = None
    if config.category == "edge":
        rows = rows.shuffle(seed=EDGE_SHUFFLE_SEED).select(range(min(official, count)))
        because = (
            f"The data set is a subset remade by shuffle(seed={EDGE_SHUFFLE_SEED}); the edge "
            f"targets belong to the official {_official_file(config)} (see --dataset-path)."
        )
    elif count != official:
        because = f"The data set has {count:,} articles; the official one has {official:,}."
    entries = [
        {"input": article, "output": highlights}
        for article, highlights in zip(rows["article"], rows["highlights"], strict=True)
    ]
    place = f"the folder {config.dataset_path}" if config.dataset_path else "the hub"
    source = (
        f"{OFFICIAL_DATASET} {OFFICIAL_DATASET_CONFIG}, {OFFICIAL_DATASET_SPLIT} split, "
        f"from {place}"
    )
    return _from_entries(
        config, "cnndm", entries, tokenizer, vocab_size, source=source, unofficial_because=because
    )


def _hub_rows(config: RunConfig) -> Any:
    """The validation split as a `datasets.Dataset`."""
    folder = config.dataset_path
    where = str(Path(folder).expanduser()) if folder else OFFICIAL_DATASET
    flag = f"--dataset-path {folder}" if folder else "--dataset cnndm"
    datasets, unreadable = datasets_library(None if folder else OFFICIAL_DATASET)
    try:
        names = datasets.get_dataset_config_names(where) if folder else [OFFICIAL_DATASET_CONFIG]
        name = OFFICIAL_DATASET_CONFIG if OFFICIAL_DATASET_CONFIG in names else None
        rows = datasets.load_dataset(where, name, split=OFFICIAL_DATASET_SPLIT)
    except unreadable as error:
        if folder:
            raise UsageError(
                f"{flag}: the folder cannot be read as {OFFICIAL_DATASET} in the hub's format "
                f"({first_line(error)}); give the official {_official_file(config)}."
            ) from error
        raise UsageError(
            f"{flag}: {OFFICIAL_DATASET} is not on this machine and cannot be had from the hub "
            f"({first_line(error)}); give --dataset-path {_official_file(config)}, or use "
            "--dataset sample."
        ) from error
    for column in ("article", "highlights"):
        if column not in rows.column_names:
            raise UsageError(
                f"{flag}: the data set has no column {column} (it has "
                f"{', '.join(rows.column_names)}); give {OFFICIAL_DATASET} or the official "
                f"{_official_file(config)}."
            )
    return rows


def datasets_library(repo: str | None) -> tuple[Any, tuple[type[Exception], ...]]:
    """The library `datasets`, without its progress bars, and what it raises when it cannot read.

    `repo` is what it will be asked for from the hub, None for a folder.
    """
    import datasets

    if repo is not None and not hub_answers(repo):
        # The hub's client would retry for 25 s; so `datasets` looks into its own cache at once.
        datasets.config.HF_HUB_OFFLINE = True
    datasets.disable_progress_bars()
    unreadable = (
        ValueError,
        datasets.exceptions.DatasetsError,
        datasets.exceptions.DatasetGenerationError,
        *transport_errors(),
    )
    return datasets, unreadable


def hub_answers(repo: str) -> bool:
    """Whether the hub answers within seconds when asked for this data set; any answer will do."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import HfHubHTTPError

    url = hf_hub_url(repo, "README.md", repo_type="dataset")
    try:
        get_hf_file_metadata(url, timeout=HUB_TIMEOUT_S)
    except HfHubHTTPError:
        return True
    except transport_errors():
        return False
    return True


def _from_entries(
    config: RunConfig,
    name: str,
    entries: Sequence[Mapping[str, Any]],
    tokenizer: Callable[[], Tokenizer] | None,
    vocab_size: int,
    *,
    source: str,
    unofficial_because: str | None,
    repeats: bool = False,
) -> Dataset:
    """Checks every entry, picks the subset, and makes token ids of what has none yet.

    `repeats`: a count above the number of entries takes them over again, instead of being refused.
    """
    flag = f"--dataset-path {config.dataset_path}" if config.dataset_path else f"--dataset {name}"
    prompt_field = _prompt_field(entries)
    _check_kinds(flag, entries, prompt_field)
    if len(entries) not in _official_sizes(config):
        # Not asked of the official articles: they are run as they are, whatever they hold.
        _check_contents(flag, entries, prompt_field)
    count = config.total_sample_count or len(entries)
    if repeats and count > len(entries):
        positions = [number % len(entries) for number in range(count)]
    else:
        positions = _positions(len(entries), count)
    chosen = [entries[position] for position in positions]
    if prompt_field == "tok_input":
        prompts = [entry["tok_input"] for entry in chosen]
        _check_vocabulary(flag, entries, vocab_size)
        if unofficial_because is None and tokenizer is not None:
            unofficial_because = _template_difference(entries, tokenizer())
    elif tokenizer is None:
        raise UsageError(
            f"{flag} holds text, and --model {config.model} with --weights {config.weights} has no "
            "tokenizer; use --dataset synthetic."
        )
    else:
        prompts = _tokenise([entry["input"] for entry in chosen], tokenizer())
    samples = tuple(
        Sample(index=index, source_index=position, token_ids=token_ids, reference=entry["output"])
        for index, (position, entry, token_ids) in enumerate(
            zip(positions, chosen, prompts, strict=True)
        )
    )
    return Dataset(name, samples, _checksum_of(samples), unofficial_because, source)


def _tokenise(articles: Iterable[str], tokenizer: Tokenizer) -> list[list[int]]:
    """What `tokenizer.encode(prompt)` gives for each: BOS, no chat template, nothing cut off."""
    prompts = [PROMPT_TEMPLATE.format(input=article) for article in articles]
    return encode(tokenizer, prompts)


def _template_difference(entries: Sequence[Mapping[str, Any]], tokenizer: Tokenizer) -> str | None:
    """Compares some of a file's token ids with the official prompt's; a sentence if they differ."""
    step = max(1, len(entries) // TEMPLATE_CHECKS)
    checked = [(i, entries[i]) for i in range(0, len(entries), step) if "input" in entries[i]]
    if not checked:
        return None
    expected = _tokenise([entry["input"] for _, entry in checked], tokenizer)
    for (position, entry), token_ids in zip(checked, expected, strict=True):
        if entry["tok_input"] != token_ids:
            return (
                f"The token ids of the data set (entry {position}) are not those of the official "
                "prompt under this model's tokenizer."
            )
    return None


def _read_entries(path: Path) -> list[dict[str, Any]]:
    """A JSON list of objects. Raises UsageError for anything else."""
    flag = f"--dataset-path {path}"
    try:
        with path.open(encoding="utf-8") as file:
            entries = json.load(file)
    except ValueError as error:
        raise UsageError(
            f"{flag}: the file is not JSON ({first_line(error)}); give the official "
            "cnn_eval.json as it came."
        ) from error
    except OSError as error:
        raise UsageError(
            f"{flag}: the file cannot be read ({error.strerror}); make it readable."
        ) from error
    if not isinstance(entries, list):
        raise UsageError(
            f"{flag}: the file is not a JSON list of articles; give one in the schema of the "
            "official cnn_eval.json."
        )
    return entries


def _prompt_field(entries: Sequence[Any]) -> str:
    """tok_input where the first entry has it: such ids are fed to the model exactly as they are."""
    tokenised = bool(entries) and isinstance(entries[0], Mapping) and "tok_input" in entries[0]
    return "tok_input" if tokenised else "input"


def _check_kinds(flag: str, entries: Sequence[Mapping[str, Any]], prompt_field: str) -> None:
    """Every entry has a prompt and a summary, each of the right kind."""
    if not entries:
        raise UsageError(f"{flag}: the data set holds no articles; give one that does.")
    kind = "a list of token ids" if prompt_field == "tok_input" else "a text"
    for number, entry in enumerate(entries):
        if not isinstance(entry, Mapping):
            raise UsageError(
                f"{flag}: entry {number} is not an object; each needs {prompt_field} and output."
            )
        for name in (prompt_field, "output"):
            if name not in entry:
                raise UsageError(
                    f"{flag}: entry {number} has no {name}; every entry needs {prompt_field} and "
                    "output."
                )
        prompt, output = entry[prompt_field], entry["output"]
        if not (_is_ids(prompt) if prompt_field == "tok_input" else isinstance(prompt, str)):
            raise UsageError(
                f"{flag}: {prompt_field} of entry {number} is not {kind}; correct the file."
            )
        if not isinstance(output, str):
            raise UsageError(f"{flag}: output of entry {number} is not a text; correct the file.")


def _check_contents(flag: str, entries: Sequence[Mapping[str, Any]], prompt_field: str) -> None:
    """No entry is empty, and none comes twice."""
    seen: dict[Any, int] = {}
    for number, entry in enumerate(entries):
        for name in (prompt_field, "output"):
            value = entry[name]
            if not (value.strip() if isinstance(value, str) else value):
                raise UsageError(
                    f"{flag}: {name} of entry {number} is empty; fill or remove the entry."
                )
        prompt = entry[prompt_field]
        first = seen.setdefault(tuple(prompt) if isinstance(prompt, list) else prompt, number)
        if first != number:
            raise UsageError(
                f"{flag}: entries {first} and {number} have the same {prompt_field}; remove one of "
                "them."
            )


def _is_ids(value: Any) -> bool:
    return isinstance(value, list) and set(map(type, value)) <= {int}


def _check_vocabulary(flag: str, entries: Sequence[Mapping[str, Any]], vocab_size: int) -> None:
    for number, entry in enumerate(entries):
        if not entry["tok_input"]:
            raise UsageError(f"{flag}: tok_input of entry {number} is empty; correct the file.")
        highest, lowest = max(entry["tok_input"]), min(entry["tok_input"])
        if highest >= vocab_size or lowest < 0:
            found = highest if highest >= vocab_size else lowest
            raise UsageError(
                f"{flag}: entry {number} has token id {found}, and the model's vocabulary has "
                f"{formatting.count(vocab_size)} tokens; use the model the file was tokenised for, "
                "or remove tok_input from the file."
            )


def _synthetic(
    config: RunConfig,
    vocab_size: int,
    bos_token_id: int | None,
    special_token_ids: Collection[int],
) -> Dataset:
    """Prompts of random ordinary tokens with the length profile of the real set."""
    count = config.category_record.dataset_samples
    positions = _positions(count, config.total_sample_count or count)
    rng = np.random.Generator(
        np.random.PCG64(SYNTHETIC_SEED)
    )  # named: numpy may change its default
    mu = np.log(SYNTHETIC_MEAN_TOKENS) - SYNTHETIC_SIGMA**2 / 2
    drawn = np.rint(rng.lognormal(mu, SYNTHETIC_SIGMA, count)).astype(np.int64)
    lengths = np.clip(drawn, SYNTHETIC_MIN_TOKENS, SYNTHETIC_MAX_TOKENS)
    ordinary = np.arange(LOW_SPECIAL_TOKENS, min(vocab_size, LLAMA3_ORDINARY_TOKENS))
    ordinary = np.setdiff1d(ordinary, np.asarray(sorted(special_token_ids), dtype=np.int64))
    stream = ordinary[rng.integers(0, len(ordinary), int(lengths.sum()))]
    ends = np.cumsum(lengths)
    starts = ends - lengths
    if bos_token_id is not None:
        stream[starts] = bos_token_id
    prompts = [stream[starts[position] : ends[position]] for position in positions]
    samples = tuple(
        Sample(index=index, source_index=position, token_ids=prompt.tolist(), reference=None)
        for index, (position, prompt) in enumerate(zip(positions, prompts, strict=True))
    )
    return Dataset(
        name="synthetic",
        samples=samples,
        checksum=_checksum((prompt, None) for prompt in prompts),
        unofficial_because=(
            "The data set is random tokens with the lengths of CNN/DailyMail's prompts, not its "
            "articles."
        ),
        source=f"made here from seed {SYNTHETIC_SEED}",
    )


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


def _checksum_of(samples: Iterable[Sample]) -> str:
    return _checksum((sample.token_ids, sample.reference) for sample in samples)


def _official_sizes(config: RunConfig) -> set[int]:
    return {config.round.datacenter.dataset_samples, config.round.edge.dataset_samples}


def _official_file(config: RunConfig) -> str:
    return "cnn_eval.json" if config.category == "datacenter" else "sample_cnn_eval_5000.json"
