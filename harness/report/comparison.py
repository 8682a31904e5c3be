"""Compares runs: comparison.html, comparison.md and comparison.json, from their folders alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from harness import formatting, templates
from harness.errors import UsageError
from harness.language import joined, phrase
from harness.report import comparison_differences as differing
from harness.report import comparison_measures as measures
from harness.report import comparison_plots as plots
from harness.report import comparison_text as text
from harness.report import pages, svg
from harness.report.comparison_runs import ComparedRun, read_runs
from harness.results.comparisons import ComparisonFolder
from harness.results.files import write_json, write_text

SCHEMA_VERSION = 1  # of comparison.json


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What was found, before it is written."""

    runs: list[ComparedRun]
    forced: list[str]  # why the runs should not be compared; empty: they may
    differences: list[differing.Difference]
    figures: list[measures.Figure]
    deciding: list[measures.Deciding]  # for each run but the first

    @property
    def conclusions(self) -> list[str]:
        """A sentence for each run but the first."""
        first, *others = self.runs
        return [
            text.conclusion(first, other, decided, number)
            for number, (other, decided) in enumerate(
                zip(others, self.deciding, strict=True), start=1
            )
        ]

    @property
    def notes(self) -> list[str]:
        """What a reader must know to trust the figures."""
        forced = [
            phrase("These runs did not do the same work: {reason}.", reason=reason)
            for reason in self.forced
        ]
        return [*forced, *text.notes(self.runs, self.figures, self.deciding)]

    def terminal(self) -> str:
        """The comparison in plain text."""
        return text.terminal(
            self.runs, self.differences, self.figures, self.conclusions, self.notes
        )


def compare(paths: Sequence[Path], *, anyway: bool = False) -> Comparison:
    """Reads and compares runs. Raises UsageError for what cannot be compared, LogError."""
    runs = read_runs(paths)
    if not anyway:
        differing.refuse_what_cannot_be_compared(runs)
    figures = measures.figures(runs)
    return Comparison(
        runs=runs,
        forced=list(differing.incomparable(runs)),
        differences=differing.differences(runs),
        figures=figures,
        deciding=[measures.deciding(figures, runs, number) for number in range(1, len(runs))],
    )


def slower_than(comparison: Comparison, limit: float) -> list[str]:
    """A sentence for each run that is slower than the first by more than `limit` (0.02 is 2 %).

    Slower is the whole interval, not the figure alone. Raises UsageError where that cannot be said.
    """
    sentences = []
    first = comparison.runs[0]
    for number, decided in enumerate(comparison.deciding, start=1):
        other = comparison.runs[number]
        by = decided.figure.slower_by(number) if decided.figure else None
        if by is None:
            raise UsageError(
                phrase(
                    "--fail-if-slower: whether {label} ({name}) is slower than {first} cannot be "
                    "said: {because}.",
                    label=other.label,
                    name=other.folder.name,
                    first=first.label,
                    because=decided.because,
                )
            )
        if by[1] > limit:
            sentences.append(
                phrase(
                    "{label} ({name}) is slower than {first} by {percent} at least (95 % "
                    "confidence); allowed are {limit:g} %.",
                    label=other.label, name=other.folder.name, first=first.label,
                    percent=text.percent(by[1]).lstrip("+"), limit=100 * limit,
                )
            )  # fmt: skip
    return sentences


def write(comparison: Comparison, output: Path | None, now: datetime) -> ComparisonFolder:
    """Writes the files into `output`, by default a new folder beside the first run. OSError."""
    if output is None:
        folder = ComparisonFolder.create(comparison.runs[0].folder.path.parent, now)
    else:
        folder = ComparisonFolder.at(output)
    problems = []
    try:
        drawn = plots.draw_all(folder.figures, comparison.runs, comparison.figures)
    except ImportError:
        drawn = {}
        problems.append(phrase("There are no pictures, because matplotlib is not installed."))
    values = {
        "title": _title(comparison),
        "made": f"{now:%Y-%m-%d %H:%M}",
        "conclusions": comparison.conclusions,
        "notes": [*comparison.notes, *problems],
        "runs": text.runs_table(comparison.runs),
        "differences": text.differences_table(comparison.runs, comparison.differences),
        "nothing_differs": text.NOTHING_DIFFERS,
        "figures": text.figures_table(comparison.runs, comparison.figures),
        "strong": text.more_than_chance(comparison.runs, comparison.figures),
    }
    write_json(folder.comparison_json, _record(comparison, now))
    pictures = [
        (name, plots.CAPTIONS[name], str(path.relative_to(folder.path)))
        for name, path in drawn.items()
    ]
    markdown = templates.render("comparison.md.j2", pages.TEMPLATES, pictures=pictures, **values)
    write_text(folder.comparison_md, markdown)
    inlined = [
        (plots.CAPTIONS[name], svg.inline(path.read_text(encoding="utf-8"), name, name))
        for name, path in drawn.items()
    ]
    page = templates.render("comparison.html.j2", pages.TEMPLATES, pictures=inlined, **values)
    write_text(folder.comparison_html, page)
    return folder


def _title(comparison: Comparison) -> str:
    scenarios = dict.fromkeys(run.scenario.label for run in comparison.runs)
    count = formatting.count(len(comparison.runs))
    return phrase(
        "{scenarios}: {count} runs compared",
        scenarios=joined(phrase(" and "), scenarios),
        count=count,
    )


def _record(comparison: Comparison, now: datetime) -> dict[str, Any]:
    """comparison.json. Differences are shares: 0.02 is two percent more than the first run."""
    return {
        "schema_version": SCHEMA_VERSION,
        "made": now.isoformat(timespec="seconds"),
        "runs": [
            {
                "label": run.label,
                "name": run.folder.name,
                "path": str(run.folder.path),
                "scenario": run.scenario.value,
                "tests": len(run.tests),
                "valid": not run.invalid_reasons,
            }
            for run in comparison.runs
        ],
        "not_the_same_work": comparison.forced,
        "differences": [dataclasses.asdict(found) for found in comparison.differences],
        "figures": [_figure(figure) for figure in comparison.figures],
        "conclusions": [
            {
                "run": run.label,
                "decided_by": decided.figure.key if decided.figure else None,
                "sentence": sentence,
            }
            for run, decided, sentence in zip(
                comparison.runs[1:], comparison.deciding, comparison.conclusions, strict=True
            )
        ],
        "notes": comparison.notes,
    }


def _figure(figure: measures.Figure) -> dict[str, Any]:
    return {
        "key": figure.key,
        "name": figure.name,
        "unit": figure.unit,
        "more_is_better": figure.more_is_better,
        "values": list(figure.values),
        "over_repeats": figure.over_repeats,
        "differences": [
            {
                "difference": figure.difference(run),
                "low": interval.low if interval else None,
                "high": interval.high if interval else None,
                "more_than_chance": interval.is_more_than_chance if interval else None,
            }
            for run, interval in enumerate(figure.intervals, start=1)
        ],
    }
