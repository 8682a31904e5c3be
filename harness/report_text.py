"""report.md and the last lines on the terminal, from what summary.json and config.json hold."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from harness import figures, formatting, latency_text, summary
from harness.config import Scenario
from harness.errors import BenchmarkError
from harness.run_folder import RunFolder

TEMPLATES = Path(__file__).with_name("templates")
_SCENARIOS = {
    Scenario.OFFLINE: "all samples are there from the start; what counts is tokens per second",
    Scenario.SERVER: "queries arrive at random moments; what counts is the highest rate within "
    "the latency limits",
    Scenario.INTERACTIVE: "Server under tighter latency limits, as for a person who waits",
    Scenario.SINGLESTREAM: "one query at a time; what counts is the latency that 90 of 100 "
    "queries stay under",
}
_VERDICTS = {
    summary.OFFICIAL_READY: "For the rules checked so far, this run could be part of an official "
    "submission. The compliance test TEST06, which a datacenter submission needs, was not run.",
    summary.UNOFFICIAL: "The measurement itself is sound, but not made by all the official rules.",
    summary.INVALID: "The measurement does not count:",
    summary.FAILED: "There is no result; the reason stands at the top.",
}
_MACHINE = {
    "gpu_name": "GPU",
    "gpu_count": "GPUs",
    "gpu_memory_bytes": "memory of each GPU",
    "cpu": "CPU",
    "cpu_count": "CPU cores in use",
    "memory_bytes": "memory",
    "os": "operating system",
    "git_commit": "commit of this program",
    "git_dirty": "files changed since that commit",
}
_PHASES = {
    "engine_load": "loading the engine",
    "warm_up": "warm-up",
    "accuracy": "accuracy test",
    "performance": "performance test",
    "scoring": "scoring the answers",
    "shutdown": "shutting the engine down",
}
_NAMES = {
    "cpu": "CPU",
    "cuda": "CUDA",
    "vllm": "vLLM",
    "loadgen": "LoadGen",
    "python": "Python",
    "torch": "PyTorch",
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
    "Accuracy/mlperf_log_accuracy.json": "every answer, as LoadGen logged it",
    "Accuracy/mlperf_log_detail.txt": "LoadGen's account of the accuracy test",
    "Accuracy/rouge.json": "the scores and their gates",
}
WIDTH = 100  # of the terminal summary


def render(record: dict[str, Any], config: dict[str, Any], folder: RunFolder) -> str:
    """report.md. Raises BenchmarkError when jinja2 is not installed."""
    try:
        import jinja2
    except ImportError:
        raise BenchmarkError(
            "A report needs jinja2: pip install jinja2, or run `make venv`."
        ) from None
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        autoescape=False,  # Markdown, not HTML
    )
    environment.filters |= {
        "cell": lambda value: str(value).replace("|", "\\|").replace("\n", " "),
        "count": formatting.count,
        "duration": formatting.duration,
        "joules": formatting.joules,
        "ms": formatting.milliseconds,
        "passed": {True: "yes", False: "**no**", None: "not judged"}.get,
        "points": lambda value: formatting.NOT_KNOWN if value is None else f"{value:.4f} %",
        "rate": formatting.rate,
    }
    performance = record["run"]["performance"]
    probes = config["resolved"].get("probes") or []
    text = environment.get_template("report.md.j2").render(
        summary=record,
        config=config,
        meta=record["meta"],
        title=_title(record),
        introduction=_introduction(record["meta"]),
        reasons=_new_reasons(record),
        verdict_text=_VERDICTS[record["verdict"]["result"]],
        limits=(performance or {}).get("limits_ms"),
        limit_sentences=list(latency_text.sentences(performance)) if performance else [],
        probes=probes,  # of a run that failed after its search, too
        search_result=latency_text.search_result(probes, (performance or {}).get("target_qps"))
        if probes else None,
        machine=list(_machine(record["system"])),
        command=shlex.join(record["meta"]["command"]),
        settings=list(_settings(config)),
        engine=sorted((config["resolved"].get("engine") or {}).items()),
        phases=[(_PHASES.get(n, n), seconds) for n, seconds in record["meta"]["phases_s"].items()],
        plots=[(n, figures.CAPTIONS[n], path) for n, path in record["plots"].items() if path],
        files=[(path, text) for path, text in _FILES.items() if (folder.path / path).exists()],
    )  # fmt: skip
    return text.rstrip() + "\n"


def _title(record: dict[str, Any]) -> str:
    meta = record["meta"]
    scenario = Scenario(meta["scenario"]).label
    return f"{scenario} ({meta['category']}): {meta['model']}, {meta['precision']}"


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


def _machine(system: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Whatever is known of the machine, the GPU first."""
    if system.get("gpu_count") == 0:
        yield "GPU", "none"
        system = {k: v for k, v in system.items() if not k.startswith(("gpu_", "driver_", "cuda_"))}
    known = [key for key in _MACHINE if key in system]
    for key in known + [key for key in system if key not in _MACHINE]:
        value = system[key]
        words = [_NAMES.get(word, word) for word in key.removesuffix("_bytes").split("_")]
        if key.endswith("_bytes"):
            value = formatting.gibibytes(value)
        elif isinstance(value, bool):
            value = "yes" if value else "no"
        yield (
            _MACHINE.get(key, " ".join(words)),
            formatting.NOT_KNOWN if value is None else str(value),
        )


