"""nltk's English sentence data (punkt_tab): whether it is whole, and where it comes from."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from harness.errors import UsageError
from harness.inputs import wheels
from harness.inputs.cache import cache_folder
from harness.inputs.downloads import sha256_of
from harness.inputs.wheels import Wheel
from tools.get_punkt import IN_WHEEL, SHA256, WHEEL

FLAG = "fetch punkt"
IN_NLTK = Path("tokenizers", "punkt_tab", "english")  # below a folder that nltk looks into
CARRIER = Wheel(
    requirement=WHEEL,
    file_name="llama_index_core-0.14.25-py3-none-any.whl",
    size_bytes=11_928_254,
    sha256="caa7d9c5ac9b13dc33400cf8d5e92e689b6d1e4497eb9bfa50d6f52ca2eb22a1",
    holds="nltk's punkt_tab",
    licence="MIT; the data Apache-2.0",
)


def found() -> Path | None:
    """The folder where nltk finds the data; None where it finds none."""
    return next((folder for folder in _places() if folder.is_dir()), None)


def is_whole(folder: Path) -> bool:
    """Whether a folder holds the expected files, to the byte."""
    return all(
        (folder / name).is_file() and sha256_of(folder / name) == expected
        for name, expected in SHA256.items()
    )


def ensure() -> Path:
    """The folder of the data, fetched where it is missing or not whole. Raises UsageError."""
    there = found()
    if there is not None and is_whole(there):
        return there
    folder = there or _writable_place()
    wheel_file = wheels.fetch(CARRIER, cache_folder(), FLAG)
    wheels.unpack(wheel_file, {f"{IN_WHEEL}/{name}": folder / name for name in SHA256}, FLAG)
    wheel_file.unlink()
    return folder


def _places() -> list[Path]:
    import nltk

    return [Path(place) / IN_NLTK for place in nltk.data.path]


def _writable_place() -> Path:
    """With this Python, as `make venv` has it; else wherever nltk looks."""
    for place in (Path(sys.prefix, "nltk_data") / IN_NLTK, *_places()):
        existing = next(folder for folder in place.parents if folder.is_dir())
        if os.access(existing, os.W_OK):
            return place
    raise UsageError(
        f"{FLAG}: none of the folders where nltk looks for its data can be written; set NLTK_DATA "
        "to one that can."
    )
