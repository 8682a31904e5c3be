"""What a report says of latencies, limits and the rate search, and what their figures show."""

from __future__ import annotations

import dataclasses
import json
import random
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import report
from harness import limits as latency
from harness.config import RunConfig, Scenario
from harness.loadgen import rate_search
from harness.metrics import LatencyStats, SampleTimes, TimelinePoint
from harness.report import latency_plots, latency_text, search_plot
from harness.report.text import terminal_summary
from harness.rounds import V5_1, LatencyLimits
from tests.report.test_report import DATA, config_json, text_of, write_timeline

RUN = "20261123-141500-datacenter-server: Server, demo, bf16, 20 samples"
MARKS = LatencyStats(p50_ms=100.0, p90_ms=200.0, p99_ms=400.0)
LIMITS = LatencyLimits(ttft_p99_ms=2000.0, tpot_p99_ms=100.0)
PROBES = [
    rate_search.Probe(40.0, True, "both limits kept", 2400, 60.0, 300.0, 62.5),
    rate_search.Probe(50.0, False, "it falls | behind", 3000, 60.0, 1500.0, 90.0),
    rate_search.Probe(44.7, True, "both limits kept", 2680, 60.0, 640.0, 71.0),
    rate_search.Probe(62.5, False, "queries waited", 90, 3.0, 30000.0, None),
]


@pytest.fixture(autouse=True)
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures a test draws, kept instead of rendered."""
    figures: list[Figure] = []

    def keep(figure: Figure, path: Path, **_options: object) -> None:
        path.touch()
        figures.append(figure)

    monkeypatch.setattr(Figure, "savefig", keep)
    return figures


def make_run(
    root: Path,
    test: str = "server-valid",
    scenario: Scenario = Scenario.SERVER,
    *,
    probes: Sequence[rate_search.Probe] = (),
    status: str = "finished",
) -> Path:
    """A run folder with LoadGen's own logs of a test."""
    category = "edge" if scenario is Scenario.SINGLESTREAM else "datacenter"
    settings = RunConfig(
        scenario=scenario, category=category, mode="performance", total_sample_count=20
    )
    folder = root / f"20261123-141500-{category}-{scenario.value}"
    folder.mkdir()
    if status == "finished":
        shutil.copytree(DATA / test / "Performance", folder / "Performance")
        shutil.copy(DATA / test / "samples.csv", folder)
        write_timeline(folder)
    record = config_json(settings, status=status)
    if probes:
        record["resolved"]["probes"] = [dataclasses.asdict(probe) for probe in probes]
    (folder / "config.json").write_text(json.dumps(record))
    return folder


def samples(
    count: int, *, ttft_s: float = 0.1, tpot_s: float = 0.01, drift: float = 0.0
) -> list[SampleTimes]:
    """Two queries a second; each waits `drift` longer for every second that has passed."""
    found = []
    for index in range(count):
        issued = index / 2
        first = issued + ttft_s + drift * issued
        found.append(SampleTimes(index, issued, first, first + 10 * tpot_s, 11))
    return found


def legend(axes: Axes) -> list[str]:
    box = axes.get_legend()
    return [text.get_text() for text in box.get_texts()] if box else []


# Counting


def test_a_query_is_counted_over_each_limit_it_misses_and_met_both_only_if_neither() -> None:
    late = samples(3, ttft_s=2.5)
    slow = samples(4, tpot_s=0.2)
    both = samples(5, ttft_s=2.5, tpot_s=0.2)
    counts = latency.count_over_limits([*late, *slow, *both, *samples(8)], LIMITS)
    assert counts is not None
    assert (counts.ttft_over, counts.tpot_over, counts.met_both) == (3 + 5, 4 + 5, 8)
    assert counts.goodput_share == 8 / 20


