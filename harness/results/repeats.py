"""Where the performance tests of a repeated run lie: one in the run folder, the others in Repeats/.

Repeats/3/ holds the third test as the run folder holds its own: Performance/, samples.csv,
timeline.csv, telemetry.csv. The run folder's own test is the number that Repeats/ lacks.
"""

from __future__ import annotations

from harness.results.folder import RunFolder

REPEATS = "Repeats"


def folder_of(folder: RunFolder, number: int) -> RunFolder:
    """Where the performance test of this number (from 1) goes while the run measures."""
    return folder if number == 1 else _aside(folder, number)


def others(folder: RunFolder) -> dict[int, RunFolder]:
    """The tests beside the run folder's own by their numbers, in their order."""
    found = (folder.path / REPEATS).glob("*/")
    numbers = sorted(int(path.name) for path in found if path.name.isdecimal())
    return {number: _aside(folder, number) for number in numbers}


def own_number(folder: RunFolder) -> int:
    """Which test lies in the run folder itself."""
    aside = others(folder)
    return next(number for number in range(1, len(aside) + 2) if number not in aside)


def make_own(folder: RunFolder, number: int) -> None:
    """Moves the test of this number into the run folder, and the one there aside. OSError."""
    own = own_number(folder)
    if number == own:
        return
    _move(folder, _aside(folder, own))
    chosen = _aside(folder, number)
    _move(chosen, folder)
    chosen.path.rmdir()


def _aside(folder: RunFolder, number: int) -> RunFolder:
    return RunFolder(folder.path / REPEATS / str(number))


def _move(source: RunFolder, target: RunFolder) -> None:
    """What one test left, from one folder into another."""
    target.path.mkdir(parents=True, exist_ok=True)
    for path in (
        source.performance,
        source.samples_csv,
        source.timeline_csv,
        source.telemetry_csv,
    ):
        if path.exists():
            path.rename(target.path / path.name)
