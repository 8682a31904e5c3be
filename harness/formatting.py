"""Numbers with units as text, nowhere else."""

from __future__ import annotations

import math

from harness.language import phrase

NOT_KNOWN = phrase("not known")


def count(value: float | None) -> str:
    """13368 -> '13,368'."""
    return NOT_KNOWN if value is None else f"{value:,.0f}"


def rate(value: float | None, unit: str) -> str:
    """A speed with as many digits as it deserves:
    '7,570 tokens/s', '59.1 samples/s', '0.47 samples/s', '0.0017 samples/s'.
    """
    if value is None:
        return NOT_KNOWN
    if 0 < value < 0.1:  # of two decimals, an engine that takes minutes would have none
        return f"{value:.{1 - math.floor(math.log10(value))}f} {unit}"
    digits = 0 if value >= 1000 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} {unit}"


def milliseconds(value: float | None) -> str:
    """'0.42 ms', '34.1 ms', '2,310 ms'."""
    if value is None:
        return NOT_KNOWN
    digits = 0 if value >= 1000 else 1 if value >= 10 else 2
    return f"{value:,.{digits}f} ms"


def duration(seconds: float | None) -> str:
    """'0.8 s', '42 s', '11 min 8 s', '2 h 5 min'."""
    if seconds is None:
        return NOT_KNOWN
    if seconds < 10:
        return phrase("{seconds:.1f} s", seconds=seconds)
    whole = round(seconds)
    if whole < 60:
        return phrase("{seconds} s", seconds=whole)
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        if rest:
            return phrase("{minutes} min {seconds} s", minutes=minutes, seconds=rest)
        return phrase("{minutes} min", minutes=minutes)
    hours, minutes = divmod(minutes, 60)
    if minutes:
        return phrase("{hours} h {minutes} min", hours=hours, minutes=minutes)
    return phrase("{hours} h", hours=hours)


def percent(fraction: float | None, digits: int = 4) -> str:
    """0.387912 -> '38.7912'."""
    return NOT_KNOWN if fraction is None else f"{100 * fraction:.{digits}f}"


def joules(value: float | None) -> str:
    """'840 J', '312.4 kJ'."""
    if value is None:
        return NOT_KNOWN
    return f"{value:,.0f} J" if value < 10_000 else f"{value / 1000:,.1f} kJ"


def gibibytes(size_bytes: float | None) -> str:
    """Bytes as '23.5 GiB'."""
    return NOT_KNOWN if size_bytes is None else f"{size_bytes / 2**30:.1f} GiB"


def megabytes(size_bytes: float) -> str:
    """Bytes as '0.4 MB', '12 MB', '13,400 MB'."""
    size = size_bytes / 1e6
    return f"{size:.1f} MB" if size < 10 else f"{size:,.0f} MB"
