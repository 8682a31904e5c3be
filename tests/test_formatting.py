"""Numbers with their units."""

from __future__ import annotations

import pytest

from harness import formatting


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7569.6, "7,570 samples/s"),
        (59.12, "59.1 samples/s"),
        (0.474, "0.47 samples/s"),
        (0.1, "0.10 samples/s"),
        (0.0649, "0.065 samples/s"),  # one in 15 s
        (1 / 600, "0.0017 samples/s"),  # one in ten minutes
        (0.05, "0.050 samples/s"),
        (0.00005, "0.000050 samples/s"),
        (0.0, "0.00 samples/s"),
        (None, "not known"),
    ],
)
def test_a_rate_has_two_digits_however_slow_it_is(value: float | None, text: str) -> None:
    assert formatting.rate(value, "samples/s") == text
