"""report.md and the last lines on the terminal, from what summary.json and config.json hold."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import formatting, precision, templates
from harness.config import STAND_INS, Scenario
from harness.report import figures, latency_text, pages, telemetry
from harness.results.folder import RunFolder
from harness.rules import verdict
from harness.rules.rule import FAILED, NOT_APPLICABLE, OFFICIAL, PASSED, VALIDITY

_SCENARIOS = {
    Scenario.OFFLINE: "all samples are there from the start; what counts is tokens per second",
    Scenario.SERVER: "queries arrive at random moments; what counts is the highest rate within "
    "the latency limits",
    Scenario.INTERACTIVE: "Server under tighter latency limits, as for a person who waits",
    Scenario.SINGLESTREAM: "one query at a time; what counts is the latency that 90 of 100 "
    "queries stay under",
}
_VERDICTS = {
    verdict.OFFICIAL_READY: "Every rule that this folder can answer is kept: the run could be part "
    "of an official submission. A result becomes official when MLCommons has reviewed and "
    "published it, not before.",
    verdict.UNOFFICIAL: "The measurement itself is sound, but not made by all the official rules:",
    verdict.INVALID: "The measurement does not count:",
    verdict.NOT_FINISHED: "There is no result; the reason stands at the top.",
}
_WEIGHTS = {VALIDITY: "INVALID", OFFICIAL: "unofficial"}  # what a broken rule makes of a run
_PHASES = {
    "preparation": "start and checks",
    "engine_load": "loading the engine",
    "warm_up": "warm-up",
    "accuracy": "accuracy test",
    "performance": "performance test",
    "compliance": "compliance test TEST06",
    "scoring": "scoring the answers",
    "shutdown": "shutting the engine down",
}
_FILES = {
    "summary.json": "the results for programs",
    "config.json": "every setting, and how this run departs from the rules",
    "run.log": "what the run and the engine said",
    "user.conf": "what LoadGen was told",
    "Performance/mlperf_log_summary.txt": "LoadGen's own result",
    "Performance/mlperf_log_detail.txt": "the same in full, with the seeds",
    "samples.csv": "when each sample was issued and answered",
    "timeline.csv": "the engine's state over the run",
    "telemetry.csv": "what the machine did, second by second",
    "Accuracy/mlperf_log_accuracy.json": "every answer, as LoadGen logged it",
    "Accuracy/answers.jsonl": "every answer as text, with its scores",
    "Accuracy/mlperf_log_detail.txt": "LoadGen's account of the accuracy test",
    "Accuracy/rouge.json": "the scores and their gates",
    "Compliance/TEST06/verify_accuracy.txt": "the compliance test in the official words",
    "Compliance/TEST06/mlperf_log_detail.txt": "LoadGen's account of the compliance test",
}


def render(record: dict[str, Any], config: dict[str, Any], folder: RunFolder) -> str:
    """report.md. Raises BenchmarkError when jinja2 is not installed."""
    performance, rules = record["run"]["performance"], record["verdict"]["rules"]
    probes = config["resolved"].get("probes") or []
    return templates.render(
        "report.md.j2",
        pages.TEMPLATES,
        summary=record,
        config=config,
        meta=record["meta"],
        title=_title(record),
        introduction=_introduction(record["meta"]),
        broken=list(_broken(record)),
        kept=[rule for rule in rules if rule["outcome"] == PASSED],
        not_asked=[rule for rule in rules if rule["outcome"] == NOT_APPLICABLE],
        stand_ins=STAND_INS,
        verdict_text=_VERDICTS[record["verdict"]["result"]],
        limits=(performance or {}).get("limits_ms"),
        limit_sentences=list(latency_text.sentences(performance)) if performance else [],
        probes=probes,  # of a run that failed after its search, too
        search_result=latency_text.search_result(probes, (performance or {}).get("target_qps")),
        telemetry=list(telemetry.rows(record["telemetry"])) if record["telemetry"] else [],
        machine=list(pages.machine_rows(record["system"])),
        command=shlex.join(record["meta"]["command"]),
        settings=list(_settings(config)),
        engine=pages.engine_rows(config["resolved"]),
        phases=list(_phases(record["meta"])),
        plots=[(n, figures.CAPTIONS[n], path) for n, path in record["plots"].items() if path],
        files=[(path, text) for path, text in _FILES.items() if (folder.path / path).exists()],
    )


def _phases(meta: dict[str, Any]) -> Iterator[tuple[str, float]]:
    for name, seconds in meta["phases_s"].items():
        yield _PHASES.get(name, name), seconds
    if (seconds := meta["first_query_s"]) is not None:
        yield "from the command to the first query of a test", seconds


def _title(record: dict[str, Any]) -> str:
    meta = record["meta"]
    scenario = Scenario(meta["scenario"]).label
    formats = precision.in_words(meta["precision"], meta["quantization"])
    return f"{scenario} ({meta['category']}): {meta['model']}, {formats}"


def _introduction(meta: dict[str, Any]) -> str:
    """What happened, for someone who has never seen MLPerf."""
    scenario = Scenario(meta["scenario"])
    what = f"The scenario is {scenario.label}: {_SCENARIOS[scenario]}."
    if meta["status"] != "finished":
        return f"In run `{meta['name']}` the model `{meta['model']}` was to summarise news. {what}"
    tests = {
        "accuracy": "LoadGen, MLCommons' test driver, collected the answers.",
        "performance": "LoadGen, MLCommons' test driver, issued the queries and kept the time.",
        "both": "LoadGen, MLCommons' test driver, issued the queries twice: once to collect the "
        "answers, once to keep the time.",
    }
    return (
        f"In run `{meta['name']}` the model `{meta['model']}` summarised news articles. "
        f"{tests[meta['mode']]} {what}"
    )


def _settings(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    flags, resolved, data, model = (config[k] for k in ("flags", "resolved", "dataset", "model"))
    yield "samples", formatting.count(resolved["sample_count"])
    if flags["mode"] != "accuracy":
        minimum_s = resolved["min_duration_s"]
        minimum = formatting.duration(minimum_s) if minimum_s else "none"
        yield "minimum duration of the performance test", minimum
    if target := resolved["target_qps"]:
        offline = flags["scenario"] == Scenario.OFFLINE
        rate = formatting.rate(target["value"], "samples/s" if offline else "queries/s")
        name = "rate LoadGen was configured to expect" if offline else "target rate"
        yield name, f"{rate}, from {target['source']}"
    yield "longest answer", f"{flags['max_new_tokens']} tokens"
    yield "data set", f"{data['name']}: {data['source']}"
    yield (
        "prompts",
        f"{formatting.count(data['mean_prompt_tokens'])} tokens on average, "
        f"{formatting.count(data['longest_prompt_tokens'])} at most"
        + (", in the model's chat template" if data.get("chat_template") else ""),
    )
    yield "data set checksum (SHA-256)", data["checksum_sha256"] or formatting.NOT_KNOWN
    revision = f", revision {model['revision']}" if model["revision"] else ""
    yield "model", f"{flags['model']}: {model.get('source') or model['path']}{revision}"
    yield "number formats", precision.in_words(flags["precision"], precision.label(config))
    if profile := resolved.get("profile"):
        yield "engine settings", f"profile {profile['name']}: {profile['source']}"
    loadgen = config["loadgen"]
    seeds = f"v{loadgen['round']}" if loadgen["round"] else "no round known here"
    yield "LoadGen", f"{loadgen['version']}, with the seeds of {seeds}"


def _broken(record: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """The broken rules: name, what that makes of the run, the sentence, the step that mends it."""
    steps = {step["command"]: f"step {n}" for n, step in enumerate(record["next_steps"], start=1)}
    for rule in _failed(record):
        step = steps.get(rule["remedy"], "step 1")
        yield rule["id"], _WEIGHTS[rule["kind"]], rule["sentence"], step


def _failed(record: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that make a run INVALID first."""
    broken = [rule for rule in record["verdict"]["rules"] if rule["outcome"] == FAILED]
    return sorted(broken, key=lambda rule: rule["kind"] != VALIDITY)


