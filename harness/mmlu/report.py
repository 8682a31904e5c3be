"""summary.json, report.md, report.html and the plots of an evaluation, from its folder alone."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from harness import formatting, precision
from harness.errors import LogError
from harness.language import phrase
from harness.mmlu import plots as mmlu_plots
from harness.mmlu import results as mmlu_results
from harness.mmlu import text
from harness.mmlu.results import Results
from harness.results.files import write_json, write_text
from harness.results.folder import RunFolder
from harness.results.index import FINISHED
from harness.rules import record as run_record
from harness.rules.read import check_record, read_config
from harness.shapes import COUNT, TEXT, YES_NO, Each, Fields, maybe, one_of

SCHEMA_VERSION = 1
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
                "protocol": one_of(text.PROTOCOL_NAMES),
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


def make_report(run_dir: Path) -> dict[str, Any]:
    """Writes summary.json, report.md, report.html and plots/; returns what summary.json holds.

    Raises UsageError when it is no run folder, LogError when a result of a finished evaluation is
    missing or damaged.
    """
    folder = RunFolder(run_dir.resolve())
    config = read_config(folder)
    check_record(folder, config, _RECORD)
    results = mmlu_results.read(folder, config)
    if results is None and config["run"]["status"] == FINISHED:
        raise LogError(
            phrase(
                "{folder} has no {file}; repeat the evaluation.",
                folder=folder.path,
                file=mmlu_results.OVERALL,
            )
        )
    plots, problems = _draw(folder, config, results)
    record = _summary(folder, config, results)
    record["plots"], record["problems"] = plots, problems
    write_json(folder.summary_json, record)
    write_text(folder.report_md, text.render(record, config, results, folder))
    write_text(folder.report_html, text.render_page(record, config, results, folder))
    return record


def _draw(
    folder: RunFolder, config: dict[str, Any], results: Results | None
) -> tuple[dict[str, str | None], list[str]]:
    """Where each plot lies, and why one does not; a plot never costs the report."""
    plots: dict[str, str | None] = dict.fromkeys(text.CAPTIONS)
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
                draw(path.with_suffix(".svg"), content, micro=micro, run=run)  # for report.html
                plots[name] = str(path.relative_to(folder.path))
        except (ImportError, OSError) as error:
            problems.append(
                phrase("The plot {name} could not be made: {error}.", name=name, error=error)
            )
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
        how = {"failed": phrase("failed"), "interrupted": phrase("was interrupted")}.get(
            status, phrase("did not finish")
        )
        words = phrase("No result: the evaluation {how}", how=how)
        return {"metric": None, "value": None, "unit": "", "text": words}
    overall = results.overall
    error = overall["standard_error"]
    score = text.percent(overall["overall_accuracy"])
    words = phrase(
        "MMLU ({protocol}, {shots}-shot) {score} of {total} questions; mean of {subjects} subjects "
        "{macro_accuracy}",
        protocol=overall["protocol"],
        shots=overall["num_fewshot"],
        score=score + ("" if error is None else f" ± {100 * error:.2f}"),
        total=formatting.count(overall["total"]),
        subjects=overall["subjects"],
        macro_accuracy=text.percent(overall["macro_accuracy"]),
    )
    value = 100 * overall["overall_accuracy"]
    return {"metric": "overall_accuracy", "value": value, "unit": "%", "text": words}
