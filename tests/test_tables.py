"""Tables of plain text."""

from __future__ import annotations

import pytest

from harness import tables


def test_columns_are_as_wide_as_their_widest_cell_and_no_line_ends_in_spaces() -> None:
    rows = [
        ("scenario", "result", "run folder"),
        ("offline", "7,402 tokens/s", "results/1"),
        ("server", "-", ""),
    ]

    assert tables.text_lines(rows, right_aligned=(1,)) == [
        "  scenario          result  run folder",
        "  offline   7,402 tokens/s  results/1",
        "  server                 -",
    ]


def test_long_cells_stay_on_one_line_and_nothing_in_them_is_markup(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "20")
    monkeypatch.setenv("FORCE_COLOR", "1")
    cell = "[bold]max_num_seqs[/bold]=1 :smile: " * 20

    assert tables.text_lines([(cell, "1")]) == [f"  {cell}  1"]
