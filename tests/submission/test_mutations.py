"""Whatever is changed in a run of official length, nothing false is taken for an official result.

Every key of LoadGen's two detail logs and every file of the run folder is deleted, set to zero or
emptied, made infinite, and swapped for another. What may stay official is listed with its reason.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from harness.errors import BenchmarkError
from harness.logs import answers
from harness.logs.detail import read_detail_log
from harness.logs.performance import performance_result
from harness.metrics import Generation
from harness.results.folder import DETAIL_LOG
from harness.rules import read
from harness.rules.accuracy import ACCURACY
from harness.rules.latency import LATENCY
from harness.rules.performance import PERFORMANCE_RULES
from harness.rules.verdict import OFFICIAL_READY, SPECS
from harness.submission import checks
from harness.submission.finished_run import FinishedRun, read_run
from tests.submission.conftest import SCENARIOS, Runs

MARK = ":::MLLOG "
RUNS = (
    ("datacenter", "offline"),
    ("datacenter", "server"),
    ("datacenter", "interactive"),
    ("edge", "singlestream"),
)
# What may be spoilt, as "key way", and why that is harmless.
HARMLESS = {
    r"requested_(?!use_token|server_t[pt]).* .*": "what ran is in the effective_ setting beside it",
    r"requested_server_t[pt].* .*": "SingleStream and Offline have no limits",
    r"effective_(accuracy_log|performance_issue|max)_.* .*": "absent or 0 is the default: off",
    r"effective_(min_sample_count|print_timestamps|target_duration_ms) .*": "decides nothing",
    r"effective_target_qps .*": "a free choice; submissions hold user.conf against the log",
    r"effective_target_latency_ns .*": "decides with Server alone, and there up to 20 s are right",
    r"effective_samples_per_query swap": "a number that is as large",
    r"generated_.* .*": "what was issued is counted in the results",
    r"(logger|power|get_sut|sut|qsl)_.* .*": "names, clocks and LoadGen's own counters",
    r"(generic_message|loaded_qsl_set) .*": "no figure",
    r"loadgen_(build|git|file)_.* .*": "the release is in loadgen_version",
    r"early_stopping_(tpot|ttft)_result .*": "LoadGen's words; its answer is early_stopping_met",
    r"early_stopping_latency_.* .*": "of TTFT: no figure of a result",
    r"early_stopping_met .*": "Offline has no early stopping",
    r"result_(perf_constraints_met|overlatency_query_count) .*": "the limits are held by figures",
    r"result_.*(qps|samples|throughput).* .*": "no result is published by it",
    r"result_completed_tokens_per_second .*": "SingleStream is published by its latency",
}
HARMLESS_IN_ACCURACY = {
    r"effective_(min|performance|target)_.* .*": "an accuracy test asks for every sample once",
    r"effective_sample(s_per_query|_concatenate_permutation) .*": "decides in performance mode",
}
HARMLESS_FILES = {
    r"Accuracy/mlperf_log_summary.txt .*": "LoadGen writes no figure there",
    r"Performance/mlperf_log_accuracy.json .*": "no answer is logged, and no tree takes it",
    r"Compliance/TEST06/(audit.config|mlperf_log_summary.txt) .*": "TEST06 is judged by its logs",
    r"Compliance/TEST06/result.json (delete|swap)": "TEST06 is judged by its logs",
}


def mutations(log: Path) -> Iterator[tuple[str, str, str]]:
    """For every key of a detail log and every way to spoil it: key, way, and the log's new text."""
    lines = log.read_text().splitlines(keepends=True)
    entries = [json.loads(line.removeprefix(MARK)) for line in lines]
    values = {entry["key"]: json.dumps(entry["value"]) for entry in entries}
    keys = list(values)
    for place, key in enumerate(keys):
        others = [values[other] for other in keys[place + 1 :] + keys[:place]]
        own = json.loads(values[key])
        alike = (o for o in others if type(json.loads(o)) is type(own) and json.loads(o) != own)
        swapped = next(alike, '"another"')
        for way, value in (("delete", None), ("zero", "0"), ("inf", "inf"), ("swap", swapped)):
            if value == values[key]:
                continue
            mutated = [
                line if entry["key"] != key else "" if value is None else with_value(entry, value)
                for line, entry in zip(lines, entries, strict=True)
            ]
            yield key, way, "".join(mutated)


def with_value(entry: dict[str, object], value: str) -> str:
    """A line of a detail log with another value, as LoadGen writes it."""
    placed = json.dumps(entry | {"value": "@value@"})
    return f"{MARK}{placed.replace(json.dumps('@value@'), value)}\n"


