"""The runs to compare: what was set, and every performance test of theirs as arrays of times."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from harness.config import RunConfig, Scenario
from harness.errors import UsageError
from harness.logs.performance import performance_result
from harness.logs.times import read_samples, read_telemetry, read_timeline
from harness.metrics import PerformanceResult, SampleTimes, TelemetryPoint, TimelinePoint
from harness.report.comparison_statistics import Array
from harness.results import repeats
from harness.results.folder import RunFolder
from harness.rules.read import is_evaluation, read_config
from harness.rules.validity import invalid_reasons

SAME_RATE = 1e-3  # two rates asked for that differ by less are the same load
# A queue that grows by more than this share of what is issued meanwhile is an engine that falls
# behind; one that keeps up has a queue that swings.
_FALLS_BEHIND = 0.01
# A queue is quiet when a query has its first token within this many times what the quickest tenth
# takes. One that is not for longer than a block of the bootstrap has a memory beyond any block.
_QUIET = 2.0
_LONG_WITHOUT_QUIET = 1 / 12


@dataclass(frozen=True)
class TimedTest:
    """One performance test: its queries in the order of issue, and its timeline."""

    sample_index: npt.NDArray[np.int64]
    issued_s: Array
    first_token_s: Array  # NaN: LoadGen asks for none
    completed_s: Array
    tokens: Array
    timeline_s: Array
    timeline_tokens: Array  # generated so far
    timeline_done: Array  # answers so far

    @classmethod
    def of(cls, samples: Sequence[SampleTimes], timeline: Sequence[TimelinePoint]) -> TimedTest:
        """From the records that samples.csv and timeline.csv hold."""
        ordered = sorted(samples, key=lambda sample: sample.issued_s)
        rows = [
            (s.issued_s, np.nan if s.first_token_s is None else s.first_token_s, s.completed_s)
            for s in ordered
        ]
        issued_s, first_s, completed_s = np.array(rows, dtype=np.float64).reshape(-1, 3).T
        points = np.array([(p.time_s, p.tokens, p.samples_done) for p in timeline], np.float64)
        moments, tokens, done = points.reshape(-1, 3).T
        index = np.array([sample.sample_index for sample in ordered], np.int64)
        lengths = np.array([sample.tokens for sample in ordered], np.float64)
        return cls(index, issued_s, first_s, completed_s, lengths, moments, tokens, done)

    @cached_property
    def times_ms(self) -> dict[str, Array]:
        """Of each query: the whole answer, the first token, each further token; NaN: none."""
        after_first = np.where(self.tokens > 1, self.tokens - 1, np.nan)
        return {
            "latency": 1000 * (self.completed_s - self.issued_s),
            "ttft": 1000 * (self.first_token_s - self.issued_s),
            "tpot": 1000 * (self.completed_s - self.first_token_s) / after_first,
        }

    def asked_the_same(self, other: TimedTest) -> bool:
        """Whether both tests issued the same samples in the same order."""
        return np.array_equal(self.sample_index, other.sample_index)

    @cached_property
    def falls_behind(self) -> bool:
        """Whether the queue of a Server test grows from the middle of the issuing to its end."""
        end = float(self.issued_s[-1])
        quarters = [(end * k / 4, end * (k + 1) / 4) for k in (1, 3)]
        waiting = [self._mean_waiting(*quarter) for quarter in quarters]
        issued_between = len(self.issued_s) / 2
        return bool(waiting[1] - waiting[0] > max(_FALLS_BEHIND * issued_between, 10))

    @cached_property
    def is_crowded(self) -> bool:
        """Whether the queue of a Server test did not become quiet for a long stretch of it."""
        ttft_ms, end = self.times_ms["ttft"], float(self.issued_s[-1])
        quiet = self.issued_s[ttft_ms <= _QUIET * np.quantile(ttft_ms, 0.1)]
        return bool(np.diff([0.0, *quiet, end]).max() > _LONG_WITHOUT_QUIET * end)

    def _mean_waiting(self, begin_s: float, end_s: float) -> float:
        moments = np.linspace(begin_s, end_s, 200)
        issued = np.searchsorted(self.issued_s, moments, side="right")
        return float(np.mean(issued - np.searchsorted(np.sort(self.completed_s), moments)))


@dataclass(frozen=True)
class ComparedRun:
    """A finished run with a performance test."""

    label: str  # A for the first, which the others are held against
    folder: RunFolder
    config: dict[str, Any]  # config.json
    result: PerformanceResult
    test: TimedTest
    repeats: tuple[TimedTest, ...] = ()  # further tests of the same run on the same loaded engine
    telemetry: tuple[
        TelemetryPoint, ...
    ] = ()  # what the machine did meanwhile, where that is known

    @property
    def scenario(self) -> Scenario:
        """The scenario asked for."""
        return Scenario(self.config["flags"]["scenario"])

    @property
    def flags(self) -> RunConfig:
        """The flags of the run."""
        return RunConfig.from_json(self.config["flags"])

    @property
    def tests(self) -> tuple[TimedTest, ...]:
        """Every performance test of the run."""
        return (self.test, *self.repeats)

    @property
    def fill(self) -> int:
        """How many samples the engine works on at once."""
        engine = self.config["resolved"]["engine"]
        return int(engine.get("max_num_seqs") or 1) * int(engine.get("data_parallel_size") or 1)

    @cached_property
    def invalid_reasons(self) -> tuple[str, ...]:
        """Why the performance test does not count by LoadGen's logs."""
        return invalid_reasons(self.result)


