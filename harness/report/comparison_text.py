"""What a comparison says: its sentences, the cells of its tables, the lines on the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from harness import formatting
from harness.language import capitalised, edited, joined, phrase, translated
from harness.report import pages, telemetry
from harness.report.comparison_differences import Difference
from harness.report.comparison_measures import Deciding, Figure
from harness.report.comparison_rates import rate_of_halves
from harness.report.comparison_runs import ComparedRun
from harness.tables import text_lines

_WITHIN = phrase(
    "The intervals (95 %) tell how far chance within one test can move a difference. Runs of the "
    "same thing also differ from start to start, by the clock, the heat and the memory of a "
    "machine, and no single test shows by how much: trust a small difference when it comes again."
)
_OVER_REPEATS = phrase(
    "The intervals (95 %) are over the repeated tests of each run. A run's tests share one loaded "
    "engine and one hour; what differs from start to start they do not show."
)
_SMALL = 0.01  # the clock and the heat of a machine may do as much from start to start
_UNSTEADY = 0.1  # between the halves of what should be steady
NOTHING_DIFFERS = phrase("Nothing differs in the settings, the system and the versions on record.")


def percent(fraction: float, digits: int | None = None) -> str:
    """'+3.1 %', '-0.12 %'; as many digits as a small difference needs."""
    digits = (2 if abs(fraction) < 0.01 else 1) if digits is None else digits
    text = f"{100 * fraction:+,.{digits}f}"
    return f"{text.lstrip('+-') if not float(text.replace(',', '')) else text} %"


def cell(figure: Figure, run: int) -> str:
    """A run's difference to the first with its interval: '-3.1 % (-3.3 to -2.8)'."""
    difference, interval = figure.difference(run), figure.intervals[run - 1]
    if difference is None:
        return ""
    if interval is None:
        return percent(difference)
    digits = 2 if max(abs(interval.low), abs(interval.high)) < 0.01 else 1
    low, high = (percent(end, digits).removesuffix(" %") for end in (interval.low, interval.high))
    return phrase(
        "{difference} ({low} to {high})",
        difference=percent(difference, digits), low=low, high=high,
    )  # fmt: skip


def conclusion(first: ComparedRun, other: ComparedRun, decided: Deciding, run: int) -> str:
    """Whether a run is faster or slower than the first, in a sentence."""
    figure = decided.figure
    interval = figure.intervals[run - 1] if figure else None
    if figure is None or interval is None:
        return phrase(
            "Whether {label} is faster or slower than {first} cannot be said: {because}.",
            label=other.label, first=first.label, because=decided.because,
        )  # fmt: skip
    what = _difference_in_words(first, other, figure, interval.estimate)
    ends = phrase(
        "95 % interval {low} to {high}", low=percent(interval.low), high=percent(interval.high)
    )
    found: dict[str, object] = {"what": what, "ends": ends}
    if not interval.is_more_than_chance:
        return phrase(
            "{what} ({ends}): no more than chance, so neither is shown to be the faster.", **found
        )
    is_slower = (interval.estimate > 0) != figure.more_is_better
    found["verdict"] = (
        phrase("{label} is slower", label=other.label)
        if is_slower
        else phrase("{label} is faster", label=other.label)
    )
    if figure.over_repeats:
        return phrase(
            "{verdict}. {what} ({ends}), which is more than chance between repeated tests.", **found
        )
    if abs(interval.estimate) < _SMALL:
        return phrase(
            "{verdict} in this test. {what} ({ends}), which is more than chance within a test, "
            "but no more than two starts of the same thing may differ by.",
            **found,
        )
    return phrase("{verdict}. {what} ({ends}), which is more than chance within a test.", **found)


def _difference_in_words(
    first: ComparedRun, other: ComparedRun, figure: Figure, estimate: float
) -> str:
    name = figure.name
    if not figure.more_is_better:
        name = phrase("the latency ({name})", name=name)
    values = {
        "name": name,
        "label": other.label,
        "size": percent(abs(estimate)).lstrip("+"),
        "first": first.label,
    }
    return capitalised(
        phrase("{name} of {label} is {size} higher than that of {first}", **values)
        if estimate > 0
        else phrase("{name} of {label} is {size} lower than that of {first}", **values)
    )


