"""Reads the logs of a run folder and prints everything in them as JSON.

It needs neither a GPU nor vLLM nor LoadGen. What comes out: the performance test (validity with
reasons, throughput, latencies), the accuracy test (answers and their lengths), the settings and
seeds LoadGen used, its errors and warnings. Nothing is judged here.

    python util_logs.py results/latest
    python util_logs.py results/latest | jq .performance.tokens_per_second

Exit status: 0 printed; 1 a log is incomplete or contradicts another; 2 no such folder, no logs.
"""

from __future__ import annotations

import argparse
import array
import csv
import dataclasses
import json
import re
import signal
import statistics
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from harness.errors import BenchmarkError, LogError, UsageError
from harness.logs.validity import cross_check, number
from harness.metrics import (
    AuditedAnswer,
    Generation,
    LatencyStats,
    LoadGenRun,
    PerformanceResult,
    SampleTimes,
    TimelinePoint,
)
from harness.results.folder import ACCURACY_LOG, DETAIL_LOG, SUMMARY_LOG, RunFolder
from harness.rules.validity import invalid_reasons

_T = TypeVar("_T")
_MARK = ":::MLLOG "
# LoadGen prints through C++ streams, which write nan and inf where JSON has no word for them.
_NOT_JSON = re.compile(r'("value": )-?(?:inf|nan)\b')
_LATENCIES = {
    "mean_ms": "mean",
    "p50_ms": "50.00_percentile",
    "p90_ms": "90.00_percentile",
    "p95_ms": "95.00_percentile",
    "p97_ms": "97.00_percentile",
    "p99_ms": "99.00_percentile",
    "p999_ms": "99.90_percentile",
    "min_ms": "min",
    "max_ms": "max",
}
_SAMPLES_HEADER = ["sample_index", "issued_s", "first_token_s", "completed_s", "tokens"]
_TIMELINE_HEADER = ["time_s", "tokens", "samples_done", "outstanding"]


def read_detail_log(path: Path) -> LoadGenRun:
    """One test as mlperf_log_detail.txt tells it; a log that was cut off has `ended` False.

    Raises LogError when it is missing, not LoadGen's, or ends before the settings.
    """
    text = _read(path)
    if not text.startswith(_MARK):
        raise LogError(f"{path} is not a LoadGen detail log: it does not begin with {_MARK}.")
    values: dict[str, Any] = {}
    errors, warnings = Counter[str](), Counter[str]()
    loaded_samples = 0
    for entry in _entries(text):
        values[entry["key"]] = entry["value"]
        if entry["key"] == "loaded_qsl_set":
            loaded_samples += len(entry["value"])
            values.pop("power_end", None)  # logged anew when this set is done
        if entry["metadata"].get("is_error"):
            errors[str(entry["value"])] += 1
        elif entry["metadata"].get("is_warning"):
            warnings[str(entry["value"])] += 1
    if "effective_performance_sample_count" not in values:
        raise LogError(f"{path} breaks off before the test began; run.log says why.")
    mode = values["effective_test_mode"]
    if mode == "AccuracyOnly":  # LoadGen gives no result and has no last word in this mode
        sample_count = loaded_samples
        ended = "power_end" in values and loaded_samples == values.get("qsl_reported_total_count")
    else:
        ended = "num_errors" in values
        queries = values.get("result_query_count", 0)
        sample_count = queries * values.get("generated_samples_per_query", 0)
    return LoadGenRun(
        scenario=values["effective_scenario"],
        mode=mode,
        loadgen_version=values.get("loadgen_version"),
        qsl_rng_seed=values.get("effective_qsl_rng_seed"),
        sample_index_rng_seed=values.get("effective_sample_index_rng_seed"),
        schedule_rng_seed=values.get("effective_schedule_rng_seed"),
        effective=_with_prefix(values, "effective_", cut=True),
        results=_with_prefix(values, "result_", "early_stopping_", "num_errors"),
        errors=_sentences(errors),
        warnings=_sentences(warnings),
        valid={"VALID": True, "INVALID": False}.get(values.get("result_validity", "")),
        ended=ended,
        sample_count=sample_count if ended else None,
        requested=_with_prefix(values, "requested_", cut=True),
        dataset_samples=values.get("qsl_reported_total_count"),
        began=values.get("test_datetime"),
        uncommitted=values.get("loadgen_git_status_message"),
    )


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise LogError(f"{path} cannot be read: {error.strerror}.") from None