def read_runs(paths: Sequence[Path]) -> list[ComparedRun]:
    """The runs in the order given. Raises UsageError where one cannot be compared, LogError."""
    folders = [RunFolder(path.resolve()) for path in paths]
    if len(folders) < 2:
        raise UsageError("compare needs two run folders or more: report.py compare RUN RUN.")
    seen: set[Path] = set()
    for folder in folders:
        if folder.path in seen:
            raise UsageError(f"{folder.path} is given twice; a run is never compared with itself.")
        seen.add(folder.path)
    return [_read(folder, _label(number)) for number, folder in enumerate(folders)]


def _label(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else f"R{number + 1}"


def _read(folder: RunFolder, label: str) -> ComparedRun:
    config = read_config(folder)
    if is_evaluation(config):
        raise UsageError(
            f"{folder.path} is an evaluation by mmlu.py, which measures no speed; give folders of "
            "run.py."
        )
    if (status := config["run"]["status"]) != "finished":
        raise UsageError(
            f"{folder.path} did not finish (its status is {status}), so it has no figures to "
            "compare; run it again."
        )
    result = performance_result(folder.path)
    if result is not None and not folder.samples_csv.is_file():
        raise UsageError(
            f"{folder.samples_csv} is missing, which has what each query took; put it back, or run "
            "the test again."
        )
    samples = [] if result is None else read_samples(folder.samples_csv)
    if result is None or not samples:
        raise UsageError(
            f"{folder.path} has no performance test; compare runs of --mode performance or both."
        )
    timeline = read_timeline(folder.timeline_csv) if folder.timeline_csv.is_file() else []
    test = TimedTest.of(samples, timeline)
    telemetry = read_telemetry(folder.telemetry_csv) if folder.telemetry_csv.is_file() else []
    return ComparedRun(label, folder, config, result, test, _repeats(folder), tuple(telemetry))


def _repeats(folder: RunFolder) -> tuple[TimedTest, ...]:
    """The further performance tests of a run. Raises LogError."""
    return tuple(
        TimedTest.of(
            read_samples(other.samples_csv),
            read_timeline(other.timeline_csv) if other.timeline_csv.is_file() else [],
        )
        for other in repeats.others(folder).values()
    )