def notes(
    runs: Sequence[ComparedRun], figures: Sequence[Figure], decided: Sequence[Deciding]
) -> Iterator[str]:
    """What a reader must know to trust the figures, a sentence or two each."""
    meanings = {d.because: None for d in decided if d.figure and d.because}
    for because in meanings:
        yield phrase("What decides: {because}.", because=because)
    yield _OVER_REPEATS if any(f.over_repeats for f in figures) else _WITHIN
    for run in runs:
        if run.invalid_reasons:
            yield phrase(
                "{label} is INVALID by LoadGen's log: {reason}",
                label=run.label, reason=run.invalid_reasons[0],
            )  # fmt: skip
        if run.scenario.loadgen_name == "Server" and run.test.falls_behind:
            yield phrase(
                "{label} fell behind the rate asked for: its queue grew to the end, and its "
                "latencies with it.",
                label=run.label,
            )
        for doubt in telemetry.doubts(run.telemetry):
            yield joined(": ", (run.label, doubt))
        if (halves := rate_of_halves(run, run.test)) is None:
            continue
        early, late = halves
        if abs(late / early - 1) > _UNSTEADY:
            yield phrase(
                "{label} was not steady: {early} in the first half of its tokens, {late} in the "
                "second. Look at the picture, and at what else the machine did.",
                label=run.label, early=formatting.rate(early, "tokens/s"),
                late=formatting.rate(late, "tokens/s"),
            )  # fmt: skip


def runs_table(runs: Sequence[ComparedRun]) -> list[tuple[str, ...]]:
    """Which folder stands behind each letter, the headings first."""
    headings = phrase("run"), phrase("folder"), phrase("what it is"), phrase("length")
    rows: list[tuple[str, ...]] = [(*headings, "LoadGen")]
    for run in runs:
        flags = run.config["flags"]
        what = f"{run.scenario.label}, {flags['model']}, {flags['precision']}"
        valid = "INVALID" if run.invalid_reasons else "VALID"
        count = phrase("{count} answers", count=formatting.count(len(run.test.tokens)))
        if run.repeats:
            count = phrase("{answers} x {tests} tests", answers=count, tests=len(run.tests))
        rows.append((run.label, run.folder.name, what, count, valid))
    return rows


def figures_table(runs: Sequence[ComparedRun], figures: Sequence[Figure]) -> list[tuple[str, ...]]:
    """Each figure of each run, and each other run's difference to the first."""
    others = runs[1:]
    rows = [("", *(r.label for r in runs), *(_against(r, runs[0]) for r in others))]
    for figure in figures:
        values = (figure.text(number) for number in range(len(runs)))
        cells = (cell(figure, number) for number in range(1, len(runs)))
        rows.append((figure.name, *values, *cells))
    return rows


def _against(run: ComparedRun, first: ComparedRun) -> str:
    return phrase("{label} to {first}", label=run.label, first=first.label)


def more_than_chance(runs: Sequence[ComparedRun], figures: Sequence[Figure]) -> list[list[bool]]:
    """Of each row of the figures' table, which cells hold a difference beyond chance."""
    blank = [False] * (len(runs) + 1)
    return [
        blank + [interval is not None and interval.is_more_than_chance for interval in f.intervals]
        for f in figures
    ]


def differences_table(
    runs: Sequence[ComparedRun], found: Sequence[Difference]
) -> list[tuple[str, ...]]:
    """What differs in settings, system and versions; empty where nothing does."""
    if not found:
        return []
    rows = [("", "", *(run.label for run in runs))]
    groups = [difference.group for difference in found]
    for number, difference in enumerate(found):
        group = difference.group if number == groups.index(difference.group) else ""
        rows.append((group, difference.name, *difference.values))
    return rows


def terminal(
    runs: Sequence[ComparedRun],
    found: Sequence[Difference],
    figures: Sequence[Figure],
    conclusions: Sequence[str],
    remarks: Sequence[str],
) -> str:
    """The comparison in plain text: the tables, then what they say."""
    lines = [*text_lines(runs_table(runs), {3}), ""]
    if found:
        lines += text_lines([tuple(map(_short, row)) for row in differences_table(runs, found)])
    else:
        lines.append(f"  {translated(NOTHING_DIFFERS)}")
    lines += ["", *text_lines(figures_table(runs, figures), set(range(1, 2 * len(runs)))), ""]
    for sentence in (*conclusions, *remarks):
        lines += pages.wrapped(sentence, "  ", "  ")
    return "\n".join(lines)


def _short(text: str, most: int = 40) -> str:
    return edited(text, lambda words: words if len(words) <= most else f"{words[: most - 4]} ...")