def _settings(config: dict[str, Any]) -> Iterator[tuple[str, str]]:
    flags, resolved, data, model = (config[k] for k in ("flags", "resolved", "dataset", "model"))
    yield "samples", formatting.count(resolved["sample_count"])
    if flags["mode"] != "accuracy":
        least_s = resolved["min_duration_s"]
        least = formatting.duration(least_s) if least_s else "no minimum"
        yield "least duration of the performance test", least
    if target := resolved["target_qps"]:
        offline = flags["scenario"] == Scenario.OFFLINE
        rate = formatting.rate(target["value"], "samples/s" if offline else "queries/s")
        name = "rate LoadGen was told to expect" if offline else "target rate"
        yield name, f"{rate}, from {target['source']}"
    yield "longest answer", f"{flags['max_new_tokens']} tokens"
    yield "data set", f"{data['name']}: {data['source']}"
    yield (
        "prompts",
        f"{formatting.count(data['mean_prompt_tokens'])} tokens on average, "
        f"{formatting.count(data['longest_prompt_tokens'])} at most",
    )
    yield "data set checksum (SHA-256)", data["checksum_sha256"] or formatting.NOT_KNOWN
    revision = f", revision {model['revision']}" if model["revision"] else ""
    yield "model", f"{flags['model']}: {model.get('source') or model['path']}{revision}"
    loadgen = config["loadgen"]
    seeds = f"v{loadgen['round']}" if loadgen["round"] else "no round known here"
    yield "LoadGen", f"{loadgen['version']}, with the seeds of {seeds}"


def _new_reasons(record: dict[str, Any]) -> list[str]:
    """The verdict's reasons without those that other parts of the report tell."""
    known = list(record["departures"])
    if record["verdict"]["result"] != summary.INVALID:
        known += (record["run"]["accuracy"] or {}).get("failures", [])
    return [reason for reason in record["verdict"]["reasons"] if reason not in known]


def terminal_summary(record: dict[str, Any]) -> str:
    """The run in about a dozen lines of plain text, from what summary.json holds."""
    meta, verdict = record["meta"], record["verdict"]
    lines = [_title(record), "", f"  {record['headline']['text']}"]
    if record["not_official"]:
        lines.append(f"  not an official result: {'; '.join(record['not_official'])}")
    lines.append("")
    rows = [("verdict", verdict["result"])]
    rows += [("", reason) for reason in _new_reasons(record)]
    rows += [("performance", text) for text in _performance_lines(record["run"]["performance"])]
    rows += [("accuracy", text) for text in _accuracy_lines(record["run"]["accuracy"])]
    rows += [("note", problem) for problem in record["problems"]]
    rows.append(("report", str(Path(meta["results_dir"]) / meta["name"] / "report.md")))
    for name, text in rows:
        lines += _wrapped(text, f"  {name:<13}", " " * 15)
    if record["next_steps"]:
        step = record["next_steps"][0]
        lines += ["", *_wrapped(step["why"], "  next: ", "  ")]
        # Not wrapped: it is there to be copied.
        lines += [f"    {step['command']}"] if step["command"] else []
    return "\n".join(lines) + "\n"


def _wrapped(text: str, first: str, others: str) -> list[str]:
    return textwrap.wrap(
        text,
        WIDTH,
        initial_indent=first,
        subsequent_indent=others,
        break_long_words=False,
        break_on_hyphens=False,
    )


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
