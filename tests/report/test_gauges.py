"""How near a run came to each limit."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.config import RunConfig, Scenario
from harness.report.gauges import Gauge, gauges, percent_of_limit
from harness.report.make import make_report
from tests.builders import SAMPLES, rouge
from tests.report.conftest import MakeRun, timed_run

pytestmark = pytest.mark.usefixtures("drawn")


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (0.004, "less than 1 %"),
        (0.794, "79 %"),
        (0.9996, "99.9 %"),
        (1.0, "100.0 %"),
        (1.0001, "100.1 %"),
        (1.5, "150 %"),
        (12.341, "1,235 %"),
    ],
)
def test_a_share_is_never_rounded_across_the_limit(share: float, text: str) -> None:
    assert percent_of_limit(share) == text


def by_name(folder: Path) -> dict[str, Gauge]:
    return {gauge.name: gauge for gauge in gauges(make_report(folder))}


def test_a_server_run_is_held_against_both_latency_limits(tmp_path: Path) -> None:
    record = make_report(timed_run(tmp_path, "server-valid"))
    record["run"]["performance"]["ttft_ms"]["p99"] = 1588.0
    record["run"]["performance"]["tpot_ms"]["p99"] = 100.2
    found = {gauge.name: gauge for gauge in gauges(record)}
    ttft, tpot = found["TTFT p99"], found["TPOT p99"]
    assert (ttft.value, ttft.limit, ttft.sentence) == (
        "1,588 ms",
        "below 2,000 ms",
        "uses 79 % of its limit",
    )
    assert ttft.kept and not tpot.kept
    assert tpot.sentence == "uses 100.2 % of its limit"


def test_a_smoke_run_falls_short_of_the_samples_and_the_duration(make_run: MakeRun) -> None:
    found = by_name(make_run(rouge=rouge(1.0)))
    assert "TTFT p99" not in found  # Offline has no latency limits
    samples = found["samples"]
    assert (samples.value, samples.limit) == (
        str(SAMPLES),
        "at least 13,368 in an official run",
    )
    assert not samples.kept and samples.sentence == "less than 1 % of what is needed"
    assert not found["duration"].kept


def test_rouge_and_the_length_stand_beside_their_gates(make_run: MakeRun) -> None:
    found = by_name(make_run(rouge=rouge(0.95)))
    assert found["rouge1"].limit == "at least 38.39 %"
    assert not found["rouge1"].kept
    assert found["rouge1"].sentence == "95.9 % of its gate"  # 0.95 / 0.99
    assert found["gen_len, the low limit"].kept
    assert "gen_len, the high limit" not in found  # the nearer of the two is shown


def test_answers_longer_than_the_reference_are_held_against_the_high_limit() -> None:
    gate = {"name": "gen_len", "value": 132, "low": 90.0, "high": 110.0, "reference": 100}
    record = {
        "run": {"performance": None, "accuracy": {"gates": [gate]}},
        "verdict": {"rules": []},
    }
    (found,) = gauges(record)
    assert (found.name, found.limit) == ("gen_len, the high limit", "at most 110 characters")
    assert found.at_most and not found.kept and found.sentence == "120 % of this limit"


def test_nothing_measured_has_no_gauge(make_run: MakeRun) -> None:
    assert by_name(make_run(test=None, status="failed", error="killed")) == {}


def test_a_bar_says_on_which_side_of_its_limit_it_has_to_end(tmp_path: Path) -> None:
    found = by_name(timed_run(tmp_path, "server-valid", Scenario.SERVER))
    assert {name for name, gauge in found.items() if gauge.at_most} == {"TTFT p99", "TPOT p99"}


def test_a_bar_has_room_for_what_lies_beyond_the_limit() -> None:
    half = Gauge("a", "1", "at most 2", "", True, 0.5, at_most=True)
    assert (half.filled_percent, half.mark_percent) == (37.5, 75)
    assert Gauge("a", "9", "at most 2", "", False, 4.5, at_most=True).filled_percent == 100


def test_an_interactive_run_has_its_own_limits(tmp_path: Path) -> None:
    found = by_name(timed_run(tmp_path, "server-valid", Scenario.INTERACTIVE))
    assert found["TTFT p99"].limit == "below 500.0 ms"
    assert RunConfig().round.interactive_limits.ttft_p99_ms == 500
