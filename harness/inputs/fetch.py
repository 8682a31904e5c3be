"""What a run would download, downloaded ahead of it: for a machine that will have no network."""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from harness.config import SMALL_MODEL, RunConfig
from harness.errors import UsageError
from harness.inputs import (
    hub_dataset,
    hub_download,
    llama3_tokenizer,
    model_source,
    official_files,
    punkt,
)
from harness.inputs import model as models
from harness.inputs.cache import cache_folder, writing
from harness.language import joined, phrase, translated

FLAG_OF_DATASET = "fetch dataset"
FROM_HUB = "cnn_dailymail"  # a folder in the cache, in the hub's format


@dataclass(frozen=True)
class Piece:
    """Something that a run needs, where it lies now, and how a run comes to use it."""

    name: str  # for people
    path: Path | None  # None: it is part of the program
    used_by: str  # the flags of a run, or a sentence without them
    flag: str | None = None  # the flag that names it by its path; None: a run finds it


def one(what: str, config: RunConfig, *, accepted: bool) -> str:
    """Fetches one thing; says where it is and how a run comes to use it. Raises UsageError."""
    if what == "model":
        piece = model(config)
    elif what == "dataset":
        piece = dataset(config)
    elif what == "tokenizer":
        piece = tokenizer(accepted=accepted)
    elif what == "punkt":
        piece = sentence_data()
    else:
        piece = model(config.with_values(model=SMALL_MODEL, weights="real"))
    where = phrase("{name} is part of the program.", name=piece.name)
    if piece.path is not None:
        where = phrase("{name} is in {path}.", name=piece.name, path=piece.path)
    return joined("\n", (where, phrase("Used by: {users}", users=piece.used_by)))


def model(config: RunConfig) -> Piece:
    """The model of --model, whole. Raises UsageError."""
    name, used_by = phrase("the model {name}", name=config.model), f"--model {config.model}"
    source = models.resolve_model(config)
    if source.path == str(model_source.SHIPPED_CONFIG_FOLDER):
        return Piece(phrase("the model's shape"), None, f"{used_by} --weights dummy")
    if not Path(source.path).is_dir():
        path = hub_download.ensure(config.model, source.path, source.revision)
        return Piece(name, path, used_by)
    folder = Path(source.path)
    if source.revision is not None:  # the hub's local cache
        hub_download.verify(config.model, folder)
    own = Path(config.model).expanduser().is_dir()
    return Piece(name, folder, used_by, "--model" if own else None)


def dataset(config: RunConfig) -> Piece:
    """The articles of a run: MLCommons' own file, or the user's, verified. Raises UsageError."""
    if config.dataset != "cnndm":
        name = phrase("the {name} data set", name=config.dataset)
        return Piece(name, None, f"--dataset {config.dataset}")
    if config.dataset_path is None:
        path = _official_articles(config)
        name = path.name if path.is_file() else phrase("CNN/DailyMail of the hub")
        return Piece(name, path, f"--dataset-path {path}", "--dataset-path")
    path = Path(config.dataset_path).expanduser()
    if path.is_dir():
        hub_dataset.validation_rows(config)
        name = phrase("CNN/DailyMail in the hub's format (which has no checksum)")
    else:
        official_files.verify(config.category, path, f"--dataset-path {config.dataset_path}")
        file = hub_dataset.official_file(config)
        name = phrase("MLCommons' {file}, by its checksum", file=file)
    return Piece(name, path.absolute(), f"--dataset-path {path}", "--dataset-path")


def tokenizer(*, accepted: bool) -> Piece:
    """Llama 3's tokenizer, after its licence was agreed to. Raises UsageError."""
    if llama3_tokenizer.fetched() is None:
        _agree(accepted=accepted)
    used_by = phrase("--weights dummy with --dataset sample or --dataset-path FILE")
    return Piece(llama3_tokenizer.WHEEL.holds, llama3_tokenizer.ensure(), used_by)


def sentence_data() -> Piece:
    """nltk's punkt_tab, to the byte. Raises UsageError."""
    return Piece("punkt_tab", punkt.ensure(), phrase("every run with an accuracy test"))


def _agree(*, accepted: bool) -> None:
    """Raises UsageError unless the user agrees to Meta's licence, in a flag or here and now."""
    licence = phrase(
        "Meta's {licence} ({page})",
        licence=llama3_tokenizer.LICENCE, page=llama3_tokenizer.LICENCE_PAGE,
    )  # fmt: skip
    if accepted:
        return
    if not sys.stdin.isatty():
        raise UsageError(
            phrase(
                "{flag}: Llama 3's tokenizer comes under {licence}; read that, and add "
                "--accept-license if you agree to it.",
                flag=llama3_tokenizer.FLAG, licence=licence,
            )
        )  # fmt: skip
    question = phrase(
        "Llama 3's tokenizer comes under {licence}. Do you agree to it? [y/N] ", licence=licence
    )
    answer = input(translated(question))
    if answer.strip().lower() not in ("y", "yes"):
        raise UsageError(
            f"{llama3_tokenizer.FLAG}: nothing was downloaded, as its licence was not agreed to."
        )


def _official_articles(config: RunConfig) -> Path:
    """MLCommons' file; for the whole set, if their storage is closed, the hub's articles."""
    try:
        return official_files.ensure(config.category, FLAG_OF_DATASET)
    except official_files.NotReached as closed:
        if config.category != "datacenter":  # a subset made here is not the official one
            raise
        try:
            rows = hub_dataset.validation_rows(config)
        except UsageError:
            raise closed from None
    folder = cache_folder() / FROM_HUB
    with writing(FLAG_OF_DATASET, folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", dir=folder.parent) as scratch:
            unfinished = Path(scratch) / "validation.parquet"
            rows.to_parquet(unfinished)
            unfinished.replace(folder / unfinished.name)
    return folder