@pytest.fixture
def copy(runs: Runs, tmp_path: Path) -> Callable[[str, str], Path]:
    """A run folder to spoil."""

    def of(category: str, scenario: str) -> Path:
        source = runs["5.1", category, scenario]
        return Path(shutil.copytree(source, tmp_path / source.name, copy_function=os.link))

    return of


@pytest.mark.parametrize(("category", "scenario"), [RUNS[0], RUNS[1], RUNS[3]])
def test_a_spoilt_performance_log_is_never_official(
    category: str, scenario: str, copy: Callable[[str, str], Path]
) -> None:
    folder = copy(category, scenario)
    evidence = read_run(folder).evidence
    specs = [spec for spec in SPECS if spec not in ACCURACY]

    def stands() -> bool:
        changed = dataclasses.replace(evidence, performance=performance_result(folder))
        return not any(spec.broken_by(changed) for spec in specs)

    log = folder / "Performance" / DETAIL_LOG
    assert_only_harmless(log, stands, HARMLESS, RUNS.index((category, scenario)))


@pytest.mark.parametrize(("category", "scenario"), [RUNS[0], RUNS[3]])
def test_a_spoilt_accuracy_log_is_never_official(
    category: str, scenario: str, copy: Callable[[str, str], Path]
) -> None:
    folder = copy(category, scenario)
    evidence = read_run(folder).evidence
    log = folder / "Accuracy" / DETAIL_LOG
    others = (*PERFORMANCE_RULES, *LATENCY)
    # Slow, and it looks at the answers: of this log at what accuracy-samples asks too.
    specs = [s for s in SPECS if s not in others and s.id != "accuracy-complete"]

    def stands() -> bool:
        changed = dataclasses.replace(evidence, accuracy_log=read_detail_log(log))
        return not any(spec.broken_by(changed) for spec in specs)

    assert_only_harmless(log, stands, HARMLESS | HARMLESS_IN_ACCURACY, 0)


def assert_only_harmless(
    log: Path, stands: Callable[[], bool], harmless: dict[str, str], turn: int
) -> None:
    """Spoils every key of a log; what still stands has to be listed.

    Results are spoilt in every way; with the others the ways take turns over the scenarios
    (`turn`), so that this stays quick.
    """
    whole = log.read_text()
    log.unlink()  # a link to the file of all tests
    log.write_text(whole)
    assert stands()
    surviving = set()
    for number, (key, way, text) in enumerate(mutations(log)):
        if not key.startswith("result_") and (number + turn) % 2:
            continue
        log.write_text(text)
        with contextlib.suppress(BenchmarkError):
            if stands():
                surviving.add(f"{key} {way}")
    strange = [name for name in surviving if not any(re.fullmatch(p, name) for p in harmless)]
    assert sorted(strange) == []


@pytest.mark.parametrize(("category", "scenario"), [RUNS[1], RUNS[3]])
def test_a_spoilt_file_is_never_submitted(
    category: str,
    scenario: str,
    copy: Callable[[str, str], Path],
    runs: Runs,
    whole: Callable[[str, str], list[FinishedRun]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(read, "read_answers", read_answers_once)
    folder, of = copy(category, scenario), whole("5.1", category)
    place = SCENARIOS[category].index(scenario)
    other = runs["5.1", category, SCENARIOS[category][place - 1]]

    def stands() -> bool:
        changed = read_run(folder)
        if changed.result != OFFICIAL_READY:
            return False
        checks.check([*of[:place], changed, *of[place + 1 :]], "closed")
        return True

    assert stands()
    surviving = set()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        content = path.read_bytes()
        swapped = other / name
        spoilt = {
            "delete": None,
            "zero": b"",
            "inf": b"inf\n",
            "torn": content[: len(content) // 2],
            "swap": swapped.read_bytes() if swapped.is_file() else b"{}",
        }
        for way, changed in spoilt.items():
            path.unlink(missing_ok=True)
            if changed == content:
                continue
            if changed is not None:
                path.write_bytes(changed)
            with contextlib.suppress(BenchmarkError):
                if stands():
                    surviving.add(f"{name} {way}")
        path.unlink(missing_ok=True)
        path.write_bytes(content)
    strange = [n for n in surviving if not any(re.fullmatch(p, n) for p in HARMLESS_FILES)]
    assert sorted(strange) == []


def read_answers_once(path: Path) -> list[Generation]:
    """The answers of an accuracy log; the same file is read once for all mutations."""
    text = path.read_bytes()
    return parsed(text) if len(text) < 100_000 else large(hashlib.sha256(text).hexdigest(), path)


def parsed(text: bytes) -> list[Generation]:
    with tempfile.NamedTemporaryFile() as file:
        file.write(text)
        file.flush()
        return answers.read_answers(Path(file.name))


@functools.cache
def large(_sha256: str, path: Path) -> list[Generation]:
    return answers.read_answers(path)
