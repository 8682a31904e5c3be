"""What may be spoilt in a run of official length that stays official, and why that is harmless.

Each entry names keys of LoadGen's detail log (or files of the run folder) by a pattern, and the
ways in which they may be spoilt: other ways are not harmless. `of` names the scenarios where it
holds for some alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

ANY_WAY = "delete zero inf swap"
NOT_ZERO = "delete inf swap"  # what is 0 already


@dataclass(frozen=True)
class Harmless:
    """Keys or files, the ways to spoil them that change nothing, and the reason."""

    names: str  # a pattern
    ways: str
    why: str
    of: str = "offline server interactive singlestream"

    def covers(self, name: str, way: str, scenario: str) -> bool:
        """Whether this is about a name spoilt in a way, in a run of a scenario."""
        return (
            way in self.ways.split()
            and scenario in self.of.split()
            and re.fullmatch(self.names, name) is not None
        )


Spoilt = tuple[str, str, str]  # name, way, scenario


def strange(surviving: Iterable[Spoilt], listed: Sequence[Harmless]) -> list[str]:
    """What stayed official and is not listed."""
    return sorted(
        " ".join(spoilt) for spoilt in surviving if not any(h.covers(*spoilt) for h in listed)
    )


def idle(surviving: Iterable[Spoilt], listed: Sequence[Harmless], scenario: str) -> list[str]:
    """What is listed for a scenario, and is not official any more when it is spoilt so."""
    used = {
        (entry.names, way)
        for name, way, _ in surviving
        for entry in listed
        if entry.covers(name, way, scenario)
    }
    return [
        f"{entry.names} {way}"
        for entry in listed
        if scenario in entry.of.split()
        for way in entry.ways.split()
        if (entry.names, way) not in used
    ]
