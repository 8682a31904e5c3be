"""What a report says of latencies, limits and the rate search."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from harness.config import Scenario
from harness.report import latency_text
from harness.report.make import make_report
from harness.report.text import terminal_summary
from tests.builders import text_of
from tests.report.conftest import PROBES, timed_run

pytestmark = pytest.mark.usefixtures("drawn")


def test_ninety_nine_point_99_percent_is_not_rounded_to_all() -> None:
    assert latency_text.share(1.0) == "100 %"
    assert latency_text.share(0.999996) == "99.99 %"


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
    folder = timed_run(tmp_path, test, scenario)
    make_report(folder)
    assert f"Early stopping needs at least {least} queries" in text_of(folder)
    assert "LoadGen's early stopping allows" not in text_of(folder)


@pytest.mark.parametrize(
    ("test", "scenario"),
    [("server-valid", Scenario.SERVER), ("singlestream-valid", Scenario.SINGLESTREAM)],
)
def test_test_with_enough_queries_says_nothing_of_too_few(
    tmp_path: Path, test: str, scenario: Scenario
) -> None:
    folder = timed_run(tmp_path, test, scenario)
    make_report(folder)
    assert "Early stopping needs" not in text_of(folder)


def test_terminal_tells_the_counts_of_a_server_run_only(tmp_path: Path) -> None:
    server = terminal_summary(make_report(timed_run(tmp_path)))
    assert "over the limit: TTFT 0, TPOT 0 of 500 queries, 0 allowed" in server
    folder = timed_run(tmp_path, "singlestream-valid", Scenario.SINGLESTREAM)
    assert "over the limit" not in terminal_summary(make_report(folder))


def test_every_probe_is_a_row_of_the_report_and_in_summary_json(tmp_path: Path) -> None:
    folder = timed_run(tmp_path, probes=PROBES)
    record = make_report(folder)
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
    folder = timed_run(tmp_path, probes=[PROBES[1], PROBES[3]], status="failed")
    record = make_report(folder)
    assert "None of 2 probes held." in text_of(folder)
    assert record["plots"]["rate_search"]


def test_run_without_a_search_has_no_word_of_one(tmp_path: Path) -> None:
    folder = timed_run(tmp_path)
    assert make_report(folder)["plots"]["rate_search"] is None
    assert "search for the rate" not in text_of(folder)