def test_a_query_exactly_at_the_limit_is_not_over_it() -> None:
    at_the_limit = SampleTimes(0, 0.0, 2.0, 3.0, 11)
    counts = latency.count_over_limits([at_the_limit], LIMITS)
    assert counts == latency.LimitCounts(1, ttft_over=0, tpot_over=0, met_both=1)


def test_the_allowance_is_that_of_early_stopping_and_unknown_below_459_queries() -> None:
    def allowed(queries: int) -> int | None:
        return latency.LimitCounts(queries, 0, 0, queries).allowed

    assert [allowed(n) for n in (458, 459, 13368, 26736, 40104)] == [None, 0, 107, 229, 354]


def test_an_answer_of_one_token_has_no_time_per_further_token() -> None:
    assert SampleTimes(0, 0.0, 1.0, 9.0, 1).tpot_ms is None
    assert SampleTimes(0, 0.0, 1.0, 9.0, 5).tpot_ms == 2000.0
    assert SampleTimes(0, 0.0, None, 9.0, 5).ttft_ms is None


def test_ninety_nine_point_99_percent_is_not_rounded_to_all() -> None:
    assert latency_text.share(1.0) == "100 %"
    assert latency_text.share(0.999996) == "99.99 %"


# summary.json


def test_server_summary_counts_queries_over_the_limits_and_goodput(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    rows = (folder / "samples.csv").read_text().splitlines()
    index, issued, _, completed, tokens = rows[7].split(",")
    # Three seconds of waiting; tokens and samples stay what LoadGen counted.
    late = [index, str(float(issued) - 3), completed, completed, tokens]
    (folder / "samples.csv").write_text("\n".join([*rows[:7], ",".join(late), *rows[8:]]) + "\n")
    performance = report.make_report(folder)["run"]["performance"]
    assert performance["over_limit"] == {"ttft": 1, "tpot": 0, "allowed": 0}
    assert performance["goodput"]["share"] == 499 / 500
    assert performance["goodput"]["queries_per_sec"] == pytest.approx(
        performance["samples_per_sec"] * 499 / 500
    )
    assert performance["probes"] == []


def test_goodput_of_a_test_within_its_limits_is_loadgens_rate(tmp_path: Path) -> None:
    performance = report.make_report(make_run(tmp_path))["run"]["performance"]
    assert performance["goodput"] == {"share": 1.0, "queries_per_sec": performance["achieved_qps"]}


def test_scenarios_without_limits_have_no_goodput(tmp_path: Path) -> None:
    folder = make_run(tmp_path, "singlestream-valid", Scenario.SINGLESTREAM)
    performance = report.make_report(folder)["run"]["performance"]
    assert (performance["over_limit"], performance["goodput"]) == (None, None)
    assert performance["limits_ms"] is None


@pytest.mark.parametrize(
    ("test", "scenario"),
    [
        ("server-valid", Scenario.SERVER),
        ("server-few", Scenario.INTERACTIVE),
        ("singlestream-valid", Scenario.SINGLESTREAM),
    ],
)
def test_every_percentile_is_the_one_loadgen_printed(
    tmp_path: Path, test: str, scenario: Scenario
) -> None:
    performance = report.make_report(make_run(tmp_path, test, scenario))["run"]["performance"]
    text = (DATA / test / "Performance" / "mlperf_log_summary.txt").read_text()
    printed = {
        " ".join(name.lower().split()): float(value)
        for name, value in re.findall(r"^([^:\n]+\(ns\))\s*: ([\d.]+)$", text, re.MULTILINE)
    }
    keys = {"p50": "50.00", "p90": "90.00", "p95": "95.00", "p99": "99.00", "p999": "99.90"}
    names = {
        "latency_ms": ("latency", "latency"),
        "ttft_ms": ("first token latency", "first token latency"),
        "tpot_ms": ("time per output token", "time to output token"),
    }
    for table, (mean, percentile) in names.items():
        assert performance[table]["mean"] == printed[f"mean {mean} (ns)"] / 1e6
        for key, number in keys.items():
            expected = printed[f"{number} percentile {percentile} (ns)"] / 1e6
            assert performance[table][key] == expected, (table, key)


def test_headline_of_single_stream_is_loadgens_p90_latency_not_its_early_stopping_estimate(
    tmp_path: Path,
) -> None:
    folder = make_run(tmp_path, "singlestream-valid", Scenario.SINGLESTREAM)
    headline = report.make_report(folder)["headline"]
    log = (folder / "Performance" / "mlperf_log_detail.txt").read_text()
    found = re.search(r'"result_90.00_percentile_latency_ns", "value": (\d+)', log)
    other = re.search(r'"early_stopping_latency_ss", "value": (\d+)', log)
    assert found and other and found[1] != other[1]
    assert headline["value"] == int(found[1]) / 1e6
    assert headline["text"] == "p90 latency 2.29 ms"


# report.md


def limit_text(**changes: Any) -> str:
    performance = {
        "sample_count": 13368,
        "early_stopping_min_queries": 459,
        "over_limit": {"ttft": 120, "tpot": 3, "allowed": 107},
        "goodput": {"share": 0.99, "queries_per_sec": 21.75},
    }
    return "\n".join(latency_text.sentences(performance | changes))


def test_report_holds_the_counts_against_the_allowance() -> None:
    text = limit_text()
    assert "Of 13,368 queries **120 were over the TTFT limit and 3 over the TPOT limit**" in text
    assert "early stopping allows 107 of 13,368 for each" in text
    assert "Goodput: 99.00 % of the queries met both limits, that is 21.8 queries/s." in text
    assert "459" not in text


@pytest.mark.parametrize(
    ("test", "scenario", "least"),
    [
        ("server-few", Scenario.SERVER, 459),
        ("server-few", Scenario.INTERACTIVE, 459),
        ("singlestream-short", Scenario.SINGLESTREAM, 64),
    ],
)
def test_smoke_run_says_how_many_queries_early_stopping_needs(
    tmp_path: Path, test: str, scenario: Scenario, least: int
) -> None:
    folder = make_run(tmp_path, test, scenario)
    report.make_report(folder)
    assert f"Early stopping needs at least {least} queries" in text_of(folder)
    assert "LoadGen's early stopping allows" not in text_of(folder)


@pytest.mark.parametrize(
    ("test", "scenario"),
    [("server-valid", Scenario.SERVER), ("singlestream-valid", Scenario.SINGLESTREAM)],
)
def test_test_with_enough_queries_says_nothing_of_too_few(
    tmp_path: Path, test: str, scenario: Scenario
) -> None:
    folder = make_run(tmp_path, test, scenario)
    report.make_report(folder)
    assert "Early stopping needs" not in text_of(folder)


def test_terminal_tells_the_counts_of_a_server_run_only(tmp_path: Path) -> None:
    server = terminal_summary(report.make_report(make_run(tmp_path)))
    assert "over the limit: TTFT 0, TPOT 0 of 500 queries, 0 allowed" in server
    folder = make_run(tmp_path, "singlestream-valid", Scenario.SINGLESTREAM)
    assert "over the limit" not in terminal_summary(report.make_report(folder))


def test_every_probe_is_a_row_of_the_report_and_in_summary_json(tmp_path: Path) -> None:
    folder = make_run(tmp_path, probes=PROBES)
    record = report.make_report(folder)
    assert record["run"]["performance"]["probes"] == [dataclasses.asdict(p) for p in PROBES]
    assert record["plots"]["rate_search"] == "plots/rate_search.png"
    text = text_of(folder)
    assert (
        "The highest rate that held in 4 probes: 44.7 queries/s. "
        "The whole test ran at 1,000 queries/s.\n"
    ) in text
    assert (
        "| 44.7 | yes | both limits kept | 2,680 | 1 min | 640.0 ms | 71.0 ms |\n"
        "| 62.5 | no | queries waited | 90 | 3.0 s | 30,000 ms | not known |\n"
    ) in text
    assert "it falls \\| behind" in text


def test_rate_of_the_whole_test_is_named_only_where_it_is_not_the_one_found() -> None:
    probes = [dataclasses.asdict(probe) for probe in PROBES]
    assert latency_text.search_result(probes, 44.7001).endswith("4 probes: 44.7 queries/s.")
    assert latency_text.search_result(probes, 43.8).endswith(
        "The whole test ran at 43.8 queries/s."
    )


def test_run_that_failed_in_its_search_still_shows_the_probes(tmp_path: Path) -> None:
    folder = make_run(tmp_path, probes=[PROBES[1], PROBES[3]], status="failed")
    record = report.make_report(folder)
    assert "None of 2 probes held." in text_of(folder)
    assert record["plots"]["rate_search"]


def test_run_without_a_search_has_no_word_of_one(tmp_path: Path) -> None:
    folder = make_run(tmp_path)
    assert report.make_report(folder)["plots"]["rate_search"] is None
    assert "search for the rate" not in text_of(folder)


@pytest.mark.parametrize(
    ("test", "scenario", "absent"),
    [
        ("server-valid", Scenario.SERVER, set[str]()),
        ("server-few", Scenario.INTERACTIVE, set[str]()),
        ("singlestream-valid", Scenario.SINGLESTREAM, {"queue_depth"}),
    ],
)
def test_each_latency_figure_stands_in_the_report_with_a_sentence(
    tmp_path: Path, test: str, scenario: Scenario, absent: set[str]
) -> None:
    folder = make_run(tmp_path, test, scenario)
    plots = report.make_report(folder)["plots"]
    expected = {"latency_cdf", "ttft_cdf", "tpot_cdf", "latency_over_time", "queue_depth"}
    assert {name for name in expected if plots[name] is None} == absent
    for name in expected - absent:
        sentence = rf"\n[A-Z][^\n]+\.\n\n!\[{name}\]\(plots/{name}\.png\)\n"
        assert re.search(sentence, text_of(folder)), name


# Figures


def test_nothing_is_drawn_of_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    assert not latency_plots.distribution(
        path, latency_plots.TTFT, [], marks=MARKS, limit_ms=2000, run=RUN
    )
    assert not latency_plots.over_time(path, [], ttft_limit_ms=2000, run=RUN)
    assert not latency_plots.over_time(path, samples(1), ttft_limit_ms=2000, run=RUN)
    assert not latency_plots.queue_depth(path, [], last_issue_s=None, run=RUN)
    empty = [TimelinePoint(1, 0, 0, 0)]
    assert not latency_plots.queue_depth(path, empty, last_issue_s=1, run=RUN)
    unmeasured = [dataclasses.replace(PROBES[0], ttft_p99_ms=None, tpot_p99_ms=None)]
    assert not search_plot.rate_search(path, unmeasured, LIMITS, run=RUN)
    assert not search_plot.rate_search(path, [], LIMITS, run=RUN)
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
        tmp_path / "a.png", samples(1200, ttft_s=0.5), ttft_limit_ms=2000, run=RUN
    )
    behind = samples(1200, drift=0.01)
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
    latency_plots.over_time(tmp_path / "a.png", samples(40_104), ttft_limit_ms=None, run=RUN)
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
    latency_plots.over_time(tmp_path / "a.png", [*samples(1500), hung], ttft_limit_ms=2000, run=RUN)
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


@pytest.mark.parametrize("count", [2, 20])
def test_few_samples_can_be_drawn(tmp_path: Path, count: int) -> None:
    path, few = tmp_path / "a.png", samples(count)
    draw([s.latency_ms for s in few], V5_1.server_limits.ttft_p99_ms, path)
    assert latency_plots.over_time(path, few, ttft_limit_ms=2000, run=RUN)
    timeline = [TimelinePoint(0.25, 10, 0, count)]
    assert latency_plots.queue_depth(path, timeline, last_issue_s=0.1, run=RUN)
