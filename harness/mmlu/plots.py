"""The figures of an MMLU report. As in `plots`, each is False where there is nothing to draw."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness import formatting
from harness.mmlu.subjects import DOMAINS, in_words
from harness.report.canvas import BLUE, GREEN, INK, ORANGE, PALE, RED, figure_at, legend_above

BAR_IN = 0.19  # 57 bars with names of 9 points beside them
HEADER_AND_AXIS_IN = 1.5
WORDS_AT = 101.0  # percent: beside the axes, where no bar and no line crosses them
CHANCE = 25.0  # percent, of four choices
_COLORS = dict(zip(DOMAINS, (BLUE, ORANGE, GREEN, RED), strict=True))


def score_by_subject(
    path: Path, subjects: Mapping[str, Mapping[str, Any]], *, micro: float, run: str
) -> bool:
    """A bar for each subject, best first, coloured by domain; `micro` is the overall accuracy.

    `subjects` is that of by_subject.json; accuracies are shares from 0 to 1.
    """
    if not subjects:
        return False
    rows = sorted(subjects.items(), key=lambda row: (-row[1]["accuracy"], row[0]))
    height_in = HEADER_AND_AXIS_IN + BAR_IN * max(len(rows), 6)
    with figure_at(path, "MMLU: score by subject", run, height_in, height_in) as figure:
        axes = figure.subplots()
        for domain, color in _COLORS.items():
            bars = [
                (place, 100 * score["accuracy"])
                for place, (_, score) in enumerate(rows)
                if score["domain"] == domain
            ]
            if bars:
                places, values = zip(*bars, strict=True)
                axes.barh(places, values, height=0.72, color=color, label=domain)
        for place, (_, score) in enumerate(rows):
            text = f"{100 * score['accuracy']:.0f} % of {formatting.count(score['total'])}"
            axes.text(WORDS_AT, place, text, va="center", fontsize=8)
        axes.set_yticks(range(len(rows)), [in_words(name) for name, _ in rows], fontsize=9)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        _accuracy_axis(axes, micro)
        legend_above(axes, over_names=True)
    return True


def score_by_domain(
    path: Path, domains: Mapping[str, Mapping[str, Any]], *, micro: float, run: str
) -> bool:
    """A bar for each domain with its standard error; `domains` is that of by_domain.json."""
    if not domains:
        return False
    with figure_at(path, "MMLU: score by domain", run, 3.2) as figure:
        axes = figure.subplots()
        for place, (name, score) in enumerate(domains.items()):
            value, error = 100 * score["accuracy"], 100 * (score["standard_error"] or 0.0)
            axes.barh(
                place,
                value,
                xerr=error or None,
                height=0.62,
                color=_COLORS[name],
                error_kw={"ecolor": INK, "capsize": 3},
            )
            text = f"{value:.1f} % of {formatting.count(score['total'])} questions"
            axes.text(WORDS_AT, place, text, va="center", fontsize=9)
        axes.set_yticks(range(len(domains)), list(domains))
        axes.set_ylim(len(domains) - 0.4, -0.6)
        _accuracy_axis(axes, micro)
        legend_above(axes)
    return True


def _accuracy_axis(axes: Any, micro: float) -> None:
    axes.axvline(
        100 * micro, color=INK, linewidth=1.2, label=f"all questions ({100 * micro:.1f} %)"
    )
    axes.axvline(CHANCE, color=INK, linewidth=1, linestyle=":", label=f"guessing ({CHANCE:g} %)")
    axes.set_xlim(0, 100)
    axes.set_xlabel("% of the questions answered right")
    axes.grid(axis="x", color=PALE)
