"""Rules on what LoadGen was: its release, its seeds, the model it knew, its settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from harness import formatting
from harness.config import Scenario
from harness.rounds import Seeds
from harness.rules.advice import full_run
from harness.rules.evidence import Evidence
from harness.rules.needs import KNOWN_MODEL, LOGS, PERFORMANCE, Log, loadgen_logs, unknown_model
from harness.rules.rule import (
    OFFICIAL,
    VALIDITY,
    Finding,
    NextStep,
    failed,
    not_applicable,
    passed,
    rule,
)
from harness.rules.validity import BUILT_UNCOMMITTED, PerformanceTest

SEEDS = tuple(field.name for field in dataclasses.fields(Seeds))
_OFF = (0, False)
# What would shorten the test, or choose the queries otherwise than the rules do; 0 and false are
# LoadGen's defaults. An accuracy log in a performance test is the mark of a compliance test.
_MUST_BE_OFF = (
    "max_duration_ms",
    "max_query_count",
    "performance_issue_unique",
    "performance_issue_same",
    "accuracy_log_probability",
    "accuracy_log_sampling_target",
    "server_coalesce_queries",
)
_AS_IT_CAME = "Run it again with this program as it came."


@rule(
    "loadgen-release",
    OFFICIAL,
    source="rules:462-464",
    required=lambda e: f"an unaltered LoadGen of v{e.official.name}",
    needs=LOGS,
)
def _release(evidence: Evidence, logs: list[Log]) -> Finding:
    releases, versions = evidence.official.loadgen_releases, list[str]()
    known = (*evidence.official.loadgen_releases_datacenter, *releases)
    install = evidence.official.loadgen_versions
    step = NextStep("The official LoadGen; then repeat the command:", f"pip install {install}")
    for name, log in logs:
        version = (log.loadgen_version or "").split(" ")[0]
        altered = log.uncommitted or any(e.startswith(BUILT_UNCOMMITTED) for e in log.errors)
        if version not in known or altered:
            what = f"an altered LoadGen {version}" if altered else f"LoadGen {version or 'unknown'}"
            text = (
                f"The {name} test ran with {what}. For v{evidence.official.name} it has to be an "
                f"unaltered release ({_listed(known)}): pip install {install}."
            )
            return failed(what, text, step)
        versions.append(version)
    if name_missing := _unknown_name(evidence, versions):
        return failed(*name_missing, step)
    if len(set(versions)) > 1:
        both = " and ".join(versions)
        text = (
            f"The two tests ran with two releases of LoadGen ({both}), so they are not of one "
            "run. Run both with --mode both."
        )
        return failed(both, text, full_run(evidence))
    return passed(versions[0])


def _unknown_name(evidence: Evidence, versions: Sequence[str]) -> tuple[str, str] | None:
    """What is said of a release that lacks this run's model name; None: it has the name."""
    official = evidence.official
    name = official.loadgen_model(evidence.flags.category, evidence.scenario.value)
    lacking = [v for v in versions if v in official.loadgen_releases_datacenter]
    if not lacking or name == official.datacenter.loadgen_model:
        return None
    text = (
        f"LoadGen {lacking[0]} has no settings for the model name {name}, which this run needs; it "
        f"knows {official.datacenter.loadgen_model} alone. Use a release that has it "
        f"({_listed(official.loadgen_releases)}): pip install {official.loadgen_versions}."
    )
    return f"LoadGen {lacking[0]} lacks {name}", text


def _listed(versions: tuple[str, ...]) -> str:
    return ", ".join(versions) if len(versions) < 4 else f"{versions[0]} to {versions[-1]}"


@rule(
    "seeds",
    OFFICIAL,
    source="CHK/constants.py:1303-1308",
    required=lambda e: f"the three random seeds of v{e.official.name}",
    needs=LOGS,
    departure="loadgen_seeds",
)
def _seeds(evidence: Evidence, logs: list[Log]) -> Finding:
    official = evidence.official
    for test, log in logs:
        for seed in SEEDS:
            if getattr(log, seed) == getattr(official.seeds, seed):
                continue
            text = (
                f"LoadGen drew its queries from other random numbers than those of "
                f"v{official.name} ({seed} in the {test} log), so nobody else's result compares "
                "with this one. Install that round's LoadGen: pip install "
                f"{official.loadgen_versions}."
            )
            step = NextStep(
                "The LoadGen of that round; then repeat the command:",
                f"pip install {official.loadgen_versions}",
            )
            return failed(f"{seed} {getattr(log, seed)} in the {test} log", text, step)
    return passed(f"all three, {' and '.join(test for test, _log in logs)} log")


