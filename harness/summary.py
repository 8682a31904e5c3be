"""What a run folder proves, as the dictionary that becomes summary.json.

History of schema_version: 1, the first.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from harness import advice, formatting
from harness.config import DEMO_MODEL, Scenario
from harness.evidence import ROUGE_NAMES, Evidence, gates
from harness.latency import count_over_limits
from harness.metrics import LatencyStats, LoadGenRun, PerformanceResult
from harness.rounds import Round, Seeds

SCHEMA_VERSION = 1
OFFICIAL_READY = "OFFICIAL-READY"
UNOFFICIAL = "VALID BUT UNOFFICIAL"
INVALID = "INVALID"
FAILED = "FAILED"


def build(evidence: Evidence) -> dict[str, Any]:
    """summary.json without its paths (`logs` and `plots`), which only the folder knows."""
    steps = advice.next_steps(evidence.config, evidence.performance, evidence.accuracy)
    return {
        "schema_version": SCHEMA_VERSION,
        "headline": headline(evidence),
        "not_official": advice.short_labels(evidence.config),
        "departures": [departure["sentence"] for departure in evidence.config["departures"]],
        "meta": _meta(evidence),
        "system": evidence.config["system"],
        "run": {"accuracy": _accuracy(evidence), "performance": _performance(evidence)},
        "verdict": verdict(evidence),
        "next_steps": [dataclasses.asdict(step) for step in steps],
        "problems": list(evidence.problems),
    }


def verdict(evidence: Evidence) -> dict[str, Any]:
    """Whether the run could be an official result, by the rules checked so far, and why not."""
    performance, accuracy = evidence.performance, evidence.accuracy
    full_size = evidence.full_size
    why_unofficial = [departure["sentence"] for departure in evidence.config["departures"]]
    why_unofficial += _missing(evidence)
    why_invalid = list(performance.invalid_reasons) if performance else []
    if accuracy and accuracy.passed is False:
        # The gate is one for the whole data set; what a part of it scores proves little.
        (why_invalid if full_size else why_unofficial).extend(accuracy.failures)
    if evidence.accuracy_log:
        errors = evidence.accuracy_log.errors
        why_invalid += [f"LoadGen's accuracy log has an error: {error}" for error in errors]
    if not evidence.finished:
        result, reasons = FAILED, [_why_not_finished(evidence.config["run"])]
    elif why_invalid:
        result, reasons = INVALID, why_invalid
    elif why_unofficial or not full_size:
        result, reasons = UNOFFICIAL, why_unofficial
    else:
        result, reasons = OFFICIAL_READY, []
    return {
        "result": result,
        "official": result == OFFICIAL_READY,
        "valid": performance.valid if performance else None,
        "accuracy_passed": accuracy.passed if accuracy else None,
        "reasons": reasons,
    }


def _missing(evidence: Evidence) -> list[str]:
    """What an official result needs and this folder lacks, beyond the departures."""
    mode = evidence.config["flags"]["mode"]
    found = []
    if evidence.config["resolved"]["full_size"] and not evidence.full_size:
        found.append("The logs hold fewer samples than the data set has.")
    if mode != "accuracy" and evidence.performance is None:
        found.append("There are no logs of a performance test in the run folder.")
    if mode != "performance" and (evidence.accuracy is None or evidence.accuracy.passed is None):
        found.append(f"The accuracy was not judged. {_not_judged_because(evidence)}")
    if evidence.performance:
        found += _against_the_round(evidence.performance.loadgen, evidence.official, "performance")
        if evidence.performance.loadgen.effective.get("sample_concatenate_permutation") is False:
            found.append("LoadGen did not issue every sample equally often, as its log says.")
    if evidence.accuracy_log:
        found += _against_the_round(evidence.accuracy_log, evidence.official, "accuracy")
    return found


def _against_the_round(run: LoadGenRun, official: Round, test: str) -> list[str]:
    """The seeds in LoadGen's own log, whatever config.json says of them."""
    logged = Seeds(
        run.qsl_rng_seed or 0, run.sample_index_rng_seed or 0, run.schedule_rng_seed or 0
    )
    if logged == official.seeds:
        return []
    return [f"LoadGen's {test} log carries other seeds than those of v{official.name}."]


