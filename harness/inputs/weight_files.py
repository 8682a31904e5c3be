"""Whether the files of a model's weights are all there and whole, without reading the weights."""

from __future__ import annotations

import re
import zipfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

from harness import formatting, json_text
from harness.errors import UsageError
from harness.inputs.model_files import is_lfs_pointer, read_object

INDEXES = ("model.safetensors.index.json", "pytorch_model.bin.index.json")
_NUMBERED = re.compile(r"(.*)-(\d{1,5})-of-(\d{1,5})(\.\w+)")
_LENGTH_BYTES = 8  # a safetensors file begins with the length of its header
_LONGEST_HEADER_BYTES = 100_000_000  # what the library accepts
_OLD_PICKLE = b"\x80"


def missing(folder: Path) -> str | None:
    """What weight files a folder lacks, in words; None when it has them all."""
    names = _names(folder)
    if not names:
        return "no *.safetensors and no *.bin"
    wanted = names | _counterparts(names)
    absent = sorted(name for name in wanted if not (folder / name).is_file())
    if not absent:
        return None
    return f"{len(absent)} of {len(wanted)} shards missing, the first {absent[0]}"


def damaged(folder: Path) -> str | None:
    """What is wrong with the weight files that are there, in words; None: nothing."""
    for name in sorted(_names(folder)):
        path = folder / name
        if path.is_file() and (damage := _damage(path)):
            return f"{name} {damage}"
    return None


def _names(folder: Path) -> set[str]:
    """The files that the engine would read: those of an index, else all of the first kind."""
    for name in INDEXES:
        if (folder / name).is_file():
            shards = read_object(str(folder), folder / name).get("weight_map")
            listed = list(shards.values()) if isinstance(shards, dict) else []
            if not listed or not all(isinstance(shard, str) for shard in listed):
                raise UsageError(f"--model {folder}: {name} names no weights; download it again.")
            return set(listed)
    for pattern in ("*.safetensors", "*.bin"):
        if found := {path.name for path in folder.glob(pattern)}:
            return found
    return set()


def _counterparts(names: Iterable[str]) -> set[str]:
    """All shards of which these are some, by their numbers: model-00001-of-00004.safetensors."""
    numbers: dict[tuple[str, str, str], list[str]] = defaultdict(list)
    for name in names:
        if numbered := _NUMBERED.fullmatch(name):
            stem, number, total, ending = numbered.groups()
            numbers[stem, total, ending].append(number)
    wanted = set[str]()
    for (stem, total, ending), there in numbers.items():
        begin = 0 if any(int(number) == 0 for number in there) else 1
        for number in range(begin, begin + int(total)):
            wanted.add(f"{stem}-{number:0{len(there[0])}d}-of-{total}{ending}")
    return wanted


def _damage(path: Path) -> str | None:
    try:
        if is_lfs_pointer(path):
            return "is a Git LFS pointer, not the file itself; git lfs pull fetches it"
        if path.suffix == ".safetensors":
            return _damage_of_safetensors(path)
        with path.open("rb") as file:
            whole = file.read(1) == _OLD_PICKLE or zipfile.is_zipfile(path)
        return None if whole else "is cut short, or no file of torch"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _damage_of_safetensors(path: Path) -> str | None:
    """Holds the length of a file against what its header says."""
    no_file = "is cut short, or no safetensors file"
    there = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
        if not 2 <= length <= min(_LONGEST_HEADER_BYTES, there - _LENGTH_BYTES):
            return no_file
        text = file.read(length)
    try:
        header = json_text.loads(text.decode())
        ends = [part["data_offsets"][1] for name, part in header.items() if name != "__metadata__"]
        whole = _LENGTH_BYTES + length + max(ends, default=0)
    except (ValueError, AttributeError, KeyError, IndexError, TypeError):
        return no_file
    if there == whole:
        return None if ends else "holds no weights"
    return f"has {formatting.count(there)} bytes of {formatting.count(whole)}"