@rule(
    "loadgen-model",
    OFFICIAL,
    source="loadgen/mlperf.conf:101-146",
    required="LoadGen's settings are those of this model and scenario",
)
def _model_name(evidence: Evidence) -> Finding:
    """The name itself is in no log; its settings are, and give an unknown name away."""
    flags = evidence.flags
    official = evidence.official.loadgen_model(flags.category, flags.scenario.value)
    configured = evidence.config["resolved"]["loadgen_model"]
    if configured != official:
        text = (
            f"LoadGen was configured for the model {configured}; for this scenario it is "
            f"{official}. {_AS_IT_CAME}"
        )
        return failed(configured, text, full_run(evidence))
    if unknown_model(evidence):
        text = (
            f"LoadGen did not know the model and took settings that are not those of {official}. "
            f"{_AS_IT_CAME}"
        )
        return failed("the settings of no model", text, full_run(evidence))
    return _other_limit(evidence) or passed(official)


def _other_limit(evidence: Evidence) -> Finding | None:
    """A limit in LoadGen's settings that is not the scenario's; None: there is none."""
    if evidence.limits is None:
        return None
    official_ms = {"ttft": evidence.limits.ttft_p99_ms, "tpot": evidence.limits.tpot_p99_ms}
    for test, log in loadgen_logs(evidence):
        for name, limit_ms in official_ms.items():
            logged_ns = log.requested.get(f"server_{name}_latency")
            if logged_ns == 1e6 * limit_ms:
                continue
            logged = "nothing"
            if isinstance(logged_ns, int):
                logged = formatting.milliseconds(logged_ns / 1e6)
            text = (
                f"In the {test} test LoadGen held {name.upper()} against {logged}; the limit of "
                f"{evidence.scenario.label} is {formatting.milliseconds(limit_ms)}. {_AS_IT_CAME}"
            )
            return failed(f"{name.upper()} limit {logged}", text, full_run(evidence))
    return None


@rule(
    "loadgen-scenario",
    VALIDITY,
    source="CHK/checks/performance_check.py:111-540",
    required=lambda e: f"LoadGen ran {e.scenario.loadgen_name}",
    needs=LOGS,
)
def _scenario(evidence: Evidence, logs: list[Log]) -> Finding:
    expected, modes = evidence.scenario.loadgen_name, []
    for test, log in logs:
        mode = "AccuracyOnly" if test == "accuracy" else "PerformanceOnly"
        if (log.scenario, log.mode) != (expected, mode):
            text = (
                f"LoadGen's {test} log is of the scenario {log.scenario} in mode {log.mode}; this "
                f"run ({evidence.scenario.label}) needs {expected} in mode {mode}. Run it again."
            )
            return failed(f"{log.scenario}, {log.mode}", text, full_run(evidence))
        modes.append(mode)
    return passed(f"{expected}: {' and '.join(modes)}")


@rule(
    "loadgen-settings",
    OFFICIAL,
    source="rules:462-464",
    required="nothing else in LoadGen's settings is changed",
    needs=PERFORMANCE,
)
def _settings(evidence: Evidence, test: PerformanceTest) -> Finding:
    run = test.loadgen
    values = {name: run.effective.get(name, run.requested.get(name, 0)) for name in _MUST_BE_OFF}
    wrong = [f"{name} = {value}" for name, value in values.items() if value not in _OFF]
    percentile = evidence.official.latency_percentile
    if evidence.scenario is Scenario.SINGLESTREAM:
        percentile = evidence.official.single_stream_percentile
    if (logged := run.effective.get("target_latency_percentile")) != percentile:
        wrong.append(f"target_latency_percentile = {logged}")
    if not wrong:
        return passed("as LoadGen has them")
    text = (
        f"LoadGen was configured with {', '.join(wrong)}, which changes what is measured. Nothing "
        "but the target rate or latency may be set: run it again with the user.conf of this "
        "program."
    )
    return failed(", ".join(wrong), text, full_run(evidence))


@rule(
    "equal-issue",
    OFFICIAL,
    source="loadgen/mlperf.conf:73-75",
    required="LoadGen issued every sample equally often",
    needs=KNOWN_MODEL,
)
def _equal_issue(evidence: Evidence, test: PerformanceTest) -> Finding:
    if test.loadgen.effective.get("sample_concatenate_permutation") is True:
        return passed("it did")
    text = (
        "LoadGen did not issue every sample equally often (sample_concatenate_permutation was "
        "off), so short articles may have come up more. Run it again."
    )
    return failed("it did not", text, full_run(evidence))


@rule(
    "token-latencies",
    OFFICIAL,
    source="loadgen/mlperf.conf:101-103",
    required="LoadGen counted tokens",
    needs=LOGS,
)
def _token_latencies(evidence: Evidence, logs: list[Log]) -> Finding:
    if unknown_model(evidence):
        return not_applicable("LoadGen did not know the model.")
    for test, log in logs:
        if log.requested.get("use_token_latencies") is not True:
            text = (
                f"LoadGen did not count tokens in the {test} test (use_token_latencies was off), "
                "so its log has no tokens per second and no TTFT. Run it again."
            )
            return failed(f"off in the {test} log", text, full_run(evidence))
    return passed("on")


LOADGEN = (
    _release,
    _seeds,
    _model_name,
    _scenario,
    _settings,
    _equal_issue,
    _token_latencies,
)
