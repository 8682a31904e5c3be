"""What differs between runs before anything is measured, and which runs cannot be compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness import formatting
from harness.errors import UsageError
from harness.language import joined, phrase
from harness.report.comparison_runs import SAME_RATE, ComparedRun

ANYWAY = "--anyway"
# What makes another measurement of it: where it stands in config.json, and its name in a sentence.
_SAME_WORK = (
    (("flags", "scenario"), phrase("scenario")),
    (("flags", "category"), phrase("category")),
    (("flags", "version"), phrase("MLPerf round")),
    (("flags", "weights"), phrase("weights")),
    (("dataset", "name"), phrase("data set")),
    (("dataset", "checksum_sha256"), phrase("content of the data set (its checksum)")),
    (("resolved", "sample_count"), phrase("number of samples of the data set")),
    (("resolved", "sampling"), phrase("lengths and choice of tokens")),
)
_GROUPS = (
    (phrase("settings"), ("flags",)),
    (phrase("engine"), ("resolved", "engine")),
    (phrase("engine's variables"), ("resolved", "engine_environment")),
    (phrase("sampling"), ("resolved", "sampling")),
    (phrase("profile"), ("resolved", "profile")),
    (phrase("model"), ("model",)),
    (phrase("data set"), ("dataset",)),
    (phrase("system"), ("system",)),
)
_VERSIONS = phrase("versions")
# Differ from run to run, or repeat what another row says.
_LEFT_OUT = {
    ("settings", "engine_args"),
    ("settings", "results_dir"),
    ("settings", "tune_minutes"),
    ("model", "path"),
    ("model", "requested"),
    ("model", "unofficial_because"),
    ("data set", "name"),
    ("data set", "unofficial_because"),
    ("engine", "model"),
    ("engine", "tokenizer"),
}
_HASHES = {"git_commit", "revision", "checksum_sha256"}  # their beginning tells them apart


@dataclass(frozen=True)
class Difference:
    """One thing that is not the same in all runs."""

    group: str
    name: str
    values: tuple[str, ...]  # a text for each run


def differences(runs: Sequence[ComparedRun]) -> list[Difference]:
    """Only what differs; what all runs have in common tells nothing."""
    found = [
        difference
        for group, path in _GROUPS
        for difference in _of_group(group, [_part(run.config, *path) for run in runs])
    ]
    rates = [run.result.target_qps for run in runs]
    if not same_rates(runs):
        texts = tuple(formatting.rate(rate, "queries/s") for rate in rates)
        found.append(Difference(phrase("settings"), phrase("rate asked for"), texts))
    order = {group: number for number, (group, _) in enumerate(_GROUPS)}
    return sorted(found, key=lambda d: order.get(d.group, len(order)))


def same_rates(runs: Sequence[ComparedRun]) -> bool:
    """Whether all Server tests were asked for the same rate; other scenarios have none."""
    rates = [run.result.target_qps for run in runs if run.result.scenario == "Server"]
    known = [rate for rate in rates if rate]
    return len(known) == len(rates) and (
        not known or max(known) - min(known) <= SAME_RATE * min(known)
    )


def refuse_what_cannot_be_compared(runs: Sequence[ComparedRun]) -> None:
    """Raises UsageError that says what differs and the way out."""
    reasons = list(incomparable(runs))
    if reasons:
        raise UsageError(
            phrase(
                "These runs did not do the same work, so their figures do not compare: {reasons}. "
                "Compare runs that differ in settings or machine alone, or add {anyway} to see "
                "them side by side all the same.",
                reasons=joined("; ", reasons),
                anyway=ANYWAY,
            )
        )


def incomparable(runs: Sequence[ComparedRun]) -> Iterator[str]:
    """Why the runs are different measurements: 'scenario: A offline, B server'."""
    work = {name: [_text(_part(run.config, *path)) for run in runs] for path, name in _SAME_WORK}
    for name, values in {phrase("model"): [_model(run) for run in runs], **work}.items():
        if len(set(values)) > 1:
            named = zip(runs, values, strict=True)
            values_of_runs = ", ".join(f"{run.label} {value}" for run, value in named)
            yield joined(": ", (name, values_of_runs))


def _model(run: ComparedRun) -> str:
    revision = run.config["model"].get("revision")
    return run.flags.model_repo + (f" ({revision[:12]})" if revision else "")


def _of_group(group: str, parts: Sequence[Any]) -> Iterator[Difference]:
    flat = [dict(_flat(part)) for part in parts]
    for name in dict.fromkeys(name for values in flat for name in values):
        values = tuple(_text(values.get(name)) for values in flat)
        if name in _HASHES:
            values = tuple(value[:12] for value in values)
        if len(set(values)) > 1 and (group, name.split(".")[0]) not in _LEFT_OUT:
            is_version = group == "system" and ("version" in name or name.startswith("git_"))
            flag = "--" + name.removesuffix("_s").replace("_", "-")
            shown = flag if group == "settings" else name
            yield Difference(_VERSIONS if is_version else group, shown, values)


def _flat(part: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """The values of nested objects under dotted names."""
    if not isinstance(part, Mapping):
        return
    for key, value in part.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _part(value: Any, *path: str) -> Any:
    for key in path:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(item)}" for key, item in value.items()) or "-"
    if isinstance(value, list | tuple):
        return ", ".join(map(_text, value)) or "-"
    return str(value)