def _entries(text: str) -> Iterator[dict[str, Any]]:
    """The log's entries; what a crash left of the last one is dropped."""
    for part in text.split(_MARK):
        # strict=False: LoadGen does not escape the line ends of its messages.
        try:
            entry = json.loads(_NOT_JSON.sub(r"\1null", part), strict=False)
        except ValueError:
            continue
        if isinstance(entry, dict) and entry.keys() >= {"key", "value", "metadata"}:
            yield entry


def _with_prefix(values: dict[str, Any], *prefixes: str, cut: bool = False) -> dict[str, object]:
    found = ((key, key.removeprefix(prefixes[0]) if cut else key) for key in values)
    return {name: values[key] for key, name in found if key.startswith(prefixes)}


def _sentences(messages: Counter[str]) -> tuple[str, ...]:
    return tuple(
        " ".join(message.split()) + (f" ({times:,} times)" if times > 1 else "")
        for message, times in messages.items()
    )


def read_summary_log(path: Path) -> dict[str, object]:
    """Every `name : value` line of mlperf_log_summary.txt, numbers as numbers. Raises LogError."""
    found: dict[str, object] = {}
    for line in _read(path).splitlines():
        name, colon, text = line.partition(":")
        if colon and not name.strip().startswith("*"):
            found[name.strip()] = _value(text.strip())
    return found


def _value(text: str) -> object:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def read_accuracy_log(path: Path) -> list[Generation]:
    """The answers of mlperf_log_accuracy.json that count. Raises LogError."""
    return first_answers(read_answers(path))


def first_answers(answers: Sequence[Generation]) -> list[Generation]:
    """Of several answers to one sample the first, as the official evaluation has it."""
    first: dict[int, Generation] = {}
    for answer in answers:
        first.setdefault(answer.sample_index, answer)
    return list(first.values())


def read_answers(path: Path) -> list[Generation]:
    """Every answer of mlperf_log_accuracy.json.

    Raises LogError when the file was cut off or an answer is not whole int32 tokens, as many as
    LoadGen was told.
    """
    text = _read(path)
    try:
        entries = json.loads(text)
    except ValueError:
        whole = text.count(" },\n")
        raise LogError(
            f"{path} breaks off after {whole:,} answers: the accuracy test did not end. "
            "Run it again."
        ) from None
    try:
        return [Generation(entry["qsl_idx"], _tokens(entry, path)) for entry in entries]
    except (KeyError, TypeError):
        raise LogError(f"{path} is not a LoadGen accuracy log.") from None


def _tokens(entry: dict[str, Any], path: Path) -> tuple[int, ...]:
    tokens = _int32_tokens(entry, "data", path)
    count = entry.get("token_count", len(tokens))
    if count != len(tokens):
        raise LogError(
            f"{path}: the answer to sample {entry['qsl_idx']} holds {len(tokens)} int32 tokens, "
            f"but LoadGen was told {count}."
        )
    return tokens


def _int32_tokens(entry: dict[str, Any], key: str, path: Path) -> tuple[int, ...]:
    """Tokens from LoadGen's hexadecimal text. In an audit log `token_data` may be missing."""
    try:
        tokens = array.array(
            "i", bytes.fromhex(entry[key] if key == "data" else entry.get(key, ""))
        )
    except ValueError:
        raise LogError(
            f"{path}: the answer to sample {entry['qsl_idx']} is not a whole number of 4 byte "
            "(int32) tokens."
        ) from None
    if sys.byteorder == "big":
        tokens.byteswap()
    return tuple(tokens)


