"""Each figure with its difference, and which of them decides."""

from __future__ import annotations

import pytest

from harness.config import Scenario
from harness.report import comparison_measures as measures
from harness.report.comparison_measures import STEADY, Figure
from harness.report.comparison_runs import ComparedRun
from tests.report.comparisons import (
    compared,
    offline_test,
    other_queries,
    server_test,
    single_stream_test,
)

OFFLINE, SINGLESTREAM = Scenario.OFFLINE, Scenario.SINGLESTREAM


def decided(*runs: ComparedRun) -> tuple[str | None, str]:
    """The key of the figure that decides, and because of what."""
    deciding = measures.deciding(measures.figures(runs), runs, 1)
    return (deciding.figure.key if deciding.figure else None), deciding.because


def slower_by(*runs: ComparedRun) -> tuple[float, float, float]:
    figure = measures.deciding(measures.figures(runs), runs, 1).figure
    assert figure is not None
    by = figure.slower_by(1)
    assert by is not None
    return by


def by_key(*runs: ComparedRun) -> dict[str, Figure]:
    return {figure.key: figure for figure in measures.figures(runs)}


def test_offline_is_decided_by_tokens_per_second_of_the_steady_part() -> None:
    first = compared(offline_test(), scenario=OFFLINE)
    slower = compared(offline_test(seed=1, slower=1.03), scenario=OFFLINE)
    assert decided(first, slower)[0] == STEADY
    estimate, low, high = slower_by(first, slower)
    assert low < 1 - 1 / 1.03 < high and low > 0.02
    assert estimate == pytest.approx(1 - 1 / 1.03, abs=0.005)
    assert slower_by(slower, first)[2] < 0  # and the other way round it is faster


def test_two_offline_tests_of_the_same_thing_differ_by_no_more_than_chance() -> None:
    first = compared(offline_test(), scenario=OFFLINE)
    low, high = slower_by(first, compared(offline_test(seed=1), scenario=OFFLINE))[1:]
    assert low < 0 < high


def test_the_same_work_in_both_makes_the_interval_narrower() -> None:
    # What the queries themselves cost is the same in both, seed 0; seeds of their own would differ.
    first, again = offline_test(noise=0.3), offline_test(noise=0.3, slower=1.001)
    pair = slower_by(*(compared(test, scenario=OFFLINE) for test in (first, again)))
    apart = slower_by(
        compared(first, scenario=OFFLINE), compared(other_queries(again), scenario=OFFLINE)
    )
    assert pair[2] - pair[1] < 1e-6 < apart[2] - apart[1]
    assert pair[1] > 0


def test_the_beginning_and_the_end_of_offline_are_not_steady() -> None:
    test = offline_test(400)
    for fill, steady in ((100, True), (200, False)):
        run = compared(test, scenario=OFFLINE, fill=fill)
        name = by_key(run, run)[STEADY].name
        assert name == ("tokens/s in the steady part" if steady else "tokens/s")


def test_server_at_one_rate_is_decided_by_the_latency() -> None:
    first, slower = compared(server_test()), compared(server_test(seed=1, slower=1.03))
    key, because = decided(first, slower)
    assert key == "latency_p50" and "the same rate to keep up with" in because
    low, high = slower_by(first, slower)[1:]
    assert 0.02 < low < 0.03 < high
    rate = by_key(first, slower)[STEADY].intervals[0]
    assert rate is not None and not rate.is_more_than_chance  # tokens/s follow the rate asked for


def test_server_at_two_rates_is_decided_by_nothing() -> None:
    key, because = decided(compared(server_test()), compared(server_test(), qps=12.0))
    assert key is None
    assert "asked for 10.0 queries/s and 12.0 queries/s" in because
    assert "--server-target-qps" in because


def test_server_that_falls_behind_is_decided_by_tokens_per_second() -> None:
    behind = server_test(wait_s=lambda issued_s: 0.1 * issued_s)
    runs = compared(behind), compared(behind, qps=12.0)  # at any rate
    key, because = decided(*runs)
    assert key == STEADY and "both fell behind" in because
    assert by_key(*runs)["latency_p50"].intervals == (None,)
    assert by_key(*runs)["ttft_p99"].intervals == (None,)


def test_server_whose_queue_never_empties_is_decided_by_the_further_tokens() -> None:
    crowded = compared(server_test(wait_s=lambda s: 5.0 * ((s > 50) & (s < 250))), label="B")
    key, because = decided(compared(server_test(seed=1)), crowded)
    assert key == "tpot_p90" and "the queue of B hardly ever emptied" in because


def test_single_stream_is_decided_by_the_official_figure() -> None:
    first = compared(single_stream_test(), scenario=SINGLESTREAM)
    slower = compared(single_stream_test(seed=1, slower=1.03), scenario=SINGLESTREAM)
    assert decided(first, slower)[0] == "latency_p90"
    assert 0 < slower_by(first, slower)[1] < 0.03
    few = [compared(single_stream_test(90, seed=seed), scenario=SINGLESTREAM) for seed in (0, 1)]
    assert decided(*few)[0] == "latency_p50"  # nine queries beyond p90 are too few


def test_too_few_answers_decide_nothing() -> None:
    runs = [compared(offline_test(20, seed=seed), scenario=OFFLINE) for seed in (0, 1)]
    key, because = decided(*runs)
    assert key is None and "too short" in because and "20 answers" in because


def test_different_scenarios_are_compared_by_no_figure() -> None:
    key, because = decided(compared(server_test()), compared(offline_test(), scenario=OFFLINE))
    assert key is None and "different scenarios" in because


def test_percentiles_need_queries_beyond_them() -> None:
    runs = compared(server_test(500)), compared(server_test(500, seed=1))
    known = {key for key, figure in by_key(*runs).items() if figure.intervals[0] is not None}
    assert {"latency_p50", "latency_p90", "tpot_p90"} <= known
    assert not known & {"latency_p99", "ttft_p99", "tpot_p99"}
    assert by_key(*runs)["latency_p99"].difference(1) is not None  # the figure itself is shown


def test_offline_has_no_latencies_to_compare() -> None:
    runs = [compared(offline_test(seed=seed), scenario=OFFLINE) for seed in (0, 1)]
    assert list(by_key(*runs)) == [STEADY, "tokens_per_second", "samples_per_second", "duration_s"]


def test_repeated_tests_give_the_interval_where_both_runs_have_them() -> None:
    tests = [offline_test(seed=seed) for seed in range(3)]
    slower = [offline_test(seed=10 + seed, slower=1.03) for seed in range(3)]
    repeated = compared(*tests, scenario=OFFLINE), compared(*slower, scenario=OFFLINE)
    figure = by_key(*repeated)[STEADY]
    interval = figure.intervals[0]
    assert figure.over_repeats and interval is not None
    assert interval.low < 1 / 1.03 - 1 < interval.high < 0
    alone = by_key(compared(*tests, scenario=OFFLINE), compared(slower[0], scenario=OFFLINE))
    assert not alone[STEADY].over_repeats


def test_values_are_texts_with_their_units() -> None:
    figures = by_key(compared(server_test()), compared(server_test(seed=1)))
    assert figures["latency_p50"].text(0).endswith(" ms")
    assert figures[STEADY].text(1).endswith(" tokens/s")
    assert figures["duration_s"].text(0) == "5 min 2 s"
