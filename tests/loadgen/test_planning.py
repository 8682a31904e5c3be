"""How many samples LoadGen will issue, and for how long."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.loadgen import planning


def loadgen_samples(target_qps: float, sample_count: int, min_duration_s: float) -> int:
    """LoadGen's own rule: 1.1 x duration x rate, at least one pass, padded to whole passes."""
    wanted = max(sample_count, 1.1 * min_duration_s * target_qps)
    return math.ceil(wanted / sample_count) * sample_count


def test_an_h200_in_bf16_takes_two_passes_for_600_seconds() -> None:
    target = planning.offline_target(
        40.0, sample_count=13368, min_duration_s=600, source="a test", margin=1.03
    )

    assert target.samples == 2 * 13368
    assert target.expected_duration_s == 2 * 13368 / 40.0
    assert target.qps is not None
    assert loadgen_samples(target.qps, 13368, 600) == 2 * 13368


def test_a_slow_machine_runs_one_pass() -> None:
    target = planning.offline_target(
        1.5, sample_count=5000, min_duration_s=600, source="a test", margin=1.15
    )

    assert target.samples == 5000


def test_a_smoke_run_is_told_the_rate_as_it_is() -> None:
    target = planning.offline_target(
        2.5, sample_count=20, min_duration_s=0, source="a test", margin=1.15
    )

    assert (target.qps, target.samples, target.expected_duration_s) == (2.5, 20, 8.0)


@given(
    rate=st.floats(0.01, 5000),
    count=st.sampled_from([20, 5000, 13368]),
    seconds=st.sampled_from([10.0, 600.0]),
    margin=st.floats(1.0, 1.3),
)
def test_the_test_lasts_long_enough_even_if_the_machine_is_faster_by_the_margin(
    rate: float, count: int, seconds: float, margin: float
) -> None:
    target = planning.offline_target(
        rate, sample_count=count, min_duration_s=seconds, source="a test", margin=margin
    )

    assert target.qps is not None
    assert loadgen_samples(target.qps, count, seconds) == target.samples
    assert target.samples / (rate * margin) >= seconds * 0.999999
    if target.samples > count:  # one pass fewer would have been too short
        assert (target.samples - count) / (rate * margin) < seconds


@pytest.mark.parametrize("rate", [22.0, 44.5, 66.0])
def test_loadgen_is_told_a_rate_that_gives_the_announced_number_of_samples(rate: float) -> None:
    target = planning.offline_target(
        rate, sample_count=13368, min_duration_s=600, source="a test", margin=1.0
    )

    printed = float(f"{target.qps:.9g}")  # as it stands in user.conf
    assert loadgen_samples(printed, 13368, 600) == target.samples
