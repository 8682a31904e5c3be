"""report.md and the last lines on the terminal, from what summary.json and config.json hold."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import formatting, precision, templates
from harness.config import STAND_INS, Scenario
from harness.language import joined, phrase, translated
from harness.report import (
    figures,
    latency_text,
    pages,
    performance_text,
    repeats,
    telemetry,
    withheld,
)
from harness.results.folder import RunFolder
from harness.rules import verdict
from harness.rules.rule import FAILED, NOT_APPLICABLE, OFFICIAL, PASSED, VALIDITY

_SCENARIOS = {
    Scenario.OFFLINE: phrase(
        "all samples are there from the start; what counts is tokens per second"
    ),
    Scenario.SERVER: phrase(
        "queries arrive at random moments; what counts is the highest rate within the latency "
        "limits"
    ),
    Scenario.INTERACTIVE: phrase("Server under tighter latency limits, as for a person who waits"),
    Scenario.SINGLESTREAM: phrase(
        "one query at a time; what counts is the latency that 90 of 100 queries stay under"
    ),
}
_VERDICTS = {
    verdict.OFFICIAL_READY: phrase(
        "Every rule that can be checked on a run is kept: it could be part of an official "
        "submission. A result becomes official when MLCommons has reviewed and published it, not "
        "before."
    ),
    verdict.UNOFFICIAL: phrase(
        "The measurement itself is sound, but not made by all the official rules:"
    ),
    verdict.INVALID: phrase("The measurement does not count:"),
    verdict.NOT_FINISHED: phrase("There is no result; the reason stands at the top."),
}
_WEIGHTS = {
    VALIDITY: "INVALID",
    OFFICIAL: phrase("unofficial"),
}  # what a broken rule makes of a run
_PHASES = {
    "preparation": phrase("start and checks"),
    "engine_load": phrase("loading the engine"),
    "ceilings": phrase("measuring what a GPU can do"),
    "warm_up": phrase("warm-up"),
    "accuracy": phrase("accuracy test"),
    "performance": phrase("performance test"),
    "compliance": phrase("compliance test TEST06"),
    "scoring": phrase("scoring the answers"),
    "shutdown": phrase("shutting the engine down"),
}
_FILES = {
    "summary.json": phrase("the results for programs"),
    "config.json": phrase("every setting, and how this run departs from the rules"),
    "run.log": phrase("what the run and the engine said"),
    "user.conf": phrase("what LoadGen was told"),
    "Performance/mlperf_log_summary.txt": phrase("LoadGen's own result"),
    "Performance/mlperf_log_detail.txt": phrase("the same in full, with the seeds"),
    "Repeats": phrase("the other performance tests, a folder each, by their numbers"),
    "samples.csv": phrase("when each sample was issued and answered"),
    "timeline.csv": phrase("the engine's state over the run"),
    "telemetry.csv": phrase("what the machine did, second by second"),
    "Accuracy/mlperf_log_accuracy.json": phrase("every answer, as LoadGen logged it"),
    "Accuracy/answers.jsonl": phrase("every answer as text, with its scores"),
    "Accuracy/mlperf_log_detail.txt": phrase("LoadGen's account of the accuracy test"),
    "Accuracy/rouge.json": phrase("the scores and their gates"),
    "Compliance/TEST06/verify_accuracy.txt": phrase("the compliance test in the official words"),
    "Compliance/TEST06/mlperf_log_detail.txt": phrase("LoadGen's account of the compliance test"),
}


def render(record: dict[str, Any], config: dict[str, Any], folder: RunFolder) -> str:
    """report.md. Raises BenchmarkError when jinja2 is not installed."""
    filled = values(record, config, folder)
    page = (folder.report_html.name, phrase("this report as one file to forward"))
    filled["files"] = [page, *filled["files"]]
    return templates.render("report.md.j2", pages.TEMPLATES, **filled)


def values(record: dict[str, Any], config: dict[str, Any], folder: RunFolder) -> dict[str, Any]:
    """What the templates of report.md and report.html are filled with."""
    performance, rules = record["run"]["performance"], withheld.rules_shown(record)
    probes = config["resolved"].get("probes") or []
    return {
        "summary": record,
        "config": config,
        "meta": record["meta"],
        "title": _title(record),
        "introduction": _introduction(record["meta"]),
        "missed": list(_missed(record)),
        "broken": list(_broken(record)),
        "kept": [rule for rule in rules if rule["outcome"] == PASSED],
        "not_asked": [rule for rule in rules if rule["outcome"] == NOT_APPLICABLE],
        "stand_ins": STAND_INS,
        "verdict_text": _VERDICTS[record["verdict"]["result"]],
        "withheld": withheld.left_out(record),
        "limits": (performance or {}).get("limits_ms"),
        **repeats.values(performance),
        "limit_sentences": list(latency_text.sentences(performance)) if performance else [],
        "probes": probes,  # of a run that failed after its search, too
        "search_result": latency_text.search_result(probes, (performance or {}).get("target_qps")),
        "telemetry": list(telemetry.rows(record["telemetry"])) if record["telemetry"] else [],
        "performance_rows": list(performance_text.rows(performance)),
        "machine": list(pages.machine_rows(record["system"])),
        "command": shlex.join(record["meta"]["command"]),
        "settings": list(_settings(config)),
        "engine": pages.engine_rows(config["resolved"]),
        "phases": list(_phases(record["meta"])),
        "plots": [(n, figures.CAPTIONS[n], path) for n, path in record["plots"].items() if path],
        "files": [(path, text) for path, text in _FILES.items() if (folder.path / path).exists()],
    }


def _phases(meta: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for name, seconds in meta["phases_s"].items():
        yield _PHASES.get(name, name), seconds
    if (seconds := meta["first_query_s"]) is not None:
        yield phrase("from the command to the first query of a test"), seconds


def _title(record: dict[str, Any]) -> str:
    meta = record["meta"]
    scenario = Scenario(meta["scenario"]).label
    formats = precision.in_words(meta["precision"], meta["quantization"])
    return joined("", (f"{scenario} ({meta['category']}): {meta['model']}, ", formats))


def _introduction(meta: dict[str, Any]) -> str:
    """What happened, for someone who has never seen MLPerf."""
    scenario = Scenario(meta["scenario"])
    what = phrase(
        "The scenario is {scenario}: {explained}.",
        scenario=scenario.label,
        explained=_SCENARIOS[scenario],
    )
    if meta["status"] != "finished":
        return phrase(
            "In run `{name}` the model `{model}` was to summarise news. {what}",
            name=meta["name"],
            model=meta["model"],
            what=what,
        )
    tests = {
        "accuracy": phrase("LoadGen, MLCommons' test driver, collected the answers."),
        "performance": phrase(
            "LoadGen, MLCommons' test driver, issued the queries and kept the time."
        ),
        "both": phrase(
            "LoadGen, MLCommons' test driver, issued the queries twice: once to collect the "
            "answers, once to keep the time."
        ),
    }
    task = phrase(
        "In run `{name}` the model `{model}` was given news articles to summarise.",
        name=meta["name"],
        model=meta["model"],
    )
    if meta["dataset"] == "synthetic":
        task = phrase(
            "In run `{name}` the model `{model}` was given random tokens, in prompts as long as "
            "those that ask for a summary of news.",
            name=meta["name"],
            model=meta["model"],
        )
    return joined(" ", (task, tests[meta["mode"]], what))


def _settings(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    flags, resolved, data, model = (config[k] for k in ("flags", "resolved", "dataset", "model"))
    yield phrase("samples"), formatting.count(resolved["sample_count"])
    if flags["mode"] != "accuracy":
        minimum_s = resolved["min_duration_s"]
        minimum = formatting.duration(minimum_s) if minimum_s else phrase("none")
        yield phrase("minimum duration of the performance test"), minimum
    if target := resolved["target_qps"]:
        offline = flags["scenario"] == Scenario.OFFLINE
        rate = formatting.rate(target["value"], "samples/s" if offline else "queries/s")
        name = phrase("rate LoadGen was configured to expect") if offline else phrase("target rate")
        yield name, phrase("{rate}, from {source}", rate=rate, source=target["source"])
    yield (
        phrase("longest answer"),
        phrase("{tokens} tokens", tokens=flags["max_new_tokens"]),
    )
    yield phrase("data set"), joined(": ", (data["name"], data["source"]))
    yield (
        phrase("prompts"),
        pages.prompt_lengths(data)
        + (phrase(", in the model's chat template") if data.get("chat_template") else ""),
    )
    yield phrase("data set checksum (SHA-256)"), data["checksum_sha256"] or formatting.NOT_KNOWN
    yield phrase("model"), pages.model(flags, model)
    yield phrase("number formats"), precision.in_words(flags["precision"], precision.label(config))
    if profile := resolved.get("profile"):
        yield phrase("engine settings"), pages.profile(profile)
    loadgen = config["loadgen"]
    seeds = f"v{loadgen['round']}" if loadgen["round"] else phrase("no round known here")
    yield (
        "LoadGen",
        phrase("{version}, with the seeds of {seeds}", version=loadgen["version"], seeds=seeds),
    )


def _broken(record: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """The broken rules: name, what that makes of the run, the sentence, the step that mends it."""
    steps = {
        step["command"]: phrase("step {n}", n=n)
        for n, step in enumerate(record["next_steps"], start=1)
    }
    for rule in _failed(record):
        step = steps.get(rule["remedy"], phrase("step {n}", n=1))
        yield rule["id"], _WEIGHTS[rule["kind"]], rule["sentence"], step


def _missed(record: dict[str, Any]) -> Iterator[str]:
    """What makes a finished run INVALID, a few words each: the first thing to read."""
    if record["meta"]["status"] == "finished":
        for rule in _failed(record):
            if rule["kind"] == VALIDITY:
                yield phrase(
                    "{required} (found: {found})", required=rule["required"], found=rule["found"]
                )


def _failed(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that make a run INVALID first."""
    broken = [rule for rule in record["verdict"]["rules"] if rule["outcome"] == FAILED]
    return sorted(broken, key=lambda rule: rule["kind"] != VALIDITY)


