"""A run at work: its inputs, its folder and record, the engine that answers, and what is known of
its speed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import AsyncIterator
from pathlib import Path

from harness import formatting
from harness.config import RunConfig, Scenario
from harness.engine import loading
from harness.engine.causes import EngineLog
from harness.language import joined
from harness.loadgen.answering import AnsweringEngine, Progress
from harness.loadgen.planning import Pace
from harness.measure import last_offline
from harness.measure.last_offline import OfflineRate
from harness.measure.preparation import Prepared
from harness.measure.record import RunRecord
from harness.measure.targets import ServerRate
from harness.results.folder import RunFolder
from harness.terminal import Stopwatch, Terminal, progress_line


@dataclasses.dataclass
class ActiveRun:
    """The state that the tests of one run share; `pace` and `server_rate` grow more exact."""

    prepared: Prepared
    folder: RunFolder
    record: RunRecord
    terminal: Terminal
    engine: AnsweringEngine
    engine_log: EngineLog | None = None  # None: an engine that says nothing
    pace: Pace | None = None  # as last seen on this engine
    server_rate: ServerRate | None = None  # of Server and Interactive, once it is known

    @property
    def config(self) -> RunConfig:
        """The flags of the run."""
        return self.prepared.config

    @property
    def is_server(self) -> bool:
        """Whether queries arrive at a rate: Server, and Interactive under tighter limits."""
        return self.config.scenario in (Scenario.SERVER, Scenario.INTERACTIVE)

    @functools.cached_property
    def prompts(self) -> list[list[int]]:
        """The token ids of every sample, in the order of the data set."""
        return [sample.token_ids for sample in self.prepared.dataset.samples]

    @property
    def max_num_seqs(self) -> int:
        """Sequences that all copies of the model work on at once."""
        of_a_copy = int(self.prepared.plan.settings["max_num_seqs"])
        return of_a_copy * self.config.data_parallel_size

    @functools.cached_property
    def last_offline(self) -> OfflineRate | None:
        """The last Offline run of these settings under the results folder, looked for once."""
        return last_offline.find(Path(self.config.results_dir), self.record.to_json())

    @contextlib.asynccontextmanager
    async def phase(
        self, key: str, label: str, progress: Progress | None = None, total: int = 0
    ) -> AsyncIterator[None]:
        """Shows a progress line, and adds the seconds to config.json's phases.

        Without `progress` the line says what the engine's machines are at, where there are several.
        What the engine said before the phase is not why it fails in it.
        """
        if self.engine_log is not None:
            self.engine_log.begin()

        watch = Stopwatch()

        def describe() -> str | None:
            if progress is None:
                return self._at_the_machines(label, watch)
            if progress.started_at is None:
                return None
            return progress_line(
                label,
                progress.samples_done,
                total,
                progress.tokens,
                progress.elapsed_s,
                last_done_s=progress.last_done_s,
            )

        async with self.record.phase(self.terminal, key, label, describe):
            yield

    def _at_the_machines(self, label: str, watch: Stopwatch) -> str | None:
        """A line of what each machine is at; None where there is one, or none has spoken."""
        if self.engine_log is None or not self.prepared.plan.system.others:
            return None
        at = loading.sentence(self.engine_log.read())
        return at and joined("", (label, ": ", formatting.duration(watch.seconds), ", ", at))
