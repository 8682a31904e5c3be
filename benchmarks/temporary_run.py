"""A run in a folder that is gone afterwards, for benchmarks that make LoadGen tests themselves."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from harness.loadgen.answering import AnsweringEngine
from harness.measure import preparation
from harness.measure.active import ActiveRun
from harness.measure.preparation import Prepared
from harness.results.folder import RunFolder
from harness.terminal import Terminal


@contextlib.contextmanager
def temporary_run(prepared: Prepared, engine: AnsweringEngine, program: str) -> Iterator[ActiveRun]:
    """A run on an engine that is loaded, for as long as the block lasts."""
    with tempfile.TemporaryDirectory() as results:
        config, started = prepared.config, datetime.now().astimezone()
        folder = RunFolder.create(Path(results), config.category, config.scenario.value, started)
        record = preparation.describe(prepared, [program])
        record.begin(folder, started)
        yield ActiveRun(prepared, folder, record, Terminal(), engine)
