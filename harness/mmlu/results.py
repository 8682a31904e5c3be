"""What an evaluation leaves in its run folder: overall.json, by_domain.json, by_subject.json.

The report is made from these and config.json alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness import json_text, shapes
from harness.errors import LogError
from harness.language import phrase
from harness.mmlu.config import MmluConfig
from harness.mmlu.score import Answered, Score, Tally, score, write_samples_csv
from harness.mmlu.subjects import DOMAIN_OF
from harness.results.files import write_json
from harness.results.folder import RunFolder

OVERALL, BY_DOMAIN, BY_SUBJECT = "overall.json", "by_domain.json", "by_subject.json"
_COUNTS = {"correct": shapes.COUNT, "total": shapes.POSITIVE, "unparsed": shapes.COUNT}
_BY_SUBJECT = shapes.Fields({"subjects": shapes.Each(shapes.Fields(_COUNTS), dict)})


@dataclass(frozen=True)
class Results:
    """What the files say: accuracies are shares from 0 to 1."""

    overall: dict[str, Any]
    domains: dict[str, dict[str, Any]]
    subjects: dict[str, dict[str, Any]]


def write(folder: RunFolder, config: MmluConfig, answers: Sequence[Answered]) -> None:
    """The three files and, with --details 1, a row for each question."""
    scored = score(answers)
    for name, content in to_json(scored, config.protocol, config.num_fewshot).items():
        write_json(folder.path / name, content)
    if config.details:
        write_samples_csv(folder.samples_csv, config.protocol, answers)


def to_json(scored: Score, protocol: str, num_fewshot: int) -> dict[str, dict[str, Any]]:
    """The content of each file by its name; every one names the protocol."""
    by = {"protocol": protocol, "num_fewshot": num_fewshot}
    overall = {
        **by,
        "overall_accuracy": scored.overall.accuracy,
        "macro_accuracy": scored.macro_accuracy,
        "standard_error": scored.overall.standard_error,
        "correct": scored.overall.correct,
        "total": scored.overall.total,
        "unparsed": scored.overall.unparsed,
        "subjects": len(scored.subjects),
    }
    domains = {name: _row(tally) for name, tally in scored.domains.items()}
    for name, row in domains.items():
        row["subjects"] = sum(DOMAIN_OF[subject] == name for subject in scored.subjects)
    subjects = {
        name: {"domain": DOMAIN_OF[name], **_row(tally)} for name, tally in scored.subjects.items()
    }
    return {
        OVERALL: overall,
        BY_DOMAIN: {**by, "grouping": "lm-evaluation-harness", "domains": domains},
        BY_SUBJECT: {**by, "subjects": subjects},
    }


def _row(tally: Tally) -> dict[str, Any]:
    return {
        "accuracy": tally.accuracy,
        "standard_error": tally.standard_error,
        "correct": tally.correct,
        "total": tally.total,
        "unparsed": tally.unparsed,
    }


def read(folder: RunFolder, config: dict[str, Any]) -> Results | None:
    """None: the evaluation did not come that far. Raises LogError when a file is damaged.

    Everything follows from the subjects' counts and config.json, so the files are held against
    those.
    """
    if not (folder.path / OVERALL).exists():
        return None
    written = {name: _read(folder.path / name) for name in (OVERALL, BY_DOMAIN, BY_SUBJECT)}
    path = folder.path / BY_SUBJECT
    if fault := shapes.fault(written[BY_SUBJECT], _BY_SUBJECT) or _miscounted(written[BY_SUBJECT]):
        raise LogError(
            phrase("{path} is damaged ({fault}); repeat the evaluation.", path=path, fault=fault)
        )
    tallies = {
        name: Tally(row["correct"], row["total"], row["unparsed"])
        for name, row in written[BY_SUBJECT]["subjects"].items()
    }
    scored, asked = Score.of_subjects(tallies), config["resolved"]["sample_count"]
    if scored.overall.total != asked:
        raise LogError(
            f"{path} is of {scored.overall.total:,} questions, and {asked:,} were asked by "
            f"{folder.config_json.name}; repeat the evaluation."
        )
    expected = to_json(scored, config["flags"]["protocol"], config["flags"]["num_fewshot"])
    for name, content in expected.items():
        if place := _difference(content, written[name]):
            raise LogError(
                f"{folder.path / name} does not say what the counts in {BY_SUBJECT} and "
                f"config.json say ({place}); repeat the evaluation."
            )
    return Results(
        overall=expected[OVERALL],
        domains=expected[BY_DOMAIN]["domains"],
        subjects=expected[BY_SUBJECT]["subjects"],
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json_text.loads(path.read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError(phrase("it is no object"))
    except (OSError, ValueError) as error:
        raise LogError(f"{path} cannot be read ({error}); repeat the evaluation.") from None
    return value


def _miscounted(by_subject: dict[str, Any]) -> str | None:
    """What is wrong with the counts of the subjects, in a few words; None: nothing."""
    if not by_subject["subjects"]:
        return phrase("there are no subjects")
    for name, row in by_subject["subjects"].items():
        if name not in DOMAIN_OF:
            return phrase("{name} is no subject of MMLU", name=shapes.shown(name))
        if row["correct"] + row["unparsed"] > row["total"]:
            return phrase("of {name}, more are right or unreadable than were asked", name=name)
    return None


def _difference(expected: object, written: object, place: str = "") -> str | None:
    """Where a file differs from what it should say; None: nowhere. More may stand in it."""
    if isinstance(expected, dict):
        if not isinstance(written, dict):
            return place
        inner = (
            _difference(value, written.get(name), f"{place}.{name}".lstrip("."))
            for name, value in expected.items()
        )
        return next(filter(None, inner), None)
    if isinstance(expected, float) and shapes.is_number(written):
        return None if math.isclose(expected, written, rel_tol=1e-9) else place
    return None if expected == written and type(expected) is type(written) else place
