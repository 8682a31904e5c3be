"""What a shared library is linked to, read off its file: no image has a tool for that."""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from pathlib import Path

# Kinds of segments, tags of the dynamic section.
_LOADED, _DYNAMIC = 1, 2
_NEEDED, _STRINGS = 1, 5


def links_of(library: Path) -> list[str]:
    """The names that an ELF file of 64 bits is linked to; none where it is another file."""
    with library.open("rb") as file:
        if file.read(6) != b"\x7fELF\x02\x01":
            return []
        file.seek(0)
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as image:
            return list(_needed(image))


def _needed(image: mmap.mmap) -> Iterator[str]:
    """Every DT_NEEDED of an ELF file's dynamic section."""
    headers, size, count = (
        *struct.unpack_from("<Q", image, 32),
        *struct.unpack_from("<HH", image, 54),
    )
    segments = [struct.unpack_from("<IIQQQQ", image, headers + size * n) for n in range(count)]
    for kind, _flags, offset, _address, _, length in segments:
        if kind != _DYNAMIC:
            continue
        entries = list(struct.iter_unpack("<qQ", image[offset : offset + length // 16 * 16]))
        strings = next(value for tag, value in entries if tag == _STRINGS)
        # It is an address in memory: where in the file that is, the segment that is loaded says.
        start = next(
            strings - address + begin
            for kind, _flags, begin, address, _, bytes_ in segments
            if kind == _LOADED and address <= strings < address + bytes_
        )
        for name in (value for tag, value in entries if tag == _NEEDED):
            yield image[start + name : image.find(b"\0", start + name)].decode()
