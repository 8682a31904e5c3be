"""Rules on what LoadGen was: its release, its seeds, the model it knew, its settings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from harness import formatting
from harness.config import Scenario
from harness.metrics import LoadGenRun
from harness.rounds import Seeds
from harness.rules.advice import full_run
from harness.rules.evidence import Evidence
from harness.rules.rule import (
    OFFICIAL,
    VALIDITY,
    Finding,
    Spec,
    Step,
    always,
    failed,
    not_applicable,
    passed,
)

BUILT_UNCOMMITTED = "Loadgen built with uncommitted changes"  # LoadGen's error, its spelling
NO_LOGS = "There are no logs of LoadGen."
_SEEDS = tuple(field.name for field in dataclasses.fields(Seeds))
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


def logs(evidence: Evidence) -> Iterator[tuple[str, LoadGenRun]]:
    """LoadGen's accounts of the tests of this run, each with the test's name."""
    if evidence.accuracy_log:
        yield "accuracy", evidence.accuracy_log
    if evidence.performance:
        yield "performance", evidence.performance.loadgen


def _release(evidence: Evidence) -> Finding:
    known, versions = evidence.official.loadgen_releases, []
    install = evidence.official.loadgen_versions
    step = Step("The official LoadGen; then repeat the command:", f"pip install {install}")
    for name, log in logs(evidence):
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
    if len(set(versions)) > 1:
        found = " and ".join(versions)
        text = (
            f"The two tests ran with two releases of LoadGen ({found}), so they are not of one "
            "run. Run both with --mode both."
        )
        return failed(found, text, full_run(evidence.config))
    return passed(versions[0]) if versions else not_applicable(NO_LOGS)


def _listed(versions: tuple[str, ...]) -> str:
    return ", ".join(versions) if len(versions) < 4 else f"{versions[0]} to {versions[-1]}"


def _seeds(evidence: Evidence) -> Finding:
    official, name = evidence.official, f"v{evidence.official.name}"
    step = Step(
        "The LoadGen of that round; then repeat the command:",
        f"pip install {official.loadgen_versions}",
    )
    tests = []
    for test, log in logs(evidence):
        for seed in _SEEDS:
            if getattr(log, seed) != getattr(official.seeds, seed):
                text = (
                    f"LoadGen drew its queries from other random numbers than those of {name} "
                    f"({seed} in the {test} log), so nobody else's result compares with this one. "
                    f"Install that round's LoadGen: pip install {official.loadgen_versions}."
                )
                return failed(f"{seed} {getattr(log, seed)} in the {test} log", text, step)
        tests.append(test)
    return passed(f"all three, {' and '.join(tests)} log") if tests else not_applicable(NO_LOGS)


def unknown_model(evidence: Evidence) -> bool:
    """Whether LoadGen took the settings that it has for no model in particular."""
    performance = evidence.performance
    return (
        performance is not None
        and performance.loadgen.requested.get("use_token_latencies") is False
        and performance.loadgen.effective.get("sample_concatenate_permutation") is False
    )


def _model_name(evidence: Evidence) -> Finding:
    """The name itself is in no log; its settings are, and give an unknown name away."""
    wanted = evidence.official.loadgen_model(
        evidence.config["flags"]["category"], evidence.scenario.value
    )
    named = evidence.config["resolved"]["loadgen_model"]
    way_out = "Run it again with this program as it came."
    if named != wanted:
        text = f"LoadGen was told that the model is {named}; for this scenario it is {wanted}."
        return failed(named, f"{text} {way_out}", full_run(evidence.config))
    if unknown_model(evidence):
        text = f"LoadGen did not know the model and took settings that are not those of {wanted}."
        return failed("the settings of no model", f"{text} {way_out}", full_run(evidence.config))
    limits = evidence.limits
    for test, log in logs(evidence):
        if limits is None:
            break
        for name, limit_ms in (("ttft", limits.ttft_p99_ms), ("tpot", limits.tpot_p99_ms)):
            told_ns = log.requested.get(f"server_{name}_latency")
            if told_ns == 1e6 * limit_ms:
                continue
            told = formatting.milliseconds(told_ns / 1e6) if isinstance(told_ns, int) else "nothing"
            text = (
                f"In the {test} test LoadGen held {name.upper()} against {told}; the limit of "
                f"{evidence.scenario.label} is {formatting.milliseconds(limit_ms)}. {way_out}"
            )
            return failed(f"{name.upper()} limit {told}", text, full_run(evidence.config))
    return passed(wanted)


def _scenario(evidence: Evidence) -> Finding:
    wanted, found = evidence.scenario.loadgen_name, []
    for test, log in logs(evidence):
        mode = "AccuracyOnly" if test == "accuracy" else "PerformanceOnly"
        if (log.scenario, log.mode) != (wanted, mode):
            text = (
                f"LoadGen's {test} log is of the scenario {log.scenario} in mode {log.mode}; this "
                f"run ({evidence.scenario.label}) needs {wanted} in mode {mode}. Run it again."
            )
            return failed(f"{log.scenario}, {log.mode}", text, full_run(evidence.config))
        found.append(mode)
    return passed(f"{wanted}: {' and '.join(found)}") if found else not_applicable(NO_LOGS)


def _settings(evidence: Evidence) -> Finding:
    if evidence.performance is None:
        return not_applicable("There is no performance test.")
    run = evidence.performance.loadgen
    told = {name: run.effective.get(name, run.requested.get(name, 0)) for name in _MUST_BE_OFF}
    wrong = [f"{name} = {value}" for name, value in told.items() if value not in _OFF]
    percentile = evidence.official.latency_percentile
    if evidence.scenario is Scenario.SINGLESTREAM:
        percentile = evidence.official.single_stream_percentile
    if (found := run.effective.get("target_latency_percentile")) != percentile:
        wrong.append(f"target_latency_percentile = {found}")
    if not wrong:
        return passed("as LoadGen has them")
    text = (
        f"LoadGen was told {', '.join(wrong)}, which changes what is measured. Nothing but the "
        "target rate or latency may be set: run it again with the user.conf of this program."
    )
    return failed(", ".join(wrong), text, full_run(evidence.config))


def _equal_issue(evidence: Evidence) -> Finding:
    if evidence.performance is None or unknown_model(evidence):
        return not_applicable("There is no performance test, or LoadGen did not know the model.")
    if evidence.performance.loadgen.effective.get("sample_concatenate_permutation") is True:
        return passed("it did")
    text = (
        "LoadGen did not issue every sample equally often (sample_concatenate_permutation was "
        "off), so short articles may have come up more. Run it again."
    )
    return failed("it did not", text, full_run(evidence.config))


def _token_latencies(evidence: Evidence) -> Finding:
    if unknown_model(evidence):
        return not_applicable("LoadGen did not know the model.")
    found = list(logs(evidence))
    for test, log in found:
        if log.requested.get("use_token_latencies") is not True:
            text = (
                f"LoadGen did not count tokens in the {test} test (use_token_latencies was off), "
                "so its log has no tokens per second and no TTFT. Run it again."
            )
            return failed(f"off in the {test} log", text, full_run(evidence.config))
    return passed("on") if found else not_applicable(NO_LOGS)


LOADGEN = (
    Spec(
        "loadgen-release",
        OFFICIAL,
        "rules:462-464",
        lambda e: f"an unaltered LoadGen of v{e.official.name}",
        _release,
    ),
    Spec(
        "seeds",
        OFFICIAL,
        "CHK/constants.py:1303-1308",
        lambda e: f"the three random seeds of v{e.official.name}",
        _seeds,
        departure="loadgen_seeds",
    ),
    Spec(
        "loadgen-model",
        OFFICIAL,
        "loadgen/mlperf.conf:101-146",
        always("LoadGen's settings are those of this model and scenario"),
        _model_name,
    ),
    Spec(
        "loadgen-scenario",
        VALIDITY,
        "CHK/checks/performance_check.py:111-540",
        lambda e: f"LoadGen ran {e.scenario.loadgen_name}",
        _scenario,
    ),
    Spec(
        "loadgen-settings",
        OFFICIAL,
        "rules:462-464",
        always("nothing else in LoadGen's settings is changed"),
        _settings,
    ),
    Spec(
        "equal-issue",
        OFFICIAL,
        "loadgen/mlperf.conf:73-75",
        always("LoadGen issued every sample equally often"),
        _equal_issue,
    ),
    Spec(
        "token-latencies",
        OFFICIAL,
        "loadgen/mlperf.conf:101-103",
        always("LoadGen counted tokens"),
        _token_latencies,
    ),
)
