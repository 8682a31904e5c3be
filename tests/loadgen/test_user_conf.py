"""What LoadGen is given beyond the values built into it."""

from __future__ import annotations

import re

import pytest

from harness.config import RunConfig
from harness.loadgen import planning
from harness.loadgen.user_conf import user_conf_text


@pytest.mark.parametrize(
    ("samples", "seconds", "expected"),
    [
        (
            20,
            0.0,
            {"target_qps", "performance_sample_count_override", "min_query_count", "min_duration"},
        ),
        (13368, 600.0, {"target_qps"}),
        (13368, 60.0, {"target_qps", "min_duration"}),
    ],
)
def test_user_conf_changes_sample_count_and_duration_and_nothing_else(
    samples: int, seconds: float, expected: set[str]
) -> None:
    text = user_conf_text(
        RunConfig(),
        sample_count=samples,
        min_duration_s=seconds,
        target=planning.Target("a test", samples, 1, qps=3.0),
    )

    assert set(re.findall(r"^\*\.Offline\.(\w+) =", text, re.MULTILINE)) == expected
