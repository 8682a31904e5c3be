"""A loaded engine that goes from one run to the next, where both ask for the same settings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.engine.vllm import Engine


class EngineKeeper:
    """Hands a loaded engine on along a series of runs, whose engine settings it is given."""

    def __init__(self, settings: Sequence[dict[str, Any]] = ()):
        self.run_log: Path | None = None  # where the kept engine's own words go
        self.loads = 0
        self._coming = list(settings)  # of the runs that have not begun, the next one first
        self._engine: Engine | None = None

    @property
    def holds_engine(self) -> bool:
        """Whether an engine waits for the next run."""
        return self._engine is not None

    def take(self) -> Engine | None:
        """The engine for the run that now begins; None: it has to load one."""
        self._coming = self._coming[1:]
        engine, self._engine = self._engine, None
        return engine

    def loaded(self, run_log: Path) -> None:
        """An engine was loaded, and what it says goes into this file."""
        self.loads += 1
        self.run_log = run_log

    def keep(self, engine: Engine) -> None:
        """Keeps an engine that has done its work, if the next run asks for the same settings."""
        if self._coming and self._coming[0] == engine.settings:
            self._engine = engine

    def keeps(self, engine: Engine) -> bool:
        """Whether this engine is the one that waits."""
        return self._engine is engine
