"""One LoadGen test in a process of its own, joined to the system under test by a pipe.

LoadGen reads its built-in mlperf.conf once per process, can crash on misuse, and must not share the
interpreter lock with the engine's client: so every test gets a fresh small process. Messages on the
pipe are arrays of 32-bit numbers.

  LoadGen -> SUT   QUERIES + uint32 [sequence, sample index] ...  ENDED
  SUT -> LoadGen   int32 [kind, sequence, n, n token ids] ...     kind is FIRST_TOKEN or ALL_TOKENS
"""

from __future__ import annotations

import array
import dataclasses
import importlib.metadata
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from harness.config import RunConfig, Scenario
from harness.errors import UsageError
from harness.loadgen.planning import Target
from harness.rounds import ROUNDS, Seeds

QUERIES = b"Q"
ENDED = b"E"
FIRST_TOKEN = 1
ALL_TOKENS = 2
UNSIGNED = "I"  # array code of a sequence number or sample index: 4 bytes
SIGNED = "i"  # array code of a token id: metrics.TOKEN_DTYPE


@dataclass(frozen=True)
class LoadGenPlan:
    """Everything one LoadGen test needs to know."""

    loadgen_model: str
    scenario: str  # LoadGen's word: Offline, Server, SingleStream
    accuracy: bool
    user_conf: Path
    log_dir: Path
    total_samples: int
    samples_csv: Path | None  # where the times of every sample go; None: nowhere
    audit_config: Path | None = None  # of a compliance test: overrules all other settings


def user_conf_text(
    config: RunConfig,
    *,
    sample_count: int,
    min_duration_s: float,
    target: Target,
    probe_queries: int | None = None,
) -> str:
    """The user.conf of a test: the target, and for a smoke run the sample count and duration.

    Nothing else is ever set: all other values are the ones built into LoadGen. A probe of
    `probe_queries` is no result and is not padded to whole passes of the data set.
    """
    record, category = config.round, config.category_record
    scenario = config.scenario.loadgen_name
    lines = [f"# MLPerf Inference v{record.name}, {config.category}, {config.scenario.label}"]
    if target.qps is not None:
        lines.append(f"*.{scenario}.target_qps = {target.qps:.9g}")
    if target.latency_ms is not None:
        lines.append(f"*.{scenario}.target_latency = {target.latency_ms:.9g}")
    if sample_count != category.dataset_samples:
        lines.append(f"*.{scenario}.performance_sample_count_override = {sample_count}")
        # In SingleStream LoadGen fills any count up to the next whole pass, a full one included.
        least = 1 if config.scenario is Scenario.SINGLESTREAM else sample_count
        if probe_queries is None:
            lines.append(f"*.{scenario}.min_query_count = {least}")
    if probe_queries is not None:
        lines.append(f"*.{scenario}.min_query_count = {probe_queries}")
        lines.append(f"*.{scenario}.sample_concatenate_permutation = 0")
    if min_duration_s != record.min_duration_s:
        lines.append(f"*.{scenario}.min_duration = {round(min_duration_s * 1000)}")
    return "\n".join(lines) + "\n"


