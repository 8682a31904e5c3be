"""config.json of a run: what it was, where it stands, what it did. No other module writes it."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any

from harness import processes
from harness.inputs.model_source import ModelSource
from harness.loadgen.planning import Target
from harness.loadgen.rate_search import Probe
from harness.machine.ceilings import Ceilings
from harness.results.files import read_object, write_json
from harness.results.folder import RunFolder
from harness.results.index import FINISHED
from harness.terminal import Terminal, timed_phase

SCHEMA_VERSION = 1  # of config.json
# config.json's run.scoring, from the moment that all is measured.
SCORING_BEGUN, SCORING_DONE = "begun", "done"


class RunRecord:
    """The record of one run. It is on the disk from `begin` on; what is noted later follows it.

    The seconds of phases and the like are written with the next target, probe or the end.
    """

    def __init__(self, content: dict[str, Any]):
        """`content` is what is known before the run folder is there."""
        self._content = content
        self._folder: RunFolder | None = None
        self._gpu_energy_j: dict[int, float] = {}  # of each performance test

    @property
    def _run(self) -> dict[str, Any]:
        part: dict[str, Any] = self._content["run"]
        return part

    def to_json(self) -> dict[str, Any]:
        """A copy of config.json as it stands."""
        return copy.deepcopy(self._content)

    def begin(self, folder: RunFolder, started: datetime) -> None:
        """The run has its folder now. Raises OSError."""
        self._folder = folder
        self._run.update(name=folder.name, started=_iso(started))
        self._write()

    @contextlib.asynccontextmanager
    async def phase(
        self,
        terminal: Terminal,
        key: str,
        label: str,
        describe: Callable[[], str | None] = lambda: None,
    ) -> AsyncIterator[None]:
        """Shows a progress line while the block runs, and adds its seconds to the phase `key`."""
        async with timed_phase(terminal, self._run["phases"], key, label, describe):
            yield

    def follows_another_run(self) -> None:
        """The time before this run belongs to the one before it, in the same invocation."""
        self._run["phases"] = {}

    def takes_over_engine(self) -> None:
        """Another run has loaded the engine: there is no one wait from a start to a query."""
        self._run["first_query_s"] = None

    def first_query(self, ago_s: float) -> None:
        """Notes how long the person at the terminal waited until something was timed.

        `ago_s` is how long ago the first query of a test was; only the first test's counts.
        """
        self._run.setdefault("first_query_s", round(processes.age_s() - ago_s, 3))

    def target(self, target: Target) -> None:
        """Notes what LoadGen is to expect of the performance test. Raises OSError."""
        resolved = self._content["resolved"]
        resolved["target_qps"] = None if target.qps is None else {
            "value": target.qps,
            "source": target.source,
            "expected_samples": target.samples,
            "expected_duration_s": target.expected_duration_s,
        }  # fmt: skip
        resolved["target"] = dataclasses.asdict(target)
        self._write()

    def probe(self, probe: Probe) -> None:
        """Adds a probe of a rate search. Raises OSError."""
        self._content["resolved"].setdefault("probes", []).append(dataclasses.asdict(probe))
        self._write()

    def gpu_energy(self, joules: float, number: int = 1) -> None:
        """Notes the energy that the GPUs used in the performance test of this number."""
        self._gpu_energy_j[number] = round(joules, 3)
        self.result_is_test(1)

    def result_is_test(self, number: int) -> None:
        """Notes the energy of the test that is the result: the first, until all are measured."""
        if number in self._gpu_energy_j:
            self._run["gpu_energy_j"] = self._gpu_energy_j[number]

    def ceilings(self, found: Ceilings) -> None:
        """Notes what a GPU was measured to do."""
        self._run["ceilings"] = dataclasses.asdict(found)

    def requests(self, count: int) -> None:
        """Notes how many requests the engine was given."""
        self._run["requests"] = count

    def scoring(self, state: str) -> None:
        """Notes that all is measured and how far the answers' scores are. Raises OSError."""
        self._run["scoring"] = state
        self._write()

    def finish(self, status: str, error: str | None) -> None:
        """The run is over: `status` is finished, failed or interrupted. Raises OSError."""
        finished = _iso(datetime.now().astimezone())
        self._run.update(status=status, error=error, finished=finished)
        self._write()

    def _write(self) -> None:
        assert self._folder is not None  # `begin` comes first
        write_json(self._folder.config_json, self._content)


def note_scored_again(folder: RunFolder, now: datetime) -> None:
    """The answers of a run that is over have been scored again. Raises OSError.

    Where nothing but scoring had been left to do when the run ended, it has finished by that.
    """
    content = read_object(folder.config_json)
    run = content["run"]
    if run["status"] != FINISHED and run.get("scoring") == SCORING_BEGUN:
        run.update(scoring=SCORING_DONE, scoring_error=run["error"])
        run.update(status=FINISHED, error=None, finished=run["finished"] or _iso(now))
    run["scored_again"] = _iso(now)
    write_json(folder.config_json, content)


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="seconds")


def run_part(command: list[str]) -> dict[str, Any]:
    """config.json's `run` before the engine starts; it grows as the run goes on."""
    return {
        "name": None,
        "started": None,
        "finished": None,
        "status": "running",
        "error": None,
        "command": command,
        "phases": {"preparation_s": round(processes.age_s(), 3)},
    }


def model_part(model: ModelSource) -> dict[str, Any]:
    """config.json's `model`."""
    return {
        "requested": model.requested,
        "path": model.path,
        "revision": model.revision,
        "source": model.source,
        "unofficial_because": model.unofficial_because,
        "parameters": model.parameter_count,
        "shape": model.shape,
        "quantization": model.quantization.to_json() if model.quantization else None,
    }
