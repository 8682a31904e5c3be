"""An evaluation's report.md and report.html, and its last lines on the terminal."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import formatting, precision, templates
from harness.language import phrase, translated
from harness.mmlu.config import LLAMA, PLAIN
from harness.mmlu.results import Results
from harness.mmlu.subjects import in_words
from harness.report import pages, svg
from harness.results.folder import RunFolder

_TEMPLATES = Path(__file__).with_name("templates")
PROTOCOL_NAMES = {
    PLAIN: phrase(
        "plain: the likeliest of the letters after the question, as lm-evaluation-harness's task "
        "mmlu"
    ),
    LLAMA: phrase(
        "llama: a chat in which the model writes the letter, as lm-evaluation-harness's task "
        "mmlu_llama"
    ),
}
_PHASES = {
    "preparation": phrase("start, questions and prompts"),
    "engine_load": phrase("loading the engine"),
    "questions": phrase("questions"),
    "shutdown": phrase("shutting the engine down"),
}
CAPTIONS = {
    "score_by_domain": phrase(
        "The share of right answers in each domain; the thin line is the standard error. A model "
        "that only guesses stays near the dotted line."
    ),
    "score_by_subject": phrase(
        "The share of right answers in each subject, the best first, with the number of "
        "questions it is of."
    ),
}
_FILES = {
    "overall.json": phrase("the score of all questions"),
    "by_domain.json": phrase("the score of each domain"),
    "by_subject.json": phrase("the score of each subject"),
    "samples.csv": phrase(
        "each question: the answer, what the model made of it, and how long it took"
    ),
    "summary.json": phrase("the same for programs, with the machine and the settings"),
    "config.json": phrase("every setting"),
    "run.log": phrase("what the evaluation and the engine said"),
}


def render(
    record: dict[str, Any], config: dict[str, Any], results: Results | None, folder: RunFolder
) -> str:
    """report.md. Raises BenchmarkError when jinja2 is not installed."""
    values = _values(record, config, results, folder)
    return templates.render("mmlu.md.j2", _TEMPLATES, pages.TEMPLATES, **values)


def render_page(
    record: dict[str, Any], config: dict[str, Any], results: Results | None, folder: RunFolder
) -> str:
    """report.html, with its figures in it. Raises BenchmarkError without jinja2, OSError."""
    values = _values(record, config, results, folder)
    page = {
        "tone": "bad" if results is None else "doubtful" if record["departures"] else "good",
        "place": pages.place(record),
        "score_rows": list(_score_rows(record["meta"]["protocol"], results)) if results else [],
        "pictures": [
            (caption, svg.of_run(folder, name, caption)) for name, caption, _ in values["plots"]
        ],
    }
    return templates.render("mmlu.html.j2", _TEMPLATES, pages.TEMPLATES, **values, **page)


def _values(
    record: dict[str, Any], config: dict[str, Any], results: Results | None, folder: RunFolder
) -> dict[str, Any]:
    """What both are filled with."""
    return {
        "summary": record,
        "config": config,
        "meta": record["meta"],
        "title": _title(record),
        "protocol_sentence": _protocol(record["meta"]["num_fewshot"], config["flags"]["protocol"]),
        "results": results,
        "in_words": in_words,
        "percent": percent,
        "machine": list(pages.machine_rows(record["system"])),
        "settings": list(_settings(config)),
        "engine": pages.engine_rows(config["resolved"]),
        "phases": [(_PHASES.get(name, name), s) for name, s in record["meta"]["phases_s"].items()],
        "command": shlex.join(record["meta"]["command"]),
        "plots": [(name, CAPTIONS[name], path) for name, path in record["plots"].items() if path],
        "files": [
            (folder.report_html.name, phrase("this report as one file to forward")),
            *((name, text) for name, text in _FILES.items() if (folder.path / name).exists()),
        ],
    }


def _protocol(num_fewshot: int, protocol: str) -> str:
    name = PROTOCOL_NAMES[protocol]
    if not num_fewshot:
        return phrase("The protocol is **{protocol}**, without examples.", protocol=name)
    return phrase(
        "The protocol is **{protocol}**, after {shots} examples from the same subject.",
        protocol=name,
        shots=num_fewshot,
    )


def _score_rows(protocol: str, results: Results) -> Iterator[tuple[str, str]]:
    overall = results.overall
    yield phrase("all questions alike (micro average)"), percent(overall["overall_accuracy"])
    yield phrase("standard error"), percent(overall["standard_error"])
    yield phrase("all subjects alike (macro average)"), percent(overall["macro_accuracy"])
    right, total = (formatting.count(overall[key]) for key in ("correct", "total"))
    yield phrase("right"), phrase("{right} of {total}", right=right, total=total)
    if protocol == LLAMA:
        unparsed = formatting.count(overall["unparsed"])
        yield phrase("answers that named no letter (count as wrong)"), unparsed


def percent(share: float | None) -> str:
    """A share as "69.40 %"."""
    return formatting.NOT_KNOWN if share is None else f"{100 * share:.2f} %"


def _title(record: dict[str, Any]) -> str:
    meta = record["meta"]
    formats = precision.in_words(meta["precision"], meta["quantization"])
    return phrase(
        "MMLU ({protocol}): {model}, {formats}",
        protocol=meta["protocol"],
        model=meta["model"],
        formats=formats,
    )


def _settings(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    flags, data, model = config["flags"], config["dataset"], config["model"]
    yield phrase("protocol"), PROTOCOL_NAMES[flags["protocol"]]
    yield phrase("examples before each question"), str(flags["num_fewshot"])
    yield (
        phrase("questions"),
        phrase(
            "{samples} of {available}, in {subjects} subjects; {source}",
            samples=formatting.count(data["samples"]),
            available=formatting.count(data["available"]),
            subjects=data["subjects"],
            source=data["source"],
        ),
    )
    yield phrase("checksum of the questions (SHA-256)"), data["checksum_sha256"]
    yield phrase("prompts"), pages.prompt_lengths(data)
    yield phrase("model"), pages.model(flags, model)
    yield phrase("number formats"), precision.of(config)
    yield phrase("engine settings"), pages.profile(config["resolved"]["profile"])


def terminal_summary(record: dict[str, Any]) -> str:
    """The evaluation in plain text: the score, each domain, what it is not, where the report is."""
    meta, headline = record["meta"], translated(record["headline"]["text"])
    lines = [translated(_title(record)), "", f"  {headline}", ""]
    results = record["run"]["mmlu"]
    rows: list[tuple[str, str]] = []
    if results:
        for name, score in results["domains"].items():
            right = percent(score["accuracy"])
            rows.append(
                (
                    name,
                    phrase(
                        "{share} of {total}", share=right, total=formatting.count(score["total"])
                    ),
                )
            )
        if unparsed := results["overall"]["unparsed"]:
            text = phrase(
                "{unparsed} answers named no letter; they count as wrong",
                unparsed=formatting.count(unparsed),
            )
            rows.append((phrase("unparsed"), text))
    rows += [
        (phrase("note"), sentence) for sentence in (*record["departures"], *record["problems"])
    ]
    here = Path(meta["results_dir"]) / meta["name"]
    rows.append((phrase("report"), str(here / "report.md")))
    rows.append((phrase("to forward"), str(here / "report.html")))
    for name, text in rows:
        lines += pages.wrapped(text, f"  {pages.padded(name, 17)}", " " * 19)
    return "\n".join(lines) + "\n"