def _why_not_finished(run: dict[str, Any]) -> str:
    if run["status"] == "running":
        return "The run has not said that it ended: it is still at work, or was killed."
    what = "was interrupted" if run["status"] == "interrupted" else "failed"
    return f"The run {what}: {run['error'] or 'run.log holds the reason.'}"


def headline(evidence: Evidence) -> dict[str, Any]:
    """The one figure of this run: its name, value and unit (None: there is none) and a text."""
    performance, scenario = evidence.performance, evidence.scenario
    if not evidence.finished:
        how = {"failed": "failed", "interrupted": "was interrupted"}
        status = how.get(evidence.config["run"]["status"], "did not finish")
        return _headline(None, None, "", f"No result: the run {status}")
    if performance is None:
        return _accuracy_headline(evidence)
    if scenario is Scenario.SINGLESTREAM:
        p90_ms = performance.latency.p90_ms
        text = f"p90 latency {formatting.milliseconds(p90_ms)}"
        return _headline("latency_p90", p90_ms, "ms", text)
    tokens = formatting.rate(performance.tokens_per_second, "tokens/s")
    if scenario is Scenario.OFFLINE:
        text = f"{tokens} ({formatting.rate(performance.samples_per_second, 'samples/s')})"
    else:
        asked_for = formatting.rate(performance.target_qps, "queries/s")
        text = f"{tokens} completed, at {asked_for} asked for"
    return _headline("tokens_per_second", performance.tokens_per_second, "tokens/s", text)


def _accuracy_headline(evidence: Evidence) -> dict[str, Any]:
    row = next((gate for gate in gates(evidence) if gate.name == "rougeLsum"), None)
    if row is None:
        return _headline(None, None, "", "No figure: the answers were not judged")
    text = f"rougeLsum {row.value:.2f} % (the gate is {row.low:.2f} %)"
    return _headline("rougeLsum", row.value, "%", text)


def _headline(metric: str | None, value: float | None, unit: str, text: str) -> dict[str, Any]:
    return {"metric": metric, "value": value, "unit": unit, "text": text}


def _meta(evidence: Evidence) -> dict[str, Any]:
    run, flags, resolved = (evidence.config[key] for key in ("run", "flags", "resolved"))
    same = ("version", "category", "scenario", "mode", "model", "precision", "dataset")
    return {
        **{key: flags[key] for key in same},
        "name": run["name"],
        "started": run["started"],
        "finished": run["finished"],
        "status": run["status"],
        "error": run["error"],
        "sample_count": resolved["sample_count"],
        "full_size": resolved["full_size"],
        "weights": flags["weights"],
        "results_dir": flags["results_dir"],
        "command": run["command"],
        "phases_s": {key.removesuffix("_s"): seconds for key, seconds in run["phases"].items()},
    }


def _accuracy(evidence: Evidence) -> dict[str, Any] | None:
    result = evidence.accuracy
    if result is None and not evidence.answer_lengths:
        return None
    lengths = evidence.answer_lengths
    mean_tokens = sum(lengths) / len(lengths) if lengths else None
    rows = gates(evidence)
    return {
        "total_samples": result.total_samples if result else len(lengths),
        "rouge": {name: getattr(result, name) if result else None for name in ROUGE_NAMES},
        "passed": result.passed if result else None,
        "run_gen_len": result.gen_len if result else None,
        "run_gen_num": result.gen_num if result else len(lengths),
        "gates": [dataclasses.asdict(row) for row in rows],
        "failures": list(result.failures) if result else [],
        "not_judged_because": _not_judged_because(evidence),
        "remark": _remark(evidence),
        "mean_answer_tokens": mean_tokens,
    }


