"""samples.csv, timeline.csv and telemetry.csv: how a test went, written and read."""

from __future__ import annotations

import csv
import dataclasses
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import LogError
from harness.logs.text import read_text
from harness.metrics import SampleTimes, TelemetryPoint, TimelinePoint
from harness.results.files import errors_name
from harness.shapes import COUNT, NUMBER, shown

SAMPLES_HEADER = ("sample_index", "issued_s", "first_token_s", "completed_s", "tokens")
TIMELINE_HEADER = ("time_s", "tokens", "samples_done", "outstanding")
TELEMETRY_HEADER = tuple(field.name for field in dataclasses.fields(TelemetryPoint))
# Folders of the first weeks with telemetry have it without the columns that come after this one.
_FIRST_COLUMNS = TELEMETRY_HEADER.index("kv_cache_percent") + 1
_WORDS = {field.name for field in dataclasses.fields(TelemetryPoint) if "str" in str(field.type)}
_COUNTS = {field.name for field in dataclasses.fields(TelemetryPoint) if "int" in str(field.type)}
_T = TypeVar("_T")


def write_samples(path: Path, samples: Iterable[SampleTimes]) -> None:
    """One row for each answered sample, to the microsecond."""
    rows = (
        (
            sample.sample_index,
            f"{sample.issued_s:.6f}",
            "" if sample.first_token_s is None else f"{sample.first_token_s:.6f}",
            f"{sample.completed_s:.6f}",
            sample.tokens,
        )
        for sample in samples
    )
    _write(path, SAMPLES_HEADER, rows)


def read_samples(path: Path) -> list[SampleTimes]:
    """When each sample was issued and answered. Raises LogError."""

    def sample(row: list[str]) -> SampleTimes:
        index, issued_s, first_token_s, completed_s, tokens = row
        first = _number(first_token_s) if first_token_s else None
        return SampleTimes(
            _count(index), _number(issued_s), first, _number(completed_s), _count(tokens)
        )

    return _read(path, SAMPLES_HEADER, sample)


def write_timeline(path: Path, points: Iterable[TimelinePoint]) -> None:
    """One row for each point: seconds since the first query, and what had happened by then."""
    rows = (
        (f"{point.time_s:.3f}", point.tokens, point.samples_done, point.outstanding)
        for point in points
    )
    _write(path, TIMELINE_HEADER, rows)


def read_timeline(path: Path) -> list[TimelinePoint]:
    """The engine's state over the test. Raises LogError."""

    def point(row: list[str]) -> TimelinePoint:
        time_s, tokens, samples_done, outstanding = row
        counts = map(_count, (tokens, samples_done, outstanding))
        return TimelinePoint(_number(time_s), *counts)

    return _read(path, TIMELINE_HEADER, point)


def write_telemetry(path: Path, points: Iterable[TelemetryPoint]) -> None:
    """One row for each second; what could not be seen is an empty cell."""
    rows = (tuple(map(_cell, dataclasses.astuple(point))) for point in points)
    _write(path, TELEMETRY_HEADER, rows)


def read_telemetry(path: Path) -> list[TelemetryPoint]:
    """What the machine did, second by second. Raises LogError."""
    first_line = read_text(path).partition("\n")[0].rstrip("\r")
    earlier = TELEMETRY_HEADER[:_FIRST_COLUMNS]
    header = earlier if first_line == ",".join(earlier) else TELEMETRY_HEADER

    def point(row: list[str]) -> TelemetryPoint:
        cells = zip(header, row, strict=True)
        return TelemetryPoint(**{name: _value(name, cell) for name, cell in cells})

    return _read(path, header, point)


def _cell(value: object) -> object:
    return "" if value is None else f"{value:.6g}" if isinstance(value, float) else value


def _value(name: str, cell: str) -> Any:
    if name in _WORDS or not cell:
        return cell or None
    value = int(cell) if name in _COUNTS else float(cell)
    if not math.isfinite(value):
        raise ValueError(cell)
    return value


def _write(path: Path, header: tuple[str, ...], rows: Iterable[tuple[object, ...]]) -> None:
    with errors_name(path), path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _read(path: Path, header: tuple[str, ...], record: Callable[[list[str]], _T]) -> list[_T]:
    lines = read_text(path).splitlines()
    if lines[:1] != [",".join(header)]:
        head = ",".join(header)
        raise LogError(
            f"{path} does not begin with the line {head}; delete the file, and the report goes "
            "without."
        )
    records = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            records.append(record(line.split(",")))
        except ValueError:
            raise LogError(
                f"{path}, line {number}: {shown(line)} is damaged; delete the file, and the report "
                "goes without."
            ) from None
    return records


def _number(text: str) -> float:
    """A number that a test can have measured. Raises ValueError."""
    number = float(text)
    if not NUMBER.holds(number):
        raise ValueError(text)
    return number


def _count(text: str) -> int:
    count = int(text)
    if not COUNT.holds(count):
        raise ValueError(text)
    return count