def terminal_summary(record: dict[str, Any]) -> str:
    """The run in plain text, from what summary.json holds: figures, verdict, what to type next."""
    meta = record["meta"]
    lines = [translated(_title(record)), "", f"  {translated(record['headline']['text'])}", ""]
    rows = [
        (phrase("performance"), text)
        for text in performance_text.terminal_lines(record["run"]["performance"])
    ]
    rows += [(phrase("accuracy"), text) for text in _accuracy_lines(record["run"]["accuracy"])]
    rows += [(phrase("note"), why) for why in withheld.left_out(record).values()]
    rows += [("TEST06", text) for text in _compliance_lines(record["run"].get("compliance"))]
    rows += [(phrase("note"), problem) for problem in record["problems"]]
    rows += [(phrase("doubt"), text) for text in (record["telemetry"] or {}).get("doubts", ())]
    folder = RunFolder(Path(meta["results_dir"]) / meta["name"])
    rows.append((phrase("report"), str(folder.report_md)))
    rows.append((phrase("to forward"), str(folder.report_html)))
    for name, text in rows:
        lines += pages.wrapped(text, f"  {pages.padded(name, 13)}", " " * 15)
    lines += ["", f"  {pages.padded(phrase('verdict'), 13)}{record['verdict']['result']}"]
    for rule in _failed(record):
        lines += pages.wrapped(rule["sentence"], "  - ", "    ")
    if record["next_steps"]:
        step = record["next_steps"][0]
        lines += ["", *pages.wrapped(phrase("next: {step}", step=step["why"]), "  ", "  ")]
        # Not wrapped: it is there to be copied.
        lines += [f"    {step['command']}"] if step["command"] else []
    return "\n".join(lines) + "\n"


def _accuracy_lines(accuracy: dict[str, Any] | None) -> Iterator[str]:
    if accuracy is None:
        return
    for gate in accuracy["gates"]:
        if gate["name"] == "rougeLsum":
            yield phrase(
                "rougeLsum {value:.2f} %, the gate is {low:.2f} %",
                value=gate["value"],
                low=gate["low"],
            )
    if accuracy["passed"] is None:
        yield phrase(
            "not judged: {not_judged_because}", not_judged_because=accuracy["not_judged_because"]
        )
    elif accuracy["passed"]:
        yield phrase("the gate is passed")
    else:
        remarks = (phrase("the gate is missed."), accuracy["remark"])
        yield joined(" ", filter(None, remarks))


def _compliance_lines(compliance: dict[str, Any] | None) -> Iterator[str]:
    if compliance is None:
        return
    failed = [check["sentence"] for check in compliance["checks"] if not check["passed"]]
    yield phrase("passed") if compliance["passed"] else phrase("failed")
    yield from failed
