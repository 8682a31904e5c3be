"""How long a test will take, and the LoadGen settings that follow from it. Pure arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass

# LoadGen issues 1.1 x min_duration x target_qps samples in Offline, padded to whole passes of the data set
# (loadgen/test_settings_internal.cc:146-160, loadgen.cc:320-325).
LOADGEN_OFFLINE_MARGIN = 1.1
# How far the true rate may lie above the estimate. A burst of two engine fills came out 7 to 13 % below the
# steady rate on an H200; a whole test of the full data set repeats within a few percent.
BURST_MARGIN = 1.15
FULL_TEST_MARGIN = 1.03


@dataclass(frozen=True)
class TargetRate:
    """The rate given to LoadGen and what it leads to."""

    value: float  # queries per second
    source: str  # where it came from, for people
    samples: int  # LoadGen will issue that many
    expected_duration_s: float


def offline_target(
    samples_per_second: float,
    *,
    sample_count: int,
    min_duration_s: float,
    source: str,
    margin: float,
) -> TargetRate:
    """The smallest number of whole passes that lasts `min_duration_s`, and the rate that asks for it.

    `margin` is how far the true rate may lie above the estimate without the run ending early.
    """
    passes = max(1, math.ceil(samples_per_second * margin * min_duration_s / sample_count))
    samples = passes * sample_count
    value = samples_per_second
    if min_duration_s > 0:
        # Close to the highest rate that gives this many passes; less by a hundredth of one, as LoadGen rounds up.
        value = (samples - sample_count / 100) / (LOADGEN_OFFLINE_MARGIN * min_duration_s)
    return TargetRate(value, source, samples, samples / samples_per_second)
