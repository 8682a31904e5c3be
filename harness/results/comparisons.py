"""Where a comparison of runs lies: a folder of its own beside the run folders."""

from __future__ import annotations

import itertools
from datetime import datetime
from pathlib import Path

COMPARISONS = "comparisons"  # in a results folder; no run folder has that name


class ComparisonFolder:
    """The files of one comparison."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.comparison_html = path / "comparison.html"  # for people, one file to forward
        self.comparison_md = path / "comparison.md"
        self.comparison_json = path / "comparison.json"  # for programs
        self.figures = path / "figures"

    @classmethod
    def create(cls, results_dir: Path, now: datetime) -> ComparisonFolder:
        """Makes comparisons/YYYYMMDD-hhmmss in a results folder, with -2, -3 ... where taken."""
        name = f"{now:%Y%m%d-%H%M%S}"
        (results_dir / COMPARISONS).mkdir(exist_ok=True)
        for number in itertools.count(1):
            path = results_dir / COMPARISONS / (name if number == 1 else f"{name}-{number}")
            try:
                path.mkdir()
            except FileExistsError:
                continue
            return cls(path)
        raise AssertionError  # itertools.count never ends

    @classmethod
    def at(cls, path: Path) -> ComparisonFolder:
        """A folder of the user's choice, made where it is not there."""
        path.mkdir(parents=True, exist_ok=True)
        return cls(path)
