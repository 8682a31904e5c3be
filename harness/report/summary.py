"""What a run folder proves, as the dictionary that becomes summary.json.

History of schema_version: 1, the first.
"""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from harness import formatting, precision
from harness.config import DEMO_MODEL, SMALL_MODEL, Scenario
from harness.language import phrase
from harness.limits import count_over_limits
from harness.metrics import LatencyStats, PerformanceResult
from harness.report import efficiency, examples, repeats, telemetry, withheld
from harness.rules import advice
from harness.rules.contradictions import contradictions, credible
from harness.rules.evidence import ROUGE_NAMES, Evidence, gates
from harness.rules.verdict import Verdict, invalid_reasons, judge

SCHEMA_VERSION = 1


def build(evidence: Evidence) -> dict[str, Any]:
    """summary.json without its paths (`logs` and `plots`), which only the folder knows."""
    verdict = judge(evidence)
    contradicted = contradictions(evidence, verdict.failed)
    shown = credible(evidence, contradicted)
    machine = telemetry.summarise(shown.telemetry)
    performance = _performance(shown, (machine or {}).get("gpu_power_w_mean"))
    steps = advice.next_steps(evidence, verdict.failed)
    figure = with_spread(headline(shown), performance)
    if withheld.has_no_result(evidence, contradicted):
        figure = _headline(None, None, "", withheld.NO_RESULT)
    return {
        "schema_version": SCHEMA_VERSION,
        "headline": figure,
        "not_official": advice.short_labels(evidence),
        "departures": [departure["sentence"] for departure in evidence.config["departures"]],
        "meta": _meta(evidence),
        "system": evidence.config["system"],
        "run": {
            "accuracy": _accuracy(shown),
            "performance": performance,
            "compliance": dataclasses.asdict(evidence.compliance) if evidence.compliance else None,
        },
        "withheld": withheld.sentences(evidence, contradicted),
        "telemetry": machine,
        "verdict": _verdict(evidence, shown, verdict),
        "next_steps": [dataclasses.asdict(step) for step in steps],
        "problems": list(evidence.problems),
    }


def _verdict(evidence: Evidence, shown: Evidence, verdict: Verdict) -> dict[str, Any]:
    performance, accuracy = evidence.performance, shown.accuracy
    return {
        "result": verdict.result,
        "official": verdict.official,
        "valid": not invalid_reasons(evidence) if performance else None,
        "accuracy_passed": accuracy.passed if accuracy else None,
        "reasons": [rule.sentence for rule in verdict.failed],
        "rules": [dataclasses.asdict(rule) for rule in verdict.rules],
    }


def headline(evidence: Evidence) -> dict[str, Any]:
    """The one figure of this run: its name, value and unit (None: there is none) and a text."""
    performance, scenario = evidence.performance, evidence.scenario
    if not evidence.finished:
        how = {"failed": phrase("failed"), "interrupted": phrase("was interrupted")}
        status = how.get(evidence.config["run"]["status"], phrase("did not finish"))
        return _headline(None, None, "", phrase("No result: the run {status}", status=status))
    if performance is None:
        return _accuracy_headline(evidence)
    if scenario is Scenario.SINGLESTREAM:
        p90_ms = performance.latency.p90_ms
        text = phrase("p90 latency {latency}", latency=formatting.milliseconds(p90_ms))
        return _headline("latency_p90", p90_ms, "ms", text)
    tokens = formatting.rate(performance.tokens_per_second, "tokens/s")
    if scenario is Scenario.OFFLINE:
        text = f"{tokens} ({formatting.rate(performance.samples_per_second, 'samples/s')})"
    else:
        text = _at_target(tokens, performance.target_qps)
        if _fell_behind(performance) and invalid_reasons(evidence):
            achieved = formatting.rate(performance.achieved_qps, "").strip()
            text = phrase(
                "{headline}, {achieved} queries/s answered", headline=text, achieved=achieved
            )
    return _headline("tokens_per_second", performance.tokens_per_second, "tokens/s", text)


