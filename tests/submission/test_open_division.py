"""The open division takes what departs from the rules, but nothing that a checker rejects."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from harness.errors import LogError, UsageError
from harness.logs.detail import read_detail_log
from harness.logs.performance import performance_result
from harness.results.folder import DETAIL_LOG
from harness.rounds import ROUNDS
from harness.rules import verdict
from harness.rules.evidence import Evidence
from harness.submission import checks
from harness.submission.finished_run import FinishedRun
from harness.submission.open_division import rejections
from tests.submission.conftest import Runs, changed
from tests.submission.test_mutations import MARK, with_value

SEEDS = ("qsl_rng_seed", "sample_index_rng_seed", "schedule_rng_seed")
HEADLINE = {
    "Offline": "result_tokens_per_second",
    "Server": "result_completed_tokens_per_second",
    "SingleStream": "result_90.00_percentile_latency_ns",
}
LIMITS_MS = {"Server": (2000, 100), "Interactive": (500, 30)}
# Every key that a checker reads in the open division, and other values for it.
FAULTS: dict[str, tuple[str | None, ...]] = {
    **{f"effective_{seed}": ("1", None) for seed in SEEDS},
    "effective_performance_sample_count": ("20", "1000000"),
    "effective_samples_per_query": ("20", "0"),
    "effective_min_duration_ms": ("0", "599999", "600001", "inf", None),
    "effective_min_query_count": ("0", "1", "inf", None),
    "effective_scenario": ('"MultiStream"',),
    "effective_target_latency_ns": ("20000000000", "20000000001", None),
    "effective_sample_concatenate_permutation": ("false", None),
    "requested_use_token_latencies": ("false", None),
    "result_first_token_99.00_percentile_latency_ns": ("0", "499999999", "500000000", "2000000000"),
    "result_time_per_output_token_99.00_percentile_ns": ("30000000", "99999999", "100000000", None),
    **dict.fromkeys(HEADLINE.values(), ("0", "inf", None)),
    "early_stopping_met": ("false", None),
    "result_validity": ('"INVALID"', None),
    "num_errors": ("3",),
}
FAULTS_OF_ACCURACY: dict[str, tuple[str | None, ...]] = {
    "qsl_reported_total_count": ("20",),
    "effective_qsl_rng_seed": ("1",),
    "effective_test_mode": ('"SubmissionRun"',),
}


class Log:
    """A detail log as the official parsers have it: the last value of each key, and the errors."""

    def __init__(self, path: Path) -> None:
        self.values: dict[str, Any] = {}
        self.errors = 0
        for line in path.read_text().splitlines():
            text = line.removeprefix(MARK).replace('"value": inf', '"value": null')
            entry = json.loads(text, strict=False)
            self.values[entry["key"]] = entry["value"]
            self.errors += bool(entry["metadata"]["is_error"])

    def __getitem__(self, key: str) -> Any:
        value = self.values.get(key)
        return float("nan") if value is None else value  # no comparison with it holds


def both_accept(log: Log, label: str, whole: int) -> bool:
    """What check_performance_dir of v5.1.1 and PerformanceCheck of the newest both ask in open."""
    scenario = "Server" if label == "Interactive" else label
    asked = [
        *(log[f"effective_{s}"] == getattr(ROUNDS["5.1"].seeds, s) for s in SEEDS),
        log["effective_performance_sample_count"] >= whole,
        log["effective_min_duration_ms"] >= 600_000,
        log["effective_scenario"] == scenario,
        log["requested_use_token_latencies"] is True,
        log[HEADLINE[scenario]] > 0,
    ]
    if scenario == "Offline":
        asked.append(log["effective_min_query_count"] >= 1)
    if scenario == "Server":
        asked.append(log["effective_target_latency_ns"] <= 20e9)
        asked += under(log, LIMITS_MS["Server"])
    return all(asked)


def under(log: Log, limits_ms: tuple[int, int]) -> list[bool]:
    return [
        log["result_first_token_99.00_percentile_latency_ns"] < limits_ms[0] * 1e6,
        log["result_time_per_output_token_99.00_percentile_ns"] < limits_ms[1] * 1e6,
    ]


def v5_1_1_accepts(log: Log, label: str, whole: int) -> bool:
    asked = [log["result_validity"] == "VALID", log.errors == 0, log["num_errors"] == 0]
    if label == "Offline":
        asked.append(log["effective_samples_per_query"] >= whole)
    if label == "Interactive":
        asked += under(log, LIMITS_MS["Interactive"])
    return all(asked)


def newest_accepts(log: Log, accuracy: Log, label: str, whole: int) -> bool:
    asked = [accuracy.errors == 0, accuracy["qsl_reported_total_count"] == whole]
    if label != "Offline":
        asked.append(log["early_stopping_met"] is True)
    return all(asked)


def faults(log: Path, spoilt: dict[str, tuple[str | None, ...]]) -> Iterator[tuple[str, str]]:
    """Every fault as its name and the text of the log with it."""
    lines = log.read_text().splitlines(keepends=True)
    entries = [json.loads(line.removeprefix(MARK)) for line in lines]
    for key, values in spoilt.items():
        for value in values:
            mutated = [
                line if entry["key"] != key else "" if value is None else with_value(entry, value)
                for line, entry in zip(lines, entries, strict=True)
            ]
            yield f"{key} {value}", "".join(mutated)
    error = {"key": "error_runtime", "value": "Odd.", "metadata": {"is_error": True}}
    yield "an error", "".join([*lines[:-1], f"{MARK}{json.dumps(error)}\n", lines[-1]])


@pytest.mark.parametrize("version", ["5.1", "6.1"])
@pytest.mark.parametrize(
    ("category", "scenario"),
    [
        ("datacenter", "offline"),
        ("datacenter", "server"),
        ("datacenter", "interactive"),
        ("edge", "singlestream"),
    ],
)
def test_what_a_checker_rejects_in_open_is_refused_and_the_rest_is_taken(
    version: str,
    category: str,
    scenario: str,
    runs: Runs,
    whole: Callable[[str, str], list[FinishedRun]],
    tmp_path: Path,
) -> None:
    source = runs["5.1", category, scenario]
    folder = Path(shutil.copytree(source, tmp_path / source.name, copy_function=os.link))
    run = next(r for r in whole("5.1", category) if r.evidence.scenario.value == scenario)
    good, label, samples = run.evidence, run.evidence.scenario.label, run.evidence.sample_count
    logs = folder / "Performance" / DETAIL_LOG, folder / "Accuracy" / DETAIL_LOG
    seen = {True: 0, False: 0}
    for log, spoilt in zip(logs, (FAULTS, FAULTS_OF_ACCURACY), strict=True):
        content = log.read_text()
        for fault, text in faults(log, spoilt):
            log.unlink()  # a link to the file of all tests
            log.write_text(text)
            try:
                evidence = dataclasses.replace(
                    good, performance=performance_result(folder),
                    accuracy_log=read_detail_log(logs[1]),
                )  # fmt: skip
            except LogError:
                continue  # refused without being asked
            performance, accuracy = Log(logs[0]), Log(logs[1])
            accepted = both_accept(performance, label, samples)
            accepted &= newest_accepts(performance, accuracy, label, samples)
            if version == "5.1":
                accepted &= v5_1_1_accepts(performance, label, samples)
            found = rejections(of_round(evidence, version))
            assert (found == []) is accepted, f"{fault}: {found}"
            seen[accepted] += 1
        log.unlink()
        log.write_text(content)
    assert min(seen.values()) > 5


def of_round(evidence: Evidence, version: str) -> Evidence:
    """The evidence as it would be judged in a round of the same seeds."""
    if version == "5.1":
        return evidence
    config = json.loads(json.dumps(evidence.config))
    config["flags"]["version"] = version
    seeds = dataclasses.asdict(ROUNDS[version].seeds)
    performance = evidence.performance
    assert performance is not None
    log = performance.loadgen
    wrong = {s for s in SEEDS if getattr(log, s) != getattr(ROUNDS["5.1"].seeds, s)}
    own = {s: value for s, value in seeds.items() if s not in wrong}
    performance = dataclasses.replace(performance, loadgen=dataclasses.replace(log, **own))
    return dataclasses.replace(evidence, config=config, performance=performance)


def refused(run: FinishedRun) -> str:
    with pytest.raises(UsageError) as caught:
        checks.check([run], "open")
    return str(caught.value)


def with_logs(run: FinishedRun, **values: Any) -> FinishedRun:
    """The run with other values in LoadGen's log of its performance test, judged again."""
    performance = run.evidence.performance
    assert performance is not None
    log = dataclasses.replace(performance.loadgen, **values)
    evidence = dataclasses.replace(
        run.evidence, performance=dataclasses.replace(performance, loadgen=log)
    )
    judged = verdict.judge(evidence)
    return FinishedRun(
        run.folder, evidence, judged.result, tuple(b.sentence for b in judged.failed)
    )


