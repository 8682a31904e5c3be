"""LoadGen's detail and summary logs as records."""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from harness import json_text
from harness.errors import LogError
from harness.language import phrase
from harness.logs.text import read_text
from harness.metrics import LoadGenRun
from harness.shapes import COUNT, TEXT, Fields, fault, one_of, optional, shown

_MARK = ":::MLLOG "
# LoadGen prints through C++ streams, which write nan and inf where JSON has no word for them.
_NOT_JSON = re.compile(r'("value": )-?(?:inf|nan)\b')

_LARGEST_INTEGER = 2**64  # LoadGen's have 64 bits, and a larger one fits into no float
SCENARIOS = ("Offline", "Server", "SingleStream")
# What a log must hold to be read at all, and what the keys that are computed with may be.
_KINDS = {
    "effective_test_mode": TEXT,
    "effective_scenario": one_of(SCENARIOS),
    "loadgen_version": optional(TEXT),
    "result_query_count": optional(COUNT),
    "generated_samples_per_query": optional(COUNT),
    "qsl_reported_total_count": optional(COUNT),
    "result_validity": optional(TEXT),
    "test_datetime": optional(TEXT),
    "loadgen_git_status_message": optional(TEXT),
}


def read_detail_log(path: Path) -> LoadGenRun:
    """One test as mlperf_log_detail.txt tells it; a log that was cut off has `ended` False.

    Raises LogError when it is missing, not LoadGen's, or ends before the settings.
    """
    text = read_text(path)
    if not text.startswith(_MARK):
        raise LogError(f"{path} is not a LoadGen detail log: it does not begin with {_MARK}.")
    values: dict[str, Any] = {}
    errors, warnings = Counter[str](), Counter[str]()
    loaded_samples = 0
    for entry in _entries(text):
        values[entry["key"]] = entry["value"]
        if entry["key"] == "loaded_qsl_set":
            if not isinstance(entry["value"], list):
                raise _damaged(path, "loaded_qsl_set", entry["value"])
            loaded_samples += len(entry["value"])
            values.pop("power_end", None)  # logged anew when this set is done
        if entry["metadata"].get("is_error"):
            errors[str(entry["value"])] += 1
        elif entry["metadata"].get("is_warning"):
            warnings[str(entry["value"])] += 1
    if "effective_performance_sample_count" not in values:
        raise LogError(f"{path} breaks off before the test began; run.log says why.")
    if wrong := fault(values, Fields(_KINDS)):
        raise LogError(phrase("{path} is damaged: {wrong}.", path=path, wrong=wrong))
    mode = values["effective_test_mode"]
    if mode == "AccuracyOnly":  # LoadGen gives no result and has no last word in this mode
        sample_count = loaded_samples
        ended = "power_end" in values and loaded_samples == values.get("qsl_reported_total_count")
    else:
        ended = isinstance(values.get("num_errors"), int)
        queries = values.get("result_query_count") or 0
        generated = number(values, "generated_query_count")
        if generated is not None and queries > generated:
            raise _damaged(path, "result_query_count", queries)
        sample_count = queries * (values.get("generated_samples_per_query") or 0)
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


def _damaged(path: Path, key: str, value: object) -> LogError:
    return LogError(f"{path} is damaged: {key} is {shown(value)}.")


def _entries(text: str) -> Iterator[dict[str, Any]]:
    """The log's entries; what a crash left of the last one is dropped."""
    for part in text.split(_MARK):
        # strict=False: LoadGen does not escape the line ends of its messages.
        try:
            entry = json_text.loads(_NOT_JSON.sub(r"\1null", part), strict=False)
        except ValueError:
            continue
        if not isinstance(entry, dict) or not entry.keys() >= {"key", "value", "metadata"}:
            continue
        if isinstance(entry["value"], int) and abs(entry["value"]) > _LARGEST_INTEGER:
            continue
        if isinstance(entry["key"], str) and isinstance(entry["metadata"], dict):
            yield entry


def _with_prefix(values: dict[str, Any], *prefixes: str, cut: bool = False) -> dict[str, object]:
    names = ((key, key.removeprefix(prefixes[0]) if cut else key) for key in values)
    return {name: values[key] for key, name in names if key.startswith(prefixes)}


def _sentences(messages: Counter[str]) -> tuple[str, ...]:
    return tuple(
        " ".join(message.split()) + (f" ({times:,} times)" if times > 1 else "")
        for message, times in messages.items()
    )


def read_summary_log(path: Path) -> dict[str, object]:
    """Every `name : value` line of mlperf_log_summary.txt, numbers as numbers. Raises LogError."""
    values: dict[str, object] = {}
    for line in read_text(path).splitlines():
        name, colon, text = line.partition(":")
        if colon and not name.strip().startswith("*"):
            values[name.strip()] = _value(text.strip())
    return values


def _value(text: str) -> object:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def number(values: Mapping[str, object], key: str) -> float | None:
    """A number of LoadGen's, None where it is missing, no number, or no finite one."""
    value = values.get(key)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return value if abs(value) <= sys.float_info.max else None
