"""What a GPU can do, measured in a process of its own."""

from __future__ import annotations

import logging
import time

import pytest
import torch

from harness.machine import ceilings


def test_where_nothing_can_be_measured_that_is_a_line_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        assert ceilings.measure("no such format") is None
    assert "could not be measured" in caplog.text


def test_a_rate_counts_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ceilings, "SECONDS", 0.2)
    done: list[float] = []

    def work() -> None:
        time.sleep(0.001)
        done.append(1)

    rate = ceilings._rate(work, lambda: None)
    assert 100 < rate < 1000  # a sleep takes a little longer than it is asked to
    assert len(done) >= 10 + 0.2 * rate * 0.9


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs an NVIDIA GPU")
@pytest.mark.parametrize("precision", ["bf16", "fp8"])
def test_a_gpu_has_its_ceilings(precision: str) -> None:
    found = ceilings.measure(precision)
    assert found is not None
    assert 10 < found.tflop_per_s < 10_000 and 0.1 < found.terabytes_per_s < 10
