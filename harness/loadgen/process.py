"""One LoadGen test in a process of its own, joined to the system under test by a pipe.

LoadGen reads its built-in mlperf.conf once per process, can crash on misuse, and must not share the
interpreter lock with the engine's client: so every test gets a fresh small process. wire.py says
what goes through the pipe.

As a program, `python -m harness.loadgen.process MODEL` prints what is built into LoadGen as JSON:
its seeds, and whether it has settings for this model name.
"""

from __future__ import annotations

import array
import dataclasses
import json
import multiprocessing
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from harness import processes
from harness.loadgen import wire
from harness.metrics import SampleTimes
from harness.rounds import Seeds


@dataclass(frozen=True)
class LoadGenPlan:
    """Everything one LoadGen test needs to know."""

    loadgen_model: str
    scenario: str  # LoadGen's word: Offline, Server, SingleStream
    accuracy: bool
    user_conf: Path
    log_dir: Path
    total_samples: int
    # What becomes of the times of every sample, inside LoadGen's process; None: nothing. A function
    # that can be pickled.
    write_samples: Callable[[Iterable[SampleTimes]], None] | None
    audit_config: Path | None = None  # of a compliance test: overrules all other settings


def start(plan: LoadGenPlan) -> tuple[BaseProcess, Connection]:
    """Starts the process of one test; it begins issuing queries as soon as it is up."""
    context = multiprocessing.get_context("spawn")  # a fork would carry the engine's client along
    ours, theirs = context.Pipe(duplex=True)
    arguments = (plan, theirs, os.getpid())
    process = context.Process(target=_run_test, args=arguments, name="loadgen", daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _run_test(plan: LoadGenPlan, pipe: Connection, parent: int) -> None:
    """The whole life of a LoadGen process."""
    processes.die_with_parent(parent)
    # Ctrl-C and a closed terminal reach the whole process group; the parent decides what happens.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    _Test(plan, pipe).run()


def _loadgen() -> Any:
    """LoadGen's own module, imported nowhere else."""
    import mlperf_loadgen

    return mlperf_loadgen


class _Test:
    """LoadGen's callbacks and the times of every sample, inside LoadGen's process."""

    def __init__(self, plan: LoadGenPlan, pipe: Connection):
        self.lg = _loadgen()
        self.plan = plan
        self.pipe = pipe
        self.query_ids = array.array("Q")
        self.sample_indexes = array.array(wire.UNSIGNED)
        self.issued = array.array("d")
        self.first_token: dict[int, float] = {}
        self.completed: dict[int, tuple[float, int]] = {}

    def run(self) -> None:
        settings = self._settings()
        logs = self.lg.LogOutputSettings()
        logs.outdir = str(self.plan.log_dir)
        logs.copy_summary_to_stdout = False
        log_settings = self.lg.LogSettings()
        log_settings.log_output = logs
        # The trace holds a line for every internal step and is not part of a submission.
        log_settings.enable_trace = False
        threading.Thread(target=self._receive, name="responses", daemon=True).start()
        sut = self.lg.ConstructSUT(self._issue, _flush)
        qsl = self.lg.ConstructQSL(
            self.plan.total_samples, self.plan.total_samples, _keep_samples, _keep_samples
        )
        # An audit.config in the working directory would silently change the test:
        # without one of our own, name one that is not there.
        audit = str(self.plan.audit_config or "no-audit.config")
        self.lg.StartTestWithLogSettings(sut, qsl, settings, log_settings, audit)
        self.lg.DestroyQSL(qsl)
        self.lg.DestroySUT(sut)
        # The trace is off, and LoadGen leaves an empty file behind.
        (self.plan.log_dir / "mlperf_log_trace.json").unlink(missing_ok=True)
        self._write_samples()
        self.pipe.send_bytes(wire.ENDED)

    def _settings(self) -> Any:
        settings = self.lg.TestSettings()
        status = settings.FromConfig(
            str(self.plan.user_conf), self.plan.loadgen_model, self.plan.scenario
        )
        if status:
            raise RuntimeError(f"LoadGen could not read {self.plan.user_conf} (status {status})")
        settings.scenario = getattr(self.lg.TestScenario, self.plan.scenario)
        mode = "AccuracyOnly" if self.plan.accuracy else "PerformanceOnly"
        settings.mode = getattr(self.lg.TestMode, mode)
        return settings

    def _issue(self, queries: Any) -> None:
        now = time.perf_counter()
        first_sequence = len(self.query_ids)
        for query in queries:
            self.query_ids.append(query.id)
            self.sample_indexes.append(query.index)
            self.issued.append(now)
        message = wire.pack_queries(first_sequence, self.sample_indexes[first_sequence:])
        self.pipe.send_bytes(message)

    def _receive(self) -> None:
        try:
            while True:
                self._respond(self.pipe.recv_bytes())
        except (EOFError, OSError):
            # The parent is gone or gave up: LoadGen has no way to abort a test.
            os._exit(1)
        except BaseException:  # a thread that ended quietly would leave LoadGen waiting for ever
            traceback.print_exc()
            os._exit(1)

    def _respond(self, message: bytes) -> None:
        now = time.perf_counter()
        # LoadGen copies the tokens during the calls below, so `numbers` must live until they
        # return.
        numbers = wire.unpack_numbers(message)
        address, _ = numbers.buffer_info()
        size = numbers.itemsize
        first: list[Any] = []
        all_tokens: list[Any] = []
        for kind, sequence, start, count in wire.answers_among(numbers):
            response = self.lg.QuerySampleResponse(
                self.query_ids[sequence], address + start * size, count * size, count
            )
            if kind == wire.FIRST_TOKEN:
                self.first_token[sequence] = now
                first.append(response)
            else:
                self.completed[sequence] = (now, count)
                all_tokens.append(response)
        if first:
            self.lg.FirstTokenComplete(first)
        if all_tokens:
            self.lg.QuerySamplesComplete(all_tokens)

    def _write_samples(self) -> None:
        if self.plan.write_samples is not None and self.issued:
            self.plan.write_samples(self._samples())

    def _samples(self) -> Iterator[SampleTimes]:
        """Every answered sample, in the order of their issue."""
        zero = self.issued[0]
        for sequence, (completed, tokens) in sorted(self.completed.items()):
            first = self.first_token.get(sequence)
            yield SampleTimes(
                sample_index=self.sample_indexes[sequence],
                issued_s=self.issued[sequence] - zero,
                first_token_s=None if first is None else first - zero,
                completed_s=completed - zero,
                tokens=tokens,
            )


def _flush() -> None:
    """LoadGen has issued all it will; nothing is held back here."""


def _keep_samples(_indexes: Any) -> None:
    """The prompts already lie in memory beside the engine."""


def _print_built_in(loadgen_model: str) -> None:
    """What is built into LoadGen, for `release.installed` in another process."""
    settings = _loadgen().TestSettings()
    settings.FromConfig(os.devnull, loadgen_model, "Offline")
    seeds = {field.name: getattr(settings, field.name) for field in dataclasses.fields(Seeds)}
    # An unknown name is no error: LoadGen takes the settings of no model, which count no tokens.
    known = settings.use_token_latencies
    sys.stdout.write(json.dumps({"seeds": seeds, "knows_model": known}))


if __name__ == "__main__":
    _print_built_in(sys.argv[1])
