"""How many samples LoadGen will issue, and for how long."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harness.loadgen import planning
from harness.loadgen.planning import Pace


def loadgen_samples(target_qps: float, sample_count: int, min_duration_s: float) -> int:
    """LoadGen's own rule: 1.1 x duration x rate, at least one pass, padded to whole passes."""
    wanted = max(sample_count, 1.1 * min_duration_s * target_qps)
    return math.ceil(wanted / sample_count) * sample_count


def pace(samples_per_second: float, margin: float = 1.0) -> Pace:
    return Pace(samples_per_second, "a test", margin)


def test_an_h200_in_bf16_takes_two_passes_for_600_seconds() -> None:
    target = planning.offline_target(pace(40.0, 1.03), sample_count=13368, min_duration_s=600)

    assert target.samples == 2 * 13368
    assert target.expected_duration_s == 2 * 13368 / 40.0
    assert target.qps is not None
    assert loadgen_samples(target.qps, 13368, 600) == 2 * 13368


def test_a_slow_machine_runs_one_pass() -> None:
    target = planning.offline_target(pace(1.5, 1.15), sample_count=5000, min_duration_s=600)

    assert target.samples == 5000


def test_a_smoke_run_is_given_the_rate_as_it_is() -> None:
    target = planning.offline_target(pace(2.5, 1.15), sample_count=20, min_duration_s=0)

    assert (target.qps, target.samples, target.expected_duration_s) == (2.5, 20, 8.0)


@example(rate=1 / 3, count=20, seconds=600.0, margin=1.1)  # eleven passes, to the last bit
@given(
    rate=st.floats(0.01, 5000),
    count=st.sampled_from([20, 5000, 13368]),
    seconds=st.sampled_from([10.0, 600.0]),
    margin=st.floats(1.0, 1.3),
)
def test_the_test_lasts_long_enough_even_if_the_machine_is_faster_by_the_margin(
    rate: float, count: int, seconds: float, margin: float
) -> None:
    target = planning.offline_target(pace(rate, margin), sample_count=count, min_duration_s=seconds)

    assert target.qps is not None
    assert loadgen_samples(target.qps, count, seconds) == target.samples
    assert target.samples / (rate * margin) >= seconds * 0.999999
    if target.samples > count:  # one pass fewer would have been too short
        assert (target.samples - count) / (rate * margin) < seconds


@pytest.mark.parametrize("rate", [22.0, 44.5, 66.0])
def test_loadgen_is_given_a_rate_that_makes_the_announced_number_of_samples(rate: float) -> None:
    target = planning.offline_target(pace(rate), sample_count=13368, min_duration_s=600)

    printed = float(f"{target.qps:.9g}")  # as it stands in user.conf
    assert loadgen_samples(printed, 13368, 600) == target.samples


def test_singlestream_is_given_a_latency_that_makes_the_announced_number_of_queries() -> None:
    target = planning.single_stream_target(pace(10.0, 1.15), sample_count=5000, min_duration_s=600)

    assert target.samples == 2 * 5000  # 6,900 at the most
    assert target.latency_ms is not None
    queries = 2 * 600 / (target.latency_ms / 1000)  # LoadGen's rule, filled up to a whole pass
    assert 5000 < queries < 10_000


def longer_burst(seen: Pace, *, fill: int = 1008, spent: int = 0) -> int:
    """Of a datacenter run under the official duration, on an H100 in fp8."""
    return planning.samples_of_longer_burst(
        seen, fill=fill, spent=spent, sample_count=13368, min_duration_s=600
    )


