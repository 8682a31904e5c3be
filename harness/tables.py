"""Tables as lines of plain text, for a terminal and a pipe alike."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence

from harness.language import translated

_GAP = 2  # columns of space before each column of the table
# No line is broken: a terminal wraps what is too long for it, and a pipe has no width.
_WIDEST_LINE = 100_000


def text_lines(rows: Sequence[Sequence[str]], right_aligned: Collection[int] = ()) -> list[str]:
    """Rows of as many cells each, the first one the headings; numbers of the columns to align."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, show_header=False, padding=(0, 0, 0, _GAP))
    for column in range(len(rows[0])):
        table.add_column(justify="right" if column in right_aligned else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(translated(cell)) for cell in row))
    text = io.StringIO()
    Console(file=text, width=_WIDEST_LINE, force_terminal=False, color_system=None).print(table)
    return [line.rstrip() for line in text.getvalue().splitlines()]
