"""Whether finished runs may stand together in one submission, and if not, what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from harness import precision
from harness.config import Scenario
from harness.errors import UsageError
from harness.language import joined, phrase
from harness.logs.text import read_text
from harness.results.folder import ACCURACY_LOG, DETAIL_LOG, SUMMARY_LOG, TEST06_VERIFIED
from harness.rules.user_conf import is_of_run
from harness.rules.verdict import NOT_FINISHED, OFFICIAL_READY
from harness.submission.finished_run import FinishedRun
from harness.submission.open_division import rejections

# What one machine and its software have in common over all runs of a submission.
SAME_SYSTEM = {
    "gpu_name": "GPU",
    "gpu_count": phrase("number of GPUs"),
    "driver_version": "NVIDIA driver",
    "cpu": "CPU",
    "memory_bytes": phrase("memory"),
    "os": phrase("operating system"),
    "torch_version": "PyTorch",
    "vllm_version": "vLLM",
    "loadgen_version": "LoadGen",
}


def check(runs: Sequence[FinishedRun], division: str) -> None:
    """Raises UsageError, with every reason found, unless the runs make a submission."""
    if not runs:
        raise UsageError("--submission: give the folders of the runs, for example results/latest.")
    for look in (_what_is_missing, _differences, _other_settings):
        _refuse(
            phrase("--submission: these runs cannot stand together or are not whole:"), look(runs)
        )
    if division == "closed":
        reasons = [*_scenarios_missing(runs), *_verdicts(runs)]
        _refuse(
            phrase(
                "--submission: the closed division does not take these runs "
                "(--division open has fewer rules):"
            ),
            reasons,
        )
    else:
        _refuse(
            phrase(
                "--submission: the official checkers reject these runs in the open division, too:"
            ),
            [reason for run in runs for reason in _rejections(run)],
        )


def _refuse(beginning: str, reasons: Sequence[str]) -> None:
    if reasons:
        raise UsageError(joined("\n  ", (beginning, *reasons)))


def _what_is_missing(runs: Sequence[FinishedRun]) -> list[str]:
    """What no division can do without."""
    missing = []
    for run in runs:
        folder, evidence = run.folder, run.evidence
        if run.result == NOT_FINISHED:
            reasons = joined(" ", run.reasons) if run.reasons else phrase("the run failed.")
            missing.append(joined(": ", (folder.name, reasons)))
            continue
        places = (folder.performance, folder.accuracy)
        needed = [place / log for place in places for log in (SUMMARY_LOG, DETAIL_LOG)]
        needed += [folder.accuracy / ACCURACY_LOG, folder.user_conf]
        if evidence.compliance is not None:
            needed += [folder.test06 / ACCURACY_LOG, folder.test06 / TEST06_VERIFIED]
        absent = [str(path.relative_to(folder.path)) for path in needed if not path.is_file()]
        if absent:
            missing.append(
                f"{folder.name}: there is no {', no '.join(absent)}; run it again with --mode both."
            )
        elif evidence.accuracy is None or evidence.accuracy.gen_len is None:
            missing.append(f"{folder.name}: its answers were not scored.")
        elif evidence.accuracy.log_sha256 not in (None, evidence.accuracy_log_sha256):
            missing.append(
                phrase(
                    "{name}: its scores are of another accuracy log; score this one: "
                    "python report.py {path} --rescore",
                    name=folder.name,
                    path=folder.path,
                )
            )
    return missing


def _other_settings(runs: Sequence[FinishedRun]) -> list[str]:
    """The runs whose user.conf is not their own."""
    return [
        f"{run.folder.name}: user.conf is not what a run of these settings gives LoadGen; run it "
        "again."
        for run in runs
        if not is_of_run(run.evidence, read_text(run.folder.user_conf))
    ]


def _differences(runs: Sequence[FinishedRun]) -> list[str]:
    """In what the runs differ and must not."""
    configs = [run.evidence.config for run in runs]
    systems = [config["system"] for config in configs]
    compared: list[tuple[str, list[Any], str]] = [
        (
            phrase("round"),
            [config["flags"]["version"] for config in configs],
            "make a submission of each round.",
        ),
        (
            phrase("category"),
            [config["flags"]["category"] for config in configs],
            "make a submission of each category.",
        ),
        (
            phrase("commit of this program"),
            [system.get("git_commit") for system in systems],
            "run them again with one version: the rules ask for the same code.",
        ),
    ]
    for key, words in SAME_SYSTEM.items():
        way_out = "make a submission of each system."
        compared.append((words, [system.get(key) for system in systems], way_out))
    differences = []
    for words, values, way_out in compared:
        if len(set(values)) > 1:
            names: dict[Any, list[str]] = {}
            for run, value in zip(runs, values, strict=True):
                names.setdefault(value, []).append(run.folder.name)
            listed = "; ".join(f"{value}: {', '.join(of)}" for value, of in names.items())
            differences.append(
                phrase(
                    "The {words} differs ({listed}). So {way_out}",
                    words=words, listed=listed, way_out=way_out,
                )
            )  # fmt: skip
    scenarios = [run.evidence.scenario for run in runs]
    for scenario in dict.fromkeys(scenarios):
        if scenarios.count(scenario) > 1:
            differences.append(
                f"{scenario.label} is there {scenarios.count(scenario)} times: give one."
            )
    return differences


def _scenarios_missing(runs: Sequence[FinishedRun]) -> list[str]:
    there = {run.evidence.scenario for run in runs}
    edge = runs[0].evidence.config["flags"]["category"] == "edge"
    needed = (Scenario.OFFLINE, Scenario.SINGLESTREAM) if edge else (Scenario.OFFLINE,)
    missing = [
        f"There is no {scenario.label} run, which is required."
        for scenario in needed
        if scenario not in there
    ]
    if not edge and not there & {Scenario.SERVER, Scenario.INTERACTIVE}:
        missing.append("There is neither a Server nor an Interactive run; one of them is required.")
    return missing


def _verdicts(runs: Sequence[FinishedRun]) -> list[str]:
    refused = []
    for run in runs:
        if run.result != OFFICIAL_READY:
            first = phrase("{name} is {result}:", name=run.folder.name, result=run.result)
            refused.append(joined("\n    ", (first, *run.reasons)))
    return refused


def _rejections(run: FinishedRun) -> list[str]:
    return [joined(", ", (run.folder.name, why.in_words())) for why in rejections(run.evidence)]


def doubts(runs: Sequence[FinishedRun]) -> tuple[str, ...]:
    """What a reviewer might ask about."""
    doubtful = []
    if any(run.evidence.config["system"].get("git_dirty") for run in runs):
        doubtful.append(
            "The program had changes that were not committed when it ran; the copied source is "
            "the commit without them."
        )
    if not runs[0].evidence.config["system"].get("git_commit"):
        doubtful.append("The runs name no commit; the source was copied as it lies here now.")
    for run in runs:
        if run.evidence.accuracy is not None and run.evidence.accuracy.log_sha256 is None:
            doubtful.append(
                f"{run.folder.name}: rouge.json does not record which accuracy log was scored."
            )
        if came := precision.label(run.evidence.config):
            doubtful.append(
                f"{run.folder.name} ran {came}: calibration.md holds what the checkpoint says of "
                "itself; add which program and which samples of the official calibration set made "
                "it of the reference weights (rules:680-701)."
            )
        if run.result != OFFICIAL_READY:
            first = phrase(
                "{name} is {result}, which open takes:", name=run.folder.name, result=run.result
            )
            doubtful.append(joined("\n    ", (first, *run.reasons)))
    return tuple(doubtful)