def test_three_passes_of_652_seconds_are_planned_where_a_short_burst_leaves_four_open() -> None:
    short = pace(58.7, planning.BURST_MARGIN)  # of an engine that does 61.5 samples/s
    assert planning.passes_that_last(58.7 * 1.15, sample_count=13368, min_duration_s=600) == 4
    samples = longer_burst(short)
    assert samples == 3 * 1008  # 49 s on the engine, where a pass takes 217

    longer = pace(61.5, planning.steady_margin(samples - 2 * 1008))

    assert longer_burst(longer, spent=samples) == 0
    target = planning.offline_target(longer, sample_count=13368, min_duration_s=600)
    assert target.samples == 3 * 13368
    assert target.expected_duration_s == pytest.approx(652, abs=0.5)


def test_the_rate_of_an_earlier_run_decides_at_once() -> None:
    earlier = pace(61.5, planning.FULL_TEST_MARGIN)

    assert longer_burst(earlier) == 0
    target = planning.offline_target(earlier, sample_count=13368, min_duration_s=600)
    assert target.samples == 3 * 13368


@pytest.mark.parametrize("rate", [65.0, 66.0, 66.83])  # 66.84 samples/s fill 600 s in three passes
def test_a_rate_too_near_the_end_of_a_pass_takes_one_pass_more(rate: float) -> None:
    for margin in (planning.BURST_MARGIN, planning.steady_margin(1008), planning.FULL_TEST_MARGIN):
        assert longer_burst(pace(rate, margin)) == 0
        target = planning.offline_target(pace(rate, margin), sample_count=13368, min_duration_s=600)
        assert target.samples == 4 * 13368


def test_a_burst_is_as_long_as_the_next_pass_is_near() -> None:
    # Three passes take 600 s at 66.84 samples/s: 7, 5 and 4 % above these rates.
    lengths = [longer_burst(pace(66.84 / near, 1.15)) for near in (1.07, 1.05, 1.04)]

    steady = [length - 2 * 1008 for length in lengths]
    assert steady == pytest.approx([1008, 2500, 10_000], abs=1)
    assert longer_burst(pace(66.84 / 1.039, 1.15)) == 0  # 14,363 samples, more than a pass has


def test_an_engine_that_takes_more_than_the_data_set_at_once_is_not_measured_for_longer() -> None:
    assert longer_burst(pace(58.7, 1.15), fill=5000) == 0


@given(
    rate=st.floats(0.5, 5000),
    short=st.floats(1.0, planning.BURST_MARGIN),
    long=st.lists(st.floats(-1.0, 1.0), min_size=50, max_size=50),
    count=st.sampled_from([500, 5000, 13368]),
    fill=st.sampled_from([1, 64, 1024]),
)
def test_however_the_estimates_err_within_their_margins_the_test_lasts_600_seconds(
    rate: float, short: float, long: list[float], count: int, fill: int
) -> None:
    seen, spent = pace(rate / short, planning.BURST_MARGIN), 0
    planned = [planning.offline_target(seen, sample_count=count, min_duration_s=600).samples]
    for error in long:
        samples = planning.samples_of_longer_burst(
            seen, fill=fill, spent=spent, sample_count=count, min_duration_s=600
        )
        if not samples:
            break
        spent += samples
        margin = planning.steady_margin(samples - 2 * fill)
        seen = pace(rate / margin**error, margin)
        planned.append(
            planning.offline_target(seen, sample_count=count, min_duration_s=600).samples
        )
        assert spent < max(planned)  # no longer than what it may save
    else:
        raise AssertionError("it measures for ever")

    assert planned[-1] / rate >= 600 * 0.999999


@pytest.mark.parametrize(
    ("qps", "said"),
    [
        (16_600.0, None),
        (100_000.0, "the test would have 60,008,952 queries, and LoadGen, which keeps them all in"),
        (0.023, None),
        (0.02, "the test of 13,368 queries would take 185 h 40 min, and a week is the most"),
    ],
)
def test_a_rate_beyond_reason_is_told_from_a_high_one(qps: float, said: str | None) -> None:
    target = planning.server_target(qps, sample_count=13368, min_duration_s=600, source="a test")

    why = planning.beyond_reason(target)

    assert why is None if said is None else (why or "").startswith(said)