def installed_round() -> tuple[str | None, str | None]:
    """LoadGen's version and the MLPerf round whose seeds it carries (None: not a known round).

    Asked in a process of its own, because FromConfig can be used once per process.
    """
    asked = subprocess.run(
        [sys.executable, "-m", "harness.loadgen.process"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode != 0:
        reason = (asked.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise UsageError(
            f"MLCommons LoadGen cannot be loaded here ({reason}); run `make venv`, or pip install "
            f"{ROUNDS['5.1'].loadgen_versions}."
        )
    seeds = Seeds(**json.loads(asked.stdout))
    version = importlib.metadata.version("mlcommons_loadgen")
    for record in ROUNDS.values():
        if seeds == record.seeds:
            return version, record.name
    return version, None


def check_round(config: RunConfig, carried: str | None, loadgen_version: str | None) -> None:
    """Refuses a LoadGen whose seeds belong to another round. Raises UsageError."""
    if carried == config.version:
        return
    has = (
        f"carries the seeds of v{carried}"
        if carried
        else "carries the seeds of no round known here"
    )
    other = f", or use --version {carried}" if carried else ""
    raise UsageError(
        f"--version {config.version}: the installed LoadGen {loadgen_version} {has}; "
        f"pip install {config.round.loadgen_versions}{other}."
    )


def _print_seeds() -> None:
    """The seeds built into LoadGen as JSON, for `installed_round` in another process."""
    import mlperf_loadgen

    settings = mlperf_loadgen.TestSettings()
    settings.FromConfig(os.devnull, "llama3_1-8b", "Offline")
    names = [field.name for field in dataclasses.fields(Seeds)]
    sys.stdout.write(json.dumps({name: getattr(settings, name) for name in names}))


def start(plan: LoadGenPlan) -> tuple[BaseProcess, Connection]:
    """Starts the process of one test; it begins issuing queries as soon as it is up."""
    context = multiprocessing.get_context("spawn")  # a fork would carry the engine's client along
    ours, theirs = context.Pipe(duplex=True)
    process = context.Process(target=_run_test, args=(plan, theirs), name="loadgen", daemon=True)
    process.start()
    theirs.close()
    return process, ours


def _run_test(plan: LoadGenPlan, pipe: Connection) -> None:
    """The whole life of a LoadGen process."""
    # Ctrl-C reaches the whole process group; the parent decides what happens then.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _Test(plan, pipe).run()


class _Test:
    """LoadGen's callbacks and the times of every sample, inside LoadGen's process."""

    def __init__(self, plan: LoadGenPlan, pipe: Connection):
        import mlperf_loadgen

        self.lg: Any = mlperf_loadgen
        self.plan = plan
        self.pipe = pipe
        self.query_ids = array.array("Q")
        self.sample_indexes = array.array(UNSIGNED)
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
        self.pipe.send_bytes(ENDED)

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
        sequence = len(self.query_ids)
        message = array.array(UNSIGNED)
        for offset, query in enumerate(queries):
            self.query_ids.append(query.id)
            self.sample_indexes.append(query.index)
            self.issued.append(now)
            message.append(sequence + offset)
            message.append(query.index)
        self.pipe.send_bytes(QUERIES + message.tobytes())

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
        numbers = array.array(SIGNED)
        numbers.frombytes(message)
        # LoadGen copies the tokens during the calls below, so `numbers` must live until they
        # return.
        address, _ = numbers.buffer_info()
        size = numbers.itemsize
        first: list[Any] = []
        all_tokens: list[Any] = []
        position = 0
        while position < len(numbers):
            kind, sequence, count = numbers[position : position + 3]
            start = address + (position + 3) * size
            position += 3 + count
            response = self.lg.QuerySampleResponse(
                self.query_ids[sequence], start, count * size, count
            )
            if kind == FIRST_TOKEN:
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
        if self.plan.samples_csv is None or not self.issued:
            return
        zero = self.issued[0]
        with self.plan.samples_csv.open("w") as out:
            out.write("sample_index,issued_s,first_token_s,completed_s,tokens\n")
            for sequence, (completed, tokens) in sorted(self.completed.items()):
                first = self.first_token.get(sequence)
                first_text = "" if first is None else f"{first - zero:.6f}"
                out.write(
                    f"{self.sample_indexes[sequence]},{self.issued[sequence] - zero:.6f},"
                    f"{first_text},{completed - zero:.6f},{tokens}\n"
                )


def _flush() -> None:
    """LoadGen has issued all it will; nothing is held back here."""


def _keep_samples(_indexes: Any) -> None:
    """The prompts already lie in memory beside the engine."""


if __name__ == "__main__":
    _print_seeds()
