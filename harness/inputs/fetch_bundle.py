"""Fills a bundle: one folder with all that a run downloads, for a machine without a network."""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from harness import bundle, formatting, paths
from harness.command_line import with_flag
from harness.config import RunConfig
from harness.errors import UsageError
from harness.inputs import fetch, llama3_tokenizer, punkt
from harness.inputs import model as models
from harness.inputs.cache import cache_folder, check_room, writing
from harness.inputs.downloads import part_of, size_of
from harness.inputs.fetch import Piece
from harness.language import joined, phrase
from harness.terminal import Terminal

ELSEWHERE = phrase("name another folder")


def fill(folder: Path, config: RunConfig, flags: Sequence[str], *, accepted: bool) -> str:
    """Fetches what a run with these flags needs and copies it to a folder; its README's text.

    What is there already stays, so a repeated call goes on where an interrupted one was. Raises
    UsageError.
    """
    _check(folder)
    command = ["python", "run.py", *flags]
    listed, has_tokenizer = list[str](), False
    with writing(_flag(folder), folder, ELSEWHERE):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / bundle.README).unlink(missing_ok=True)
        for piece in _pieces(config, accepted=accepted):
            if piece.path is None:
                continue
            place = _place(piece.path)
            _copy(piece, folder / place, folder)
            listed.append(joined("", ("  ", piece.name, f": {place}")))
            has_tokenizer |= place == Path(llama3_tokenizer.FOLDER)
            if piece.flag is not None:
                command = with_flag(command, piece.flag, f"${bundle.VARIABLE}/{place}")
        text = _readme(listed, _typed(command))
        text = joined("", (text, _licence_note())) if has_tokenizer else text
        part = part_of(folder / bundle.README)
        part.write_text(text, encoding="utf-8")
        part.replace(folder / bundle.README)
    return text


def _readme(pieces: Iterable[str], command: str) -> str:
    return phrase(
        """All that this run of the MLPerf Llama-3.1-8B benchmark downloads:

{pieces}

On a machine without a network, in the folder of the program, type

  export {variable}=/the/path/of/this/folder
  {command}

The program and its Python environment are not in here: install them there beforehand, as the
program's README says (make venv, or the Docker image).
""",
        pieces=joined("\n", pieces),
        variable=bundle.VARIABLE,
        command=command,
    )


def _licence_note() -> str:
    return phrase(
        """
Llama 3's tokenizer is in here. It is Meta's, under the {licence}
({page}): who gets this folder gets it under those terms.
""",
        licence=llama3_tokenizer.LICENCE,
        page=llama3_tokenizer.LICENCE_PAGE,
    )


def _check(folder: Path) -> None:
    """Refuses a folder that holds something else, or that there cannot be."""
    paths.check("fetch bundle", folder)
    if folder.is_dir() and any(folder.iterdir()) and not _is_ours(folder):
        raise UsageError(
            f"{_flag(folder)}: the folder holds other files; name a new one, or an earlier bundle."
        )


def _is_ours(folder: Path) -> bool:
    known = (bundle.README, bundle.HUB, bundle.NLTK)
    return any((folder / name).exists() for name in known)


def _flag(folder: Path) -> str:
    return f"fetch bundle {folder}"


def _pieces(config: RunConfig, *, accepted: bool) -> Iterator[Piece]:
    """What a run needs; the small ones first, which may have questions or refusals."""
    yield fetch.sentence_data()
    of_text = config.dataset != "synthetic"
    if config.weights == "dummy" and of_text and not _has_own_tokenizer(config):
        yield fetch.tokenizer(accepted=accepted)
    yield fetch.dataset(config)
    yield fetch.model(config)


def _has_own_tokenizer(config: RunConfig) -> bool:
    source = models.resolve_model(config)
    suits = llama3_tokenizer.suits(source.vocab_size)
    return not suits or (source.has_tokenizer and source.tokenizer_folder is None)


def _place(path: Path) -> Path:
    """Where a piece lies in a bundle, whose parts are laid out as those it stands in for."""
    from huggingface_hub import constants

    for top, part in ((cache_folder(), ""), (Path(constants.HF_HUB_CACHE), bundle.HUB)):
        if path.is_relative_to(top):
            return Path(part) / path.relative_to(top)
    if path.parts[-3:] == punkt.IN_NLTK.parts:
        return Path(bundle.NLTK) / punkt.IN_NLTK
    return Path(path.name)


def _copy(piece: Piece, target: Path, folder: Path) -> None:
    """Copies a file, or a folder with links followed. Raises UsageError, OSError."""
    assert piece.path is not None
    files = _files(piece.path, target)
    missing = [(source, copy) for source, copy in files if size_of(copy) != size_of(source)]
    needed = sum(size_of(source) for source, _ in missing)
    check_room(_flag(folder), piece.name, needed, folder, ELSEWHERE)
    if needed:
        Terminal().say(
            phrase(
                "copying {name}: {size} to {folder} ...",
                name=piece.name, size=formatting.megabytes(needed), folder=target,
            )
        )  # fmt: skip
    for source, copy in missing:
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, part_of(copy))
        part_of(copy).replace(copy)
    if target.parent.name == "snapshots":  # of the hub's cache, which looks here for the newest
        newest = target.parent.parent / "refs" / "main"
        newest.parent.mkdir(exist_ok=True)
        newest.write_text(target.name, encoding="utf-8")


def _files(source: Path, target: Path) -> list[tuple[Path, Path]]:
    """Every file to be copied, and what it becomes."""
    if source.is_file():
        return [(source, target)]
    return [
        (path, target / path.relative_to(source))
        for path in sorted(source.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    ]


def _typed(command: Sequence[str]) -> str:
    """A command as it is typed, in which the shell puts the bundle's path."""
    begin = f"${bundle.VARIABLE}/"
    return " ".join(
        f'"{word}"' if word.startswith(begin) else shlex.quote(word) for word in command
    )
