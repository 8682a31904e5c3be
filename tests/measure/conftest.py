"""What tests of runs share: the handlers of signals as they were, and runs that are prepared."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.config import RunConfig
from harness.measure import interrupts, preparation, runs
from harness.measure.preparation import Prepared


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in interrupts.SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def prepared(tmp_path: Path) -> list[Prepared]:
    config = RunConfig(
        model="demo",
        dataset="sample",
        mode="performance",
        total_sample_count=4,
        results_dir=str(tmp_path / "results"),
        keep_all=False,
    )
    first = preparation.prepare(config, lambda _text: None)
    return [
        preparation.prepare(each, lambda _text: None, like=first)
        for each in runs.configs(first.config)
    ]
