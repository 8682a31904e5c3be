"""Why a performance test is INVALID, on files that real LoadGen wrote."""

from __future__ import annotations

import dataclasses

import pytest

from harness.rules.validity import invalid_reasons
from tests.builders import DATA, logged, performance


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        (
            "offline-short",
            [
                "The test lasted 0.0 s; it has to last at least 2.0 s. LoadGen was configured to "
                "expect 10.0 samples/s and the system did "
            ],
        ),
        (
            "server-few",
            [
                "Early stopping: 20 queries are too few to prove that 99 % stay under the limits; "
                "459, all under them, would. Raise --total-sample-count."
            ],
        ),
        (
            # Its one error, that LoadGen ran out of queries, is what the first reason explains.
            "singlestream-short",
            [
                "The test lasted 0.0 s; it has to last at least 2.0 s. LoadGen was configured to "
                "expect 1,000 ms a query and the system took ",
                "By LoadGen's early stopping, 40 queries prove no percentile. At least 64 are "
                "needed. Raise --total-sample-count.",
            ],
        ),
        (
            "offline-one-token",
            [
                "LoadGen counted 3 errors in the performance test; the first: Number of tokens "
                "need to be greater than 1 (3 times)."
            ],
        ),
    ],
)
def test_an_invalid_run_says_why_and_what_to_do(name: str, reasons: list[str]) -> None:
    given = invalid_reasons(performance(DATA / name))
    assert len(given) == len(reasons)
    for reason, expected in zip(given, reasons, strict=True):
        assert reason.startswith(expected)


def test_a_server_run_over_its_limit_names_the_latency_the_limit_and_the_rate() -> None:
    folder = DATA / "server-slow"
    p99_ms = logged(folder, "result_first_token_99.00_percentile_latency_ns") / 1e6
    assert invalid_reasons(performance(folder)) == (
        f"The slowest 1 % of the queries took {p99_ms:.1f} ms or more for the first "
        "token; Server allows less than 5.00 ms. Lower --server-target-qps (it was 40.0 "
        "queries/s).",
    )


def test_a_run_with_loadgen_errors_does_not_count_although_loadgen_says_valid() -> None:
    result = performance(DATA / "offline-one-token")
    assert result.loadgen.valid is True
    assert invalid_reasons(result)


def test_a_log_without_a_verdict_is_not_called_invalid() -> None:
    result = performance(DATA / "offline-valid")
    without = dataclasses.replace(result.loadgen, valid=None)

    assert invalid_reasons(dataclasses.replace(result, loadgen=without)) == (
        "LoadGen's log does not say whether the test is valid. Run it again.",
    )


@pytest.mark.parametrize("name", ["offline-valid", "server-valid", "singlestream-valid"])
def test_a_run_that_counts_has_no_reasons(name: str) -> None:
    assert invalid_reasons(performance(DATA / name)) == ()
