"""What an evaluation leaves in its run folder: overall.json, by_domain.json, by_subject.json.

The report is made from these and config.json alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from harness import json_text
from harness.errors import LogError
from harness.mmlu.config import MmluConfig
from harness.mmlu.score import Answered, Score, Tally, score, write_samples_csv
from harness.mmlu.subjects import DOMAIN_OF
from harness.results.files import write_json
from harness.results.folder import RunFolder

OVERALL, BY_DOMAIN, BY_SUBJECT = "overall.json", "by_domain.json", "by_subject.json"


@dataclass(frozen=True)
class Results:
    """The files as read back: accuracies are shares from 0 to 1."""

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


def read(folder: RunFolder) -> Results | None:
    """None: the evaluation did not come that far. Raises LogError when a file is damaged."""
    if not (folder.path / OVERALL).exists():
        return None
    return Results(
        overall=_read(folder, OVERALL),
        domains=_read(folder, BY_DOMAIN, "domains"),
        subjects=_read(folder, BY_SUBJECT, "subjects"),
    )


def _read(folder: RunFolder, name: str, part: str | None = None) -> dict[str, Any]:
    path = folder.path / name
    try:
        value = json_text.loads(path.read_text(encoding="utf-8"))
        content = value if part is None else value[part]
        if not isinstance(content, Mapping):
            raise TypeError("not an object")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise LogError(f"{path} cannot be read ({error}); repeat the evaluation.") from None
    return dict(content)