def terminal_summary(record: dict[str, Any]) -> str:
    """The run in plain text, from what summary.json holds: figures, verdict, what to type next."""
    meta = record["meta"]
    lines = [_title(record), "", f"  {record['headline']['text']}", ""]
    rows = [("performance", text) for text in _performance_lines(record["run"]["performance"])]
    rows += [("accuracy", text) for text in _accuracy_lines(record["run"]["accuracy"])]
    rows += [("TEST06", text) for text in _compliance_lines(record["run"].get("compliance"))]
    rows += [("note", problem) for problem in record["problems"]]
    rows += [("doubt", text) for text in (record["telemetry"] or {}).get("doubts", ())]
    rows.append(("report", str(Path(meta["results_dir"]) / meta["name"] / "report.md")))
    for name, text in rows:
        lines += pages.wrapped(text, f"  {name:<13}", " " * 15)
    lines += ["", f"  verdict      {record['verdict']['result']}"]
    for rule in _failed(record):
        lines += pages.wrapped(rule["sentence"], "  - ", "    ")
    if record["next_steps"]:
        step = record["next_steps"][0]
        lines += ["", *pages.wrapped(step["why"], "  next: ", "  ")]
        # Not wrapped: it is there to be copied.
        lines += [f"    {step['command']}"] if step["command"] else []
    return "\n".join(lines) + "\n"


def _performance_lines(performance: dict[str, Any] | None) -> Iterator[str]:
    if performance is None:
        return
    yield (
        f"{formatting.count(performance['sample_count'])} samples, "
        f"{formatting.count(performance['total_new_tokens'])} tokens in "
        f"{formatting.duration(performance['duration_s'])}; "
        f"LoadGen says {'VALID' if performance['loadgen_valid'] else 'INVALID'}"
    )
    for key, name in (("latency_ms", "latency"), ("ttft_ms", "TTFT"), ("tpot_ms", "TPOT")):
        stats = performance[key]
        if stats and performance["scenario"] != "Offline":
            ms = {p: formatting.milliseconds(stats[p]) for p in ("p50", "p90", "p99")}
            yield f"{name} p50 {ms['p50']}, p90 {ms['p90']}, p99 {ms['p99']}"
    if line := latency_text.terminal_line(performance):
        yield line


def _accuracy_lines(accuracy: dict[str, Any] | None) -> Iterator[str]:
    if accuracy is None:
        return
    for gate in accuracy["gates"]:
        if gate["name"] == "rougeLsum":
            yield f"rougeLsum {gate['value']:.2f} %, the gate is {gate['low']:.2f} %"
    if accuracy["passed"] is None:
        yield f"not judged: {accuracy['not_judged_because']}"
    elif accuracy["passed"]:
        yield "the gate is passed"
    else:
        yield f"the gate is missed. {accuracy['remark'] or ''}".rstrip()


def _compliance_lines(compliance: dict[str, Any] | None) -> Iterator[str]:
    if compliance is None:
        return
    failed = [check["sentence"] for check in compliance["checks"] if not check["passed"]]
    yield "passed" if compliance["passed"] else "failed"
    yield from failed