def read_audit_log(path: Path) -> list[AuditedAnswer]:
    """Every answer of a TEST06 log as it stands there: what is wrong with one is not judged here.

    Raises LogError when the file was cut off, is not LoadGen's, or holds broken tokens.
    """
    try:
        entries = json.loads(_read(path))
    except ValueError:
        raise LogError(f"{path} breaks off: TEST06 did not end. Run it again.") from None
    try:
        return [
            AuditedAnswer(
                sample_index=entry["qsl_idx"],
                token_ids=_int32_tokens(entry, "data", path),
                first_token_ids=_int32_tokens(entry, "token_data", path),
                told_count=entry.get("token_count"),
            )
            for entry in entries
        ]
    except (KeyError, TypeError, AttributeError):
        raise LogError(f"{path} is not a LoadGen accuracy log.") from None


def check_complete(generations: Sequence[Generation], expected_count: int) -> None:
    """Raises LogError unless samples 0 ... expected_count - 1 have exactly one answer each."""
    times = Counter(generation.sample_index for generation in generations)
    expected = range(expected_count)
    for indexes, problem in (
        ([i for i in expected if i not in times], "have no answer"),
        ([i for i in times if times[i] > 1], "were answered more than once"),
        ([i for i in times if i not in expected], "are not in the data set"),
    ):
        if indexes:
            some = ", ".join(str(index) for index in indexes[:5]) + ", ..." * (len(indexes) > 5)
            raise LogError(
                f"The accuracy log is not complete: of {expected_count:,} samples "
                f"{len(indexes):,} {problem} (sample {some}). Run the accuracy test again."
            )


def read_sample_times(path: Path) -> list[SampleTimes]:
    """samples.csv: when each sample was issued and answered. Raises LogError."""

    def sample(row: list[str]) -> SampleTimes:
        index, issued_s, first_token_s, completed_s, tokens = row
        first = float(first_token_s) if first_token_s else None
        return SampleTimes(int(index), float(issued_s), first, float(completed_s), int(tokens))

    return _read_csv(path, _SAMPLES_HEADER, sample)


def read_timeline(path: Path) -> list[TimelinePoint]:
    """timeline.csv: the engine's state over the test. Raises LogError."""

    def point(row: list[str]) -> TimelinePoint:
        time_s, tokens, samples_done, outstanding = row
        return TimelinePoint(float(time_s), int(tokens), int(samples_done), int(outstanding))

    return _read_csv(path, _TIMELINE_HEADER, point)


def _read_csv(path: Path, header: list[str], record: Callable[[list[str]], _T]) -> list[_T]:
    rows = csv.reader(_read(path).splitlines())
    if next(rows, None) != header:
        raise LogError(f"{path} does not begin with the line {','.join(header)}.")
    records = []
    for row in rows:
        try:
            records.append(record(row))
        except ValueError:
            raise LogError(f"{path}, line {rows.line_num}: {','.join(row)!r} is damaged.") from None
    return records


def performance_result(run_dir: Path) -> PerformanceResult | None:
    """The performance test of a run folder, None where there is none.

    Raises LogError when the logs contradict each other: validity in LoadGen's two logs, or the
    samples and tokens that LoadGen and the harness counted.
    """
    folder = RunFolder(run_dir)
    detail = folder.performance / DETAIL_LOG
    if not detail.is_file():
        return None
    run = read_detail_log(detail)
    samples = read_sample_times(folder.samples_csv) if folder.samples_csv.is_file() else []
    if run.ended:
        summary = read_summary_log(folder.performance / SUMMARY_LOG)
        cross_check(run, summary, samples, folder.performance)
    has_first_token = run.scenario != "Offline"
    samples_per_second = _first(
        run,
        "result_samples_per_second",
        "result_completed_samples_per_sec",
        "result_qps_with_loadgen_overhead",
    )
    return PerformanceResult(
        scenario=run.scenario,
        duration_s=_duration_s(run, samples),
        sample_count=run.sample_count,
        total_new_tokens=sum(sample.tokens for sample in samples) if samples else None,
        tokens_per_second=_first(
            run, "result_tokens_per_second", "result_completed_tokens_per_second"
        ),
        samples_per_second=samples_per_second,
        target_qps=None if run.scenario == "SingleStream" else number(run.effective, "target_qps"),
        achieved_qps=samples_per_second,
        latency=_latencies(run, "result_{}_latency_ns"),
        ttft=_latencies(run, "result_first_token_{}_latency_ns") if has_first_token else None,
        tpot=_latencies(run, "result_time_per_output_token_{}_ns", "result_time_to_output_token_{}")
        if has_first_token
        else None,
        loadgen=run,
    )