def _not_judged_because(evidence: Evidence) -> str | None:
    if evidence.accuracy is not None:
        return evidence.accuracy.not_judged_because
    reason: str | None = evidence.config["resolved"].get("accuracy_not_judged_because")
    return reason or "There is no rouge.json in the run folder."


def _remark(evidence: Evidence) -> str | None:
    """What the score of a run is worth that is not the official one."""
    flags = evidence.config["flags"]
    if flags["model"] == DEMO_MODEL:
        return "That is expected of the demo model: its weights are random numbers."
    if not evidence.full_size:
        samples = formatting.count(evidence.config["resolved"]["sample_count"])
        return f"{samples} samples give only a rough idea of what the whole data set would score."
    return None


def _performance(evidence: Evidence) -> dict[str, Any] | None:
    result = evidence.performance
    if result is None:
        return None
    limits = evidence.limits
    return {
        "scenario": evidence.scenario.label,
        "valid": result.valid,
        "loadgen_valid": result.loadgen.valid,  # False goes with valid False, but not the reverse
        "invalid_reasons": list(result.invalid_reasons),
        "duration_s": result.duration_s,
        "sample_count": result.sample_count,
        "total_new_tokens": result.total_new_tokens,
        "tokens_per_sec": _finite(result.tokens_per_second),
        "samples_per_sec": _finite(result.samples_per_second),
        "target_qps": result.target_qps,
        "achieved_qps": _finite(result.achieved_qps),
        "latency_ms": _latencies(result.latency),
        "ttft_ms": _latencies(result.ttft),
        "tpot_ms": _latencies(result.tpot),
        "limits_ms": dataclasses.asdict(limits) if limits else None,
        "early_stopping_min_queries": _least_queries(evidence),
        **_against_limits(evidence, result),
        "probes": [dataclasses.asdict(probe) for probe in evidence.probes],
        "loadgen_errors": list(result.loadgen.errors),
        "extra": _extra(evidence, result),
    }


def _extra(evidence: Evidence, result: PerformanceResult) -> dict[str, float | None] | None:
    """What --extra-metrics adds, none of it official; None without the flag."""
    if not evidence.config["flags"]["extra_metrics"]:
        return None
    joules = evidence.config["run"].get("gpu_energy_j")
    tokens = result.total_new_tokens
    return {
        "gpu_energy_j": joules,
        "gpu_energy_j_per_token": joules / tokens if joules is not None and tokens else None,
    }


def _least_queries(evidence: Evidence) -> int | None:
    """With fewer, LoadGen's early stopping calls any test INVALID; Offline has no such thing."""
    if evidence.scenario is Scenario.OFFLINE:
        return None
    if evidence.scenario is Scenario.SINGLESTREAM:
        return evidence.official.early_stopping_min_queries_single_stream
    return evidence.official.early_stopping_min_queries_server


def _against_limits(evidence: Evidence, result: PerformanceResult) -> dict[str, Any]:
    """Queries over the limits, and those that met both (goodput); None where there are no limits.

    Counted in samples.csv, which times a query from its issue; LoadGen times it from the scheduled
    moment and may see a few more. The goodput is that share of LoadGen's rate. `allowed` None: so
    few queries that early stopping would not even pass none.
    """
    counts = count_over_limits(evidence.samples, evidence.limits)
    if counts is None:
        return {"over_limit": None, "goodput": None}
    rate = _finite(result.samples_per_second)
    share = counts.goodput_share
    return {
        "over_limit": {
            "ttft": counts.ttft_over,
            "tpot": counts.tpot_over,
            "allowed": counts.allowed,
        },
        "goodput": {
            "share": share,
            "queries_per_sec": None if rate is None else share * rate,
        },
    }


def _latencies(stats: LatencyStats | None) -> dict[str, float | None] | None:
    if stats is None:
        return None
    fields = dataclasses.asdict(stats)
    return {name.removesuffix("_ms"): _finite(value) for name, value in fields.items()}


def _finite(value: float | None) -> float | None:
    """JSON has no NaN: a rate over no time at all is unknown."""
    return value if value is not None and math.isfinite(value) else None
