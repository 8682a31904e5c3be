"""What the figure of a rate search shows."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from harness.report import search_plot
from harness.rounds import LatencyLimits
from tests.report.conftest import PROBES, legend

pytestmark = pytest.mark.usefixtures("drawn")
RUN = "20261123-141500-datacenter-server: Server, demo, bf16, 20 samples"
LIMITS = LatencyLimits(ttft_p99_ms=2000.0, tpot_p99_ms=100.0)


def test_rate_search_tells_probes_that_hold_by_their_shape_and_marks_the_rate_found(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    assert search_plot.rate_search(tmp_path / "a.png", PROBES, LIMITS, run=RUN)
    upper, lower = drawn[0].axes
    assert legend(upper) == [
        "holds", "does not hold", "the rate found: 44.7 queries/s", "the limit of p99",
    ]  # fmt: skip
    shapes = [
        (one.get_xdata()[0], one.get_marker())  # type: ignore[index]
        for one in upper.get_lines()
        if one.get_marker() in ("o", "X") and len(one.get_xdata()) == 1  # type: ignore[arg-type]
    ]
    assert shapes == [(40.0, "o"), (50.0, "X"), (44.7, "o"), (62.5, "X")]
    assert [text.get_text().strip() for text in upper.texts] == ["30,000 ms"]
    assert upper.get_ylim()[1] == 3 * 2000
    assert lower.get_ylim()[1] > 100


def test_search_in_which_nothing_held_marks_no_rate(tmp_path: Path, drawn: list[Figure]) -> None:
    search_plot.rate_search(tmp_path / "a.png", [PROBES[1]], LIMITS, run=RUN)
    assert legend(drawn[0].axes[0]) == ["holds", "does not hold", "the limit of p99"]


def test_a_search_that_measured_nothing_is_not_drawn(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    unmeasured = [dataclasses.replace(PROBES[0], ttft_p99_ms=None, tpot_p99_ms=None)]
    assert not search_plot.rate_search(path, unmeasured, LIMITS, run=RUN)
    assert not search_plot.rate_search(path, [], LIMITS, run=RUN)
    assert not path.exists()
