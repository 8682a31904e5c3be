"""A loaded engine that goes from one run to the next, where both ask for the same settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.engine.vllm import Engine


class EngineKeeper:
    """Hands a loaded engine on along a series of runs."""

    def __init__(self) -> None:
        self.run_log: Path | None = None  # where the kept engine's own words go
        self.loads = 0
        self._engine: Engine | None = None

    @property
    def holds_engine(self) -> bool:
        """Whether an engine waits for the next run."""
        return self._engine is not None

    def take(self) -> Engine | None:
        """The engine that waits, which is the caller's from now on; None: there is none."""
        engine, self._engine = self._engine, None
        return engine

    def loaded(self, run_log: Path) -> None:
        """An engine was loaded, and what it says goes into this file."""
        self.loads += 1
        self.run_log = run_log

    def keep(self, engine: Engine, next_settings: Mapping[str, Any] | None) -> None:
        """Keeps an engine that has done its work, if the next run asks for the same settings.

        `next_settings` are the engine arguments of that run; None: no run is to come.
        """
        if next_settings is not None and next_settings == engine.plan.settings:
            self._engine = engine

    def keeps(self, engine: Engine) -> bool:
        """Whether this engine is the one that waits."""
        return self._engine is engine