def _at_target(tokens: str, target_qps: float | None) -> str:
    target = formatting.rate(target_qps, "queries/s")
    number, unit, _ = tokens.partition(" tokens/s")
    if not unit:  # not known
        return phrase("{tokens} at {target}", tokens=tokens, target=target)
    # Units stand in the templates, so that these are found by the text, which is all an index has.
    return phrase("{tokens} tokens/s at {target}", tokens=number, target=target)


def _fell_behind(performance: PerformanceResult) -> bool:
    """Whether less was answered than asked, so that the rate asked for says little."""
    achieved, asked = performance.achieved_qps, performance.target_qps
    return achieved is not None and asked is not None and achieved < asked


def with_spread(figure: dict[str, Any], performance: dict[str, Any] | None) -> dict[str, Any]:
    """The headline with its "±", where repeated tests have measured one."""
    repeated = (performance or {}).get("repeats") or {"figures": []}
    found = repeats.of_headline(repeated, figure["metric"])
    if found is None or found.half_interval is None:
        return figure
    text = phrase(
        "{headline} ± {half_interval}, the median of {tests} tests",
        headline=figure["text"],
        half_interval=repeats.half_interval(found),
        tests=repeated["measured"],
    )
    return {**figure, "text": text}


def _accuracy_headline(evidence: Evidence) -> dict[str, Any]:
    row = next((gate for gate in gates(evidence) if gate.name == "rougeLsum"), None)
    if row is None:
        return _headline(None, None, "", phrase("No figure: the answers were not judged"))
    text = phrase("rougeLsum {value:.2f} % (the gate is {low:.2f} %)", value=row.value, low=row.low)
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
        "full_size": evidence.full_size,
        "weights": flags["weights"],
        "quantization": precision.label(evidence.config),
        "results_dir": flags["results_dir"],
        "command": run["command"],
        "first_query_s": run.get("first_query_s"),
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
        "examples": examples.chosen(evidence.answers),
    }


def _not_judged_because(evidence: Evidence) -> str | None:
    if evidence.accuracy is not None:
        return evidence.accuracy.not_judged_because
    reason: str | None = evidence.config["resolved"].get("accuracy_not_judged_because")
    return reason or phrase("There is no rouge.json in the run folder.")


def _remark(evidence: Evidence) -> str | None:
    """What the score of a run is worth that is not the official one."""
    flags = evidence.config["flags"]
    if flags["model"] == DEMO_MODEL:
        return phrase("That is expected of the demo model: its weights are random numbers.")
    if flags["model"] == SMALL_MODEL:
        return phrase(
            "That is expected of the small model: it has 0.135 billion parameters, not 8."
        )
    if not evidence.full_size:
        samples = formatting.count(evidence.config["resolved"]["sample_count"])
        return phrase(
            "{samples} samples give only a rough idea of what the whole data set would score.",
            samples=samples,
        )
    return None


def _performance(evidence: Evidence, gpu_power_w: float | None) -> dict[str, Any] | None:
    result = evidence.performance
    if result is None:
        return None
    limits, reasons = evidence.limits, invalid_reasons(evidence)
    return {
        "scenario": evidence.scenario.label,
        "valid": not reasons,
        "loadgen_valid": result.loadgen.valid,  # False goes with valid False, but not the reverse
        "invalid_reasons": list(reasons),
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
        "early_stopping_min_queries": _min_queries(evidence),
        **_against_limits(evidence, result),
        "repeats": repeats.summarise(evidence),
        "probes": [dataclasses.asdict(probe) for probe in evidence.probes],
        "loadgen_errors": list(result.loadgen.errors),
        "extra": _extra(evidence, result),
        "efficiency": efficiency.of(evidence, gpu_power_w),
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


def _min_queries(evidence: Evidence) -> int | None:
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
