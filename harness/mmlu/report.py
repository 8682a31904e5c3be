"""summary.json, report.md and the plots of an MMLU evaluation, from its run folder alone."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import formatting, precision, templates
from harness.errors import LogError
from harness.mmlu import plots as mmlu_plots
from harness.mmlu import results as mmlu_results
from harness.mmlu.config import LLAMA, PLAIN
from harness.mmlu.results import Results
from harness.mmlu.subjects import in_words
from harness.report import pages
from harness.results.files import write_json, write_text
from harness.results.folder import RunFolder
from harness.results.index import FINISHED
from harness.rules import record as run_record
from harness.rules.read import check_record, read_config
from harness.shapes import COUNT, TEXT, YES_NO, Each, Fields, maybe, one_of

SCHEMA_VERSION = 1
_TEMPLATES = Path(__file__).with_name("templates")
PROTOCOL_NAMES = {
    PLAIN: "plain: the likeliest of the letters after the question, as lm-evaluation-harness's "
    "task mmlu",
    LLAMA: "llama: a chat in which the model writes the letter, as lm-evaluation-harness's task "
    "mmlu_llama",
}
_PHASES = {
    "preparation": "start, questions and prompts",
    "engine_load": "loading the engine",
    "questions": "questions",
    "shutdown": "shutting the engine down",
}
_CAPTIONS = {
    "score_by_domain": "The share of right answers in each domain; the thin line is the standard "
    "error. A model that only guesses stays near the dotted line.",
    "score_by_subject": "The share of right answers in each subject, the best first, with the "
    "number of questions it is of.",
}
# What config.json of an evaluation holds beyond what any has.
_RECORD = Fields(
    {
        "flags": Fields(
            {
                **run_record.FLAGS,
                "version": maybe(TEXT),
                "category": TEXT,
                "scenario": maybe(TEXT),
                "dataset": TEXT,
                "protocol": one_of(PROTOCOL_NAMES),
                "num_fewshot": COUNT,
                "total_limit": maybe(COUNT),
                "subjects": maybe(Each(TEXT)),
            }
        ),
        "resolved": Fields(
            {
                **run_record.ENGINE,
                "sample_count": COUNT,
                "full_size": YES_NO,
                "profile": run_record.PROFILE,
            }
        ),
        "dataset": Fields(
            {**run_record.DATASET, "source": TEXT, "subjects": COUNT, "available": COUNT}
        ),
        "model": Fields({**run_record.MODEL, "source": TEXT}),
    }
)
_FILES = {
    "overall.json": "the score of all questions",
    "by_domain.json": "the score of each domain",
    "by_subject.json": "the score of each subject",
    "samples.csv": "each question: the answer, what the model made of it, and how long it took",
    "summary.json": "the same for programs, with the machine and the settings",
    "config.json": "every setting",
    "run.log": "what the evaluation and the engine said",
}


def make_report(run_dir: Path) -> dict[str, Any]:
    """Writes summary.json, report.md and plots/; returns what summary.json holds.

    Raises UsageError when it is no run folder, LogError when a result of a finished evaluation is
    missing or damaged.
    """
    folder = RunFolder(run_dir.resolve())
    config = read_config(folder)
    check_record(folder, config, _RECORD)
    flags = config["flags"]
    results = mmlu_results.read(folder, config)
    if results is None and config["run"]["status"] == FINISHED:
        raise LogError(f"{folder.path} has no {mmlu_results.OVERALL}; repeat the evaluation.")
    plots, problems = _draw(folder, config, results)
    record = _summary(folder, config, results)
    record["plots"], record["problems"] = plots, problems
    write_json(folder.summary_json, record)
    text = templates.render(
        "mmlu.md.j2",
        _TEMPLATES,
        pages.TEMPLATES,
        summary=record,
        config=config,
        meta=record["meta"],
        title=_title(record),
        protocol=PROTOCOL_NAMES[flags["protocol"]],
        results=results,
        in_words=in_words,
        percent=percent,
        machine=list(pages.machine_rows(record["system"])),
        settings=list(_settings(config)),
        engine=pages.engine_rows(config["resolved"]),
        phases=[(_PHASES.get(name, name), s) for name, s in record["meta"]["phases_s"].items()],
        command=shlex.join(record["meta"]["command"]),
        plots=[(name, _CAPTIONS[name], path) for name, path in plots.items() if path],
        files=[(name, text) for name, text in _FILES.items() if (folder.path / name).exists()],
    )
    write_text(folder.report_md, text)
    return record


def _draw(
    folder: RunFolder, config: dict[str, Any], results: Results | None
) -> tuple[dict[str, str | None], list[str]]:
    """Where each plot lies, and why one does not; a plot never costs the report."""
    plots: dict[str, str | None] = dict.fromkeys(_CAPTIONS)
    if results is None:
        return plots, []
    folder.plots.mkdir(exist_ok=True)
    flags, overall = config["flags"], results.overall
    run = (
        f"{folder.name}: {flags['model']}, {precision.of(config)}, protocol {flags['protocol']}, "
        f"{flags['num_fewshot']}-shot, {formatting.count(overall['total'])} questions"
    )
    problems: list[str] = []
    micro = overall["overall_accuracy"]
    drawn = {
        "score_by_subject": (mmlu_plots.score_by_subject, results.subjects),
        "score_by_domain": (mmlu_plots.score_by_domain, results.domains),
    }
    for name, (draw, content) in drawn.items():
        path = folder.plots / f"{name}.png"
        try:
            if draw(path, content, micro=micro, run=run):
                plots[name] = str(path.relative_to(folder.path))
        except (ImportError, OSError) as error:
            problems.append(f"The plot {name} could not be made: {error}.")
    return plots, problems


def _summary(folder: RunFolder, config: dict[str, Any], results: Results | None) -> dict[str, Any]:
    run, flags = config["run"], config["flags"]
    same = ("version", "category", "scenario", "mode", "model", "precision", "dataset")
    own = ("protocol", "num_fewshot", "total_limit", "subjects", "weights", "results_dir")
    return {
        "schema_version": SCHEMA_VERSION,
        "headline": _headline(run["status"], results),
        "departures": [departure["sentence"] for departure in config["departures"]],
        "meta": {
            **{key: flags[key] for key in (*same, *own)},
            "name": folder.name,
            "started": run["started"],
            "finished": run["finished"],
            "status": run["status"],
            "error": run["error"],
            "sample_count": config["resolved"]["sample_count"],
            "full_size": config["resolved"]["full_size"],
            "quantization": precision.label(config),
            "command": run["command"],
            "requests": run.get("requests"),
            "first_query_s": run.get("first_query_s"),
            "phases_s": {key.removesuffix("_s"): value for key, value in run["phases"].items()},
        },
        "system": config["system"],
        "run": {"mmlu": dataclasses.asdict(results) if results else None},
        "logs": {
            name.replace(".", "_"): name if (folder.path / name).exists() else None
            for name in ("overall.json", "by_domain.json", "by_subject.json", "samples.csv")
        },
    }


def _headline(status: str, results: Results | None) -> dict[str, Any]:
    if status != FINISHED or results is None:
        how = {"failed": "failed", "interrupted": "was interrupted"}.get(status, "did not finish")
        text = f"No result: the evaluation {how}"
        return {"metric": None, "value": None, "unit": "", "text": text}
    overall = results.overall
    error = overall["standard_error"]
    text = (
        f"MMLU ({overall['protocol']}, {overall['num_fewshot']}-shot) "
        f"{percent(overall['overall_accuracy'])}"
        + ("" if error is None else f" ± {100 * error:.2f}")
        + f" of {formatting.count(overall['total'])} questions; "
        f"mean of {overall['subjects']} subjects {percent(overall['macro_accuracy'])}"
    )
    value = 100 * overall["overall_accuracy"]
    return {"metric": "overall_accuracy", "value": value, "unit": "%", "text": text}


def percent(share: float | None) -> str:
    """A share as "69.40 %"."""
    return formatting.NOT_KNOWN if share is None else f"{100 * share:.2f} %"


def _title(record: dict[str, Any]) -> str:
    meta = record["meta"]
    formats = precision.in_words(meta["precision"], meta["quantization"])
    return f"MMLU ({meta['protocol']}): {meta['model']}, {formats}"


def _settings(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    flags, data, model = config["flags"], config["dataset"], config["model"]
    yield "protocol", PROTOCOL_NAMES[flags["protocol"]]
    yield "examples before each question", str(flags["num_fewshot"])
    yield (
        "questions",
        f"{formatting.count(data['samples'])} of {formatting.count(data['available'])}, "
        f"in {data['subjects']} subjects; {data['source']}",
    )
    yield "checksum of the questions (SHA-256)", data["checksum_sha256"]
    yield (
        "prompts",
        f"{formatting.count(data['mean_prompt_tokens'])} tokens on average, "
        f"{formatting.count(data['longest_prompt_tokens'])} at most",
    )
    revision = f", revision {model['revision']}" if model["revision"] else ""
    yield "model", f"{flags['model']}: {model['source']}{revision}"
    yield "number formats", precision.of(config)
    profile = config["resolved"]["profile"]
    yield "engine settings", f"profile {profile['name']}: {profile['source']}"


def terminal_summary(record: dict[str, Any]) -> str:
    """The evaluation in plain text: the score, each domain, what it is not, where the report is."""
    meta, lines = record["meta"], [_title(record), "", f"  {record['headline']['text']}", ""]
    results = record["run"]["mmlu"]
    rows: list[tuple[str, str]] = []
    if results:
        for name, score in results["domains"].items():
            right = percent(score["accuracy"])
            rows.append((name, f"{right} of {formatting.count(score['total'])}"))
        if unparsed := results["overall"]["unparsed"]:
            text = f"{formatting.count(unparsed)} answers named no letter; they count as wrong"
            rows.append(("unparsed", text))
    rows += [("note", sentence) for sentence in (*record["departures"], *record["problems"])]
    rows.append(("report", str(Path(meta["results_dir"]) / meta["name"] / "report.md")))
    for name, text in rows:
        lines += pages.wrapped(text, f"  {name:<17}", " " * 19)
    return "\n".join(lines) + "\n"
