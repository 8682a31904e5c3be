"""The times of a sample, worked out from its moments."""

from __future__ import annotations

from harness.metrics import SampleTimes


def test_an_answer_of_one_token_has_no_time_per_further_token() -> None:
    assert SampleTimes(0, 0.0, 1.0, 9.0, 1).tpot_ms is None
    assert SampleTimes(0, 0.0, 1.0, 9.0, 5).tpot_ms == 2000.0
    assert SampleTimes(0, 0.0, None, 9.0, 5).ttft_ms is None
