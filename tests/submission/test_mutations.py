"""Whatever is changed in a run of official length, nothing false is taken for an official result.

Every key of LoadGen's detail logs and every file of the run folder is deleted, set to zero or
emptied, made infinite, and swapped for another. What may stay official is listed with its reason
(harmless_keys.py).
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from harness.errors import BenchmarkError
from harness.logs import answers
from harness.logs.detail import read_detail_log
from harness.logs.performance import performance_result
from harness.metrics import Generation
from harness.results.folder import DETAIL_LOG, RunFolder
from harness.rules import read
from harness.rules.evidence import Evidence
from harness.rules.verdict import OFFICIAL_READY, SPECS
from harness.submission.finished_run import read_run
from tests.submission import harmless, harmless_keys
from tests.submission.conftest import SCENARIOS, Runs
from tests.submission.harmless import Harmless

MARK = ":::MLLOG "
RUNS = (
    ("datacenter", "offline"),
    ("datacenter", "server"),
    ("datacenter", "interactive"),
    ("edge", "singlestream"),
)


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


Stands = Callable[[], bool]


@pytest.mark.parametrize(("category", "scenario"), RUNS)
def test_a_spoilt_performance_log_is_never_official(
    category: str, scenario: str, copy: Callable[[str, str], Path]
) -> None:
    folder = copy(category, scenario)
    evidence = read_run(folder).evidence

    def stands() -> bool:
        return official(dataclasses.replace(evidence, performance=performance_result(folder)))

    log = folder / "Performance" / DETAIL_LOG
    assert_only_harmless(log, stands, harmless_keys.PERFORMANCE, scenario)


@pytest.mark.parametrize(("category", "scenario"), RUNS)
def test_a_spoilt_accuracy_log_is_never_official(
    category: str, scenario: str, copy: Callable[[str, str], Path]
) -> None:
    folder = copy(category, scenario)
    evidence = read_run(folder).evidence
    log = folder / "Accuracy" / DETAIL_LOG

    def stands() -> bool:
        return official(dataclasses.replace(evidence, accuracy_log=read_detail_log(log)))

    assert_only_harmless(log, stands, harmless_keys.ACCURACY, scenario)


@pytest.mark.parametrize(("category", "scenario"), [r for r in RUNS if r[0] == "datacenter"])
def test_a_spoilt_log_of_test06_is_never_official(
    category: str, scenario: str, copy: Callable[[str, str], Path]
) -> None:
    folder = copy(category, scenario)
    evidence = read_run(folder).evidence
    test06 = RunFolder(folder).test06
    log = test06 / DETAIL_LOG

    def stands() -> bool:
        return official(
            dataclasses.replace(
                evidence,
                compliance=read._read_test06(test06, evidence.config),
                compliance_log=read_detail_log(log),
            )
        )

    assert_only_harmless(log, stands, harmless_keys.TEST06, scenario)


def official(evidence: Evidence) -> bool:
    """Whether no rule is broken: the verdict without its words, which take longer."""
    return not any(spec.broken_by(evidence) for spec in SPECS)


def assert_only_harmless(
    log: Path, stands: Stands, listed: Sequence[Harmless], scenario: str
) -> None:
    """Spoils every key of a log in every way; what still stands has to be listed, and no more."""
    whole = log.read_text()
    log.unlink()  # a link to the file of all tests
    log.write_text(whole)
    assert stands()
    surviving = set()
    for key, way, text in mutations(log):
        log.write_text(text)
        with contextlib.suppress(BenchmarkError):
            if stands():
                surviving.add((key, way, scenario))
    strange, idle = harmless.strange(surviving, listed), harmless.idle(surviving, listed, scenario)
    assert (strange, idle) == ([], [])


@pytest.mark.parametrize(("category", "scenario"), RUNS)
def test_a_spoilt_file_is_never_official(
    category: str,
    scenario: str,
    copy: Callable[[str, str], Path],
    runs: Runs,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(read, "read_answers", read_answers_once)
    folder = copy(category, scenario)
    place = SCENARIOS[category].index(scenario)
    other = runs["5.1", category, SCENARIOS[category][place - 1]]

    def stands() -> bool:
        return read_run(folder).result == OFFICIAL_READY

    assert stands()
    surviving = {(*spoilt, scenario) for spoilt in spoilt_files(folder, other, stands)}
    assert harmless.strange(surviving, harmless_keys.FILES) == []
    assert harmless.idle(surviving, harmless_keys.FILES, scenario) == []


def spoilt_files(folder: Path, other: Path, stands: Stands) -> Iterator[tuple[str, str]]:
    """Spoils every file in every way, one at a time; yields what stands all the same."""
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        content = path.read_bytes()
        swapped = other / name
        ways = {
            "delete": None,
            "zero": b"",
            "inf": b"inf\n",
            "torn": content[: len(content) // 2],
            "swap": swapped.read_bytes() if swapped.is_file() else b"{}",
        }
        for way, changed in ways.items():
            path.unlink(missing_ok=True)
            if changed == content:
                continue
            if changed is not None:
                path.write_bytes(changed)
            with contextlib.suppress(BenchmarkError):
                if stands():
                    yield name, way
        path.unlink(missing_ok=True)
        path.write_bytes(content)


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