def test_every_reason_is_named_with_its_rule_and_with_who_rejects_it(
    good: list[FinishedRun],
) -> None:
    performance = good[1].evidence.performance
    assert performance is not None
    run = with_logs(
        good[1],
        qsl_rng_seed=1,
        effective=performance.loadgen.effective | {"min_duration_ms": 60_000},
        errors=("Odd.",),
    )

    said = refused(run)

    name = good[1].folder.name
    assert said == (
        "--submission: the official checkers reject these runs in the open division, too:\n"
        f"  {name}, seeds: not v5.1's in the performance log: qsl_rng_seed (rejected by both "
        "official checkers).\n"
        f"  {name}, minimum-duration: the performance test could end after 1 min, not 10 min "
        "(rejected by both official checkers).\n"
        f"  {name}, performance-errors: the performance log has errors: Odd (rejected by the "
        "checker of v5.1.1)."
    )


def test_what_only_departs_from_the_closed_rules_is_taken_and_told(
    good: list[FinishedRun],
) -> None:
    fp8 = changed(good[0], "flags", "precision", value="fp8")
    judged = verdict.judge(fp8.evidence)
    run = FinishedRun(
        fp8.folder, fp8.evidence, judged.result, tuple(b.sentence for b in judged.failed)
    )
    assert run.result != verdict.OFFICIAL_READY

    checks.check([run], "open")

    (doubt,) = checks.doubts([run])
    assert doubt.startswith(f"{run.folder.name} is VALID BUT UNOFFICIAL, which open takes:\n    ")
    assert "calls itself fp8" in doubt


def test_scores_of_another_log_are_refused_with_the_way_out(good: list[FinishedRun]) -> None:
    evidence = dataclasses.replace(good[0].evidence, accuracy_log_sha256="f" * 64)
    run = dataclasses.replace(good[0], evidence=evidence)

    assert f"python report.py {run.folder.path} --rescore" in refused(run)
