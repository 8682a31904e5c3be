"""Why a performance test is INVALID, on files that real LoadGen wrote."""

from __future__ import annotations

import pytest

from harness.rules.validity import invalid_reasons
from tests.builders import DATA, logged, performance


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        (
            "offline-short",
            [
                "The test lasted 0.0 s; it has to last at least 2.0 s. LoadGen was told to expect "
                "10.0 samples/s and the system did "
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
            "singlestream-short",
            [
                "The test lasted 0.0 s; it has to last at least 2.0 s. LoadGen was told to expect "
                "1,000 ms a query and the system took ",
                "Early stopping: 40 queries are too few to prove a percentile; at least 64 are "
                "needed. Raise --total-sample-count.",
                "LoadGen's count of errors is 1; the first: Ending early: Ran out of generated "
                "queries to issue before the minimum query count and test duration were reached. ",
            ],
        ),
        (
            "offline-one-token",
            [
                "LoadGen's count of errors is 3; the first: Number of tokens need to be greater "
                "than 1 (3 times)."
            ],
        ),
    ],
)
def test_an_invalid_run_says_why_and_what_to_do(name: str, reasons: list[str]) -> None:
    told = invalid_reasons(performance(DATA / name))
    assert len(told) == len(reasons)
    for reason, expected in zip(told, reasons, strict=True):
        assert reason.startswith(expected)


def test_a_server_run_over_its_limit_names_the_latency_the_limit_and_the_rate() -> None:
    folder = DATA / "server-slow"
    p99_ms = logged(folder, "result_first_token_99.00_percentile_latency_ns") / 1e6
    assert invalid_reasons(performance(folder)) == (
        f"The 99th percentile of the time to first token is {p99_ms:.1f} ms; the limit is "
        "5.00 ms. Lower --server-target-qps (this test: 40.0 queries/s).",
    )


def test_a_run_with_loadgen_errors_does_not_count_although_loadgen_says_valid() -> None:
    result = performance(DATA / "offline-one-token")
    assert result.loadgen.valid is True
    assert invalid_reasons(result)


@pytest.mark.parametrize("name", ["offline-valid", "server-valid", "singlestream-valid"])
def test_a_run_that_counts_has_no_reasons(name: str) -> None:
    assert invalid_reasons(performance(DATA / name)) == ()
