"""What the figures of latencies show, seen on matplotlib's own objects."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.metrics import LatencyStats, SampleTimes, TimelinePoint
from harness.report import latency_plots
from harness.rounds import V5_1
from tests.builders import steady_samples
from tests.report.conftest import legend

pytestmark = pytest.mark.usefixtures("drawn")
RUN = "20261123-141500-datacenter-server: Server, demo, bf16, 20 samples"
MARKS = LatencyStats(p50_ms=100.0, p90_ms=200.0, p99_ms=400.0)


def test_nothing_is_drawn_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    assert not latency_plots.distribution(
        path, latency_plots.TTFT, [], marks=MARKS, limit_ms=2000, run=RUN
    )
    assert not latency_plots.over_time(path, [], ttft_limit_ms=2000, run=RUN)
    assert not latency_plots.over_time(path, steady_samples(1), ttft_limit_ms=2000, run=RUN)
    assert not latency_plots.queue_depth(path, [], last_issue_s=None, run=RUN)
    empty = [TimelinePoint(1, 0, 0, 0)]
    assert not latency_plots.queue_depth(path, empty, last_issue_s=1, run=RUN)
    assert not path.exists()


def draw(times_ms: Sequence[float], limit_ms: float | None, path: Path) -> None:
    assert latency_plots.distribution(
        path, latency_plots.TTFT, times_ms, marks=MARKS, limit_ms=limit_ms, run=RUN
    )


def test_distribution_shows_the_limit_and_loadgens_percentiles(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    draw([50, 100, 350], 2000, tmp_path / "a.png")
    axes = drawn[0].axes[0]
    assert legend(axes) == [
        "p50: 100.0 ms", "p90: 200.0 ms", "p99: 400.0 ms", "limit of p99: 2,000 ms",
    ]  # fmt: skip
    assert axes.get_xlim()[1] > 2000


def test_a_legend_of_long_times_fits_into_a_small_figure(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    marks = LatencyStats(p50_ms=2212.0, p90_ms=13_830.0, p99_ms=15_477.0)
    latency_plots.distribution(
        tmp_path / "a.svg", latency_plots.TTFT, [900, 9000, 15_000],
        marks=marks, limit_ms=2000, run=RUN,
    )  # fmt: skip
    figure = drawn[0]
    figure.draw_without_rendering()
    (axes,) = figure.axes
    box = axes.get_legend()
    assert box and box.get_window_extent().x1 <= figure.bbox.x1
    assert axes.get_window_extent().width > 0.75 * figure.bbox.width


def test_the_name_of_a_small_axis_is_no_longer_than_the_axis(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    draw([1, 2, 3], 20_000, tmp_path / "a.svg")  # whose legend has four lines
    figure = drawn[0]
    figure.draw_without_rendering()
    (axes,) = figure.axes
    assert axes.yaxis.label.get_window_extent().height <= axes.get_window_extent().height
    assert " ".join(axes.get_ylabel().split()) == "% of the queries with their first token"


def test_limit_that_would_flatten_the_curve_is_named_instead_of_drawn(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    draw([1, 2, 3], 20_000, tmp_path / "a.png")
    axes = drawn[0].axes[0]
    assert legend(axes)[-1] == "limit of p99: 20,000 ms (far to the right)"
    assert axes.get_xlim()[1] < 500


def test_percentile_beyond_the_slowest_sample_is_still_on_the_picture(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    draw([100, 200], None, tmp_path / "a.png")
    assert drawn[0].axes[0].get_xlim()[1] > 400


def test_one_query_that_hung_does_not_flatten_the_curve_but_is_named(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    draw([float(100 + x % 300) for x in range(5000)] + [90_000.0], None, tmp_path / "a.png")
    axes = drawn[0].axes[0]
    assert axes.get_xlim()[1] < 1000
    assert "the slowest, 90,000 ms, is off the picture" in axes.get_xlabel()


def test_latencies_of_40104_samples_end_at_100_percent_and_are_in_seconds(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    rng = random.Random(0)
    times_ms = [rng.uniform(1000, 600_000) for _ in range(40104)]
    latency_plots.distribution(
        tmp_path / "a.png", latency_plots.FINISHED, times_ms, marks=None, limit_ms=None, run=RUN
    )
    axes = drawn[0].axes[0]
    (curve,) = axes.get_lines()
    end: tuple[float, float] = curve.get_path().vertices[-1]  # type: ignore[index, assignment]
    assert tuple(end) == pytest.approx((max(times_ms) / 1000, 100))
    assert axes.get_xlabel().startswith("seconds ")
    assert legend(axes) == []


def line(axes: Axes, label: str) -> list[float]:
    (found,) = [one for one in axes.get_lines() if one.get_label() == label]
    return [float(y) for y in found.get_ydata()]  # type: ignore[union-attr, arg-type]


def test_run_that_falls_behind_rises_across_the_limit_and_a_good_one_is_level_below_it(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    latency_plots.over_time(
        tmp_path / "a.png", steady_samples(1200, ttft_s=0.5), ttft_limit_ms=2000, run=RUN
    )
    behind = steady_samples(1200, drift=0.01)
    latency_plots.over_time(tmp_path / "a.png", behind, ttft_limit_ms=2000, run=RUN)
    good, bad = line(drawn[0].axes[0], "median"), line(drawn[1].axes[0], "median")
    assert max(good) == pytest.approx(min(good))
    assert bad == sorted(bad) and bad[0] < 2000 < bad[-1]
    for figure in drawn:
        assert "limit of p99: 2,000 ms" in legend(figure.axes[0])
        assert figure.axes[0].get_ylim()[1] > 2000


def test_many_queries_are_thinned_and_the_bands_still_count_them_all(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    latency_plots.over_time(tmp_path / "a.png", steady_samples(40_104), ttft_limit_ms=None, run=RUN)
    dots = [one for one in drawn[0].axes[0].get_lines() if one.get_marker() == "."]
    assert 2000 < max(len(one.get_xdata()) for one in dots) <= 5000  # type: ignore[arg-type]
    points = [(float(x), float(x % 100)) for x in range(40_104)]
    _, medians, p99s = latency_plots.bands(points)
    assert len(medians) == latency_plots.MAX_BANDS
    assert medians[0] == pytest.approx(50, abs=4) and p99s[0] == pytest.approx(98, abs=1)


def test_a_query_that_took_far_longer_is_marked_at_the_edge(
    tmp_path: Path, drawn: list[Figure]
) -> None:
    hung = SampleTimes(0, 60.0, 160.0, 161.0, 11)
    latency_plots.over_time(
        tmp_path / "a.png", [*steady_samples(1500), hung], ttft_limit_ms=2000, run=RUN
    )
    axes = drawn[0].axes[0]
    assert "still longer (1)" in legend(axes)
    assert axes.get_ylim()[1] < 3000


def test_slowest_of_twenty_is_on_the_picture(tmp_path: Path, drawn: list[Figure]) -> None:
    draw([100.0] * 19 + [1800.0], None, tmp_path / "a.png")
    axes = drawn[0].axes[0]
    assert axes.get_xlim()[1] > 1800 and "off the picture" not in axes.get_xlabel()


def test_few_queries_get_points_and_no_bands() -> None:
    assert latency_plots.bands([(float(x), 1.0) for x in range(20)]) == ([], [], [])


def test_peak_of_the_queue_survives_the_thinning(tmp_path: Path, drawn: list[Figure]) -> None:
    timeline = [TimelinePoint((x + 1) / 4, 0, 0, 100 + x % 7) for x in range(4000)]
    timeline[1234] = TimelinePoint(308.75, 0, 0, 5000)
    timeline[-1] = TimelinePoint(1000.0, 0, 0, 0)
    moments, depths = latency_plots.thinned_depths(timeline)
    assert len(depths) <= latency_plots.MAX_DEPTHS + 2
    assert (moments[0], depths[0]) == (0, 0)
    assert (308.75, 5000) in zip(moments, depths, strict=True)
    assert (moments[-1], depths[-1]) == (1000, 0)
    latency_plots.queue_depth(tmp_path / "a.png", timeline, last_issue_s=990, run=RUN)
    assert drawn[0].axes[0].get_ylim()[1] > 5000
    assert legend(drawn[0].axes[0]) == ["last query issued: 16 min 30 s"]


@pytest.mark.parametrize("count", [2, 20])
def test_few_samples_can_be_drawn(tmp_path: Path, count: int) -> None:
    path, few = tmp_path / "a.png", steady_samples(count)
    draw([s.latency_ms for s in few], V5_1.server_limits.ttft_p99_ms, path)
    assert latency_plots.over_time(path, few, ttft_limit_ms=2000, run=RUN)
    timeline = [TimelinePoint(0.25, 10, 0, count)]
    assert latency_plots.queue_depth(path, timeline, last_issue_s=0.1, run=RUN)