def _first(run: LoadGenRun, *keys: str) -> float | None:
    return next((n for key in keys if (n := number(run.results, key)) is not None), None)


def _latencies(run: LoadGenRun, *patterns: str) -> LatencyStats:
    """The latencies named by a pattern; LoadGen's name for TPOT has a second spelling."""
    found = {
        field: _first(run, *(pattern.format(name) for pattern in patterns))
        for field, name in _LATENCIES.items()
    }
    return LatencyStats(**{f: None if ns is None else ns / 1e6 for f, ns in found.items()})


def _duration_s(run: LoadGenRun, samples: Sequence[SampleTimes]) -> float | None:
    if samples:
        return max(s.completed_s for s in samples) - min(s.issued_s for s in samples)
    longest_ns = number(run.results, "result_max_latency_ns")
    return longest_ns / 1e9 if run.scenario == "Offline" and longest_ns is not None else None


def everything(run_dir: Path) -> dict[str, Any]:
    """All that the logs of a run folder hold, ready for JSON. Raises UsageError, LogError."""
    folder = RunFolder(run_dir)
    if not run_dir.is_dir():
        raise UsageError(
            f"{run_dir}: no such folder; give a run folder, for example results/latest."
        )
    performance = performance_result(run_dir)
    has_accuracy = (folder.accuracy / DETAIL_LOG).is_file()
    if performance is None and not has_accuracy:
        raise UsageError(
            f"{run_dir} holds no LoadGen logs: neither {folder.performance.name}/{DETAIL_LOG} nor "
            f"{folder.accuracy.name}/{DETAIL_LOG}."
        )
    return {
        "performance": _performance(performance) if performance else None,
        "accuracy": _accuracy(folder) if has_accuracy else None,
    }


def _performance(result: PerformanceResult) -> dict[str, Any]:
    reasons = invalid_reasons(result)
    values = dataclasses.asdict(result)
    return {
        "scenario": values.pop("scenario"),
        "valid": not reasons,
        "invalid_reasons": reasons,
        **values,
    }


def _accuracy(folder: RunFolder) -> dict[str, Any]:
    run = read_detail_log(folder.accuracy / DETAIL_LOG)
    generations = read_accuracy_log(folder.accuracy / ACCURACY_LOG)
    if run.sample_count is not None:
        check_complete(generations, run.sample_count)
    lengths = [len(generation.token_ids) for generation in generations]
    return {
        "answers": len(generations),
        "tokens": {
            "total": sum(lengths),
            "min": min(lengths, default=None),
            "mean": statistics.fmean(lengths) if lengths else None,
            "max": max(lengths, default=None),
        },
        "loadgen": dataclasses.asdict(run),
    }


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the JSON, or one sentence on stderr. Returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="a run folder")
    arguments = parser.parse_args(argv)
    try:
        print(json.dumps(everything(arguments.run_dir), indent=2, allow_nan=False))
    except BenchmarkError as error:
        print(f"util_logs.py: {error}", file=sys.stderr)
        return error.exit_status
    return 0


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # so that `| head` ends quietly
    sys.exit(main())
