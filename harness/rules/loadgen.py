"""Rules on what LoadGen was configured with: the model it knew, its scenario, its settings."""

from __future__ import annotations

from harness import formatting
from harness.config import Scenario
from harness.language import joined, phrase
from harness.metrics import LoadGenRun
from harness.rules.advice import full_run
from harness.rules.evidence import Evidence
from harness.rules.loadgen_release import RELEASE
from harness.rules.needs import KNOWN_MODEL, LOGS, PERFORMANCE, Log, loadgen_logs, unknown_model
from harness.rules.rule import (
    OFFICIAL,
    VALIDITY,
    Finding,
    failed,
    not_applicable,
    passed,
    rule,
)
from harness.rules.validity import PerformanceTest

SCENARIO_RULE = "loadgen-scenario"
_MODES = {"accuracy": "AccuracyOnly", "performance": "PerformanceOnly"}  # of each test
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
)
# Of Server and Interactive too: queries in flight at most, and queries issued as one.
_MUST_BE_OFF_IN_SERVER = ("max_async_queries", "server_coalesce_queries")
_AS_IT_CAME = phrase("Run it again with this program as it came.")


@rule(
    "loadgen-model",
    OFFICIAL,
    source="loadgen/mlperf.conf:101-146",
    required=phrase("LoadGen's settings are those of this model and scenario"),
)
def _model_name(evidence: Evidence) -> Finding:
    """The name itself is in no log; its settings are, and give an unknown name away."""
    flags = evidence.flags
    official = evidence.official.loadgen_model(flags.category, flags.scenario.value)
    configured = evidence.config["resolved"]["loadgen_model"]
    if configured != official:
        text = phrase(
            "LoadGen was configured for the model {configured}; for this scenario it is "
            "{official}. {again}",
            configured=configured,
            official=official,
            again=_AS_IT_CAME,
        )
        return failed(configured, text, full_run(evidence))
    if unknown_model(evidence):
        text = phrase(
            "LoadGen did not know the model and took settings that are not those of "
            "{official}. {again}",
            official=official,
            again=_AS_IT_CAME,
        )
        return failed(phrase("the settings of no model"), text, full_run(evidence))
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
            logged = phrase("nothing")
            if isinstance(logged_ns, int):
                logged = formatting.milliseconds(logged_ns / 1e6)
            text = phrase(
                "In the {test} test LoadGen held {latency} against {logged}; the limit of "
                "{scenario} is {limit}. {again}",
                test=test,
                latency=name.upper(),
                logged=logged,
                scenario=evidence.scenario.label,
                limit=formatting.milliseconds(limit_ms),
                again=_AS_IT_CAME,
            )
            return failed(
                phrase("{latency} limit {logged}", latency=name.upper(), logged=logged),
                text,
                full_run(evidence),
            )
    return None


def is_of_another_test(evidence: Evidence, test: str, log: LoadGenRun) -> bool:
    """Whether LoadGen's log of this test is of another scenario, or of the other kind of test."""
    return (log.scenario, log.mode) != (evidence.scenario.loadgen_name, _MODES[test])


@rule(
    SCENARIO_RULE,
    VALIDITY,
    source="CHK/checks/performance_check.py:111-540",
    required=lambda e: phrase("LoadGen ran {scenario}", scenario=e.scenario.loadgen_name),
    needs=LOGS,
)
def _scenario(evidence: Evidence, logs: list[Log]) -> Finding:
    expected, modes = evidence.scenario.loadgen_name, []
    for test, log in logs:
        mode = _MODES[test]
        if is_of_another_test(evidence, test, log):
            text = phrase(
                "LoadGen's {test} log is of the scenario {logged} in mode {logged_mode}; "
                "this run ({scenario}) needs {expected} in mode {mode}. Run it again.",
                test=test,
                logged=log.scenario,
                logged_mode=log.mode,
                scenario=evidence.scenario.label,
                expected=expected,
                mode=mode,
            )
            return failed(f"{log.scenario}, {log.mode}", text, full_run(evidence))
        modes.append(mode)
    return passed(f"{expected}: {', '.join(modes)}")


@rule(
    "loadgen-settings",
    OFFICIAL,
    source="rules:462-464",
    required=phrase("nothing else in LoadGen's settings is changed"),
    needs=PERFORMANCE,
)
def _settings(evidence: Evidence, test: PerformanceTest) -> Finding:
    run = test.loadgen
    names = [*_MUST_BE_OFF, *(_MUST_BE_OFF_IN_SERVER if evidence.limits else ())]
    values = {name: run.effective.get(name, run.requested.get(name)) for name in names}
    wrong = [_setting(name, value) for name, value in values.items() if value not in _OFF]
    percentile = evidence.official.latency_percentile
    if evidence.scenario is Scenario.SINGLESTREAM:
        percentile = evidence.official.single_stream_percentile
    if (logged := run.effective.get("target_latency_percentile")) != percentile:
        wrong.append(_setting("target_latency_percentile", logged))
    if not wrong:
        return passed(phrase("as LoadGen has them"))
    text = phrase(
        "LoadGen was configured with {settings}, which changes what is measured. Nothing but "
        "the target rate or latency may be set: run it again with the user.conf of this "
        "program.",
        settings=joined(", ", wrong),
    )
    return failed(joined(", ", wrong), text, full_run(evidence))


def _setting(name: str, value: object) -> str:
    return phrase(
        "{name} = {value}", name=name, value=phrase("nothing") if value is None else value
    )


@rule(
    "equal-issue",
    OFFICIAL,
    source="loadgen/mlperf.conf:73-75",
    required=phrase("LoadGen issued every sample equally often"),
    needs=KNOWN_MODEL,
)
def _equal_issue(evidence: Evidence, test: PerformanceTest) -> Finding:
    if test.loadgen.effective.get("sample_concatenate_permutation") is True:
        return passed(phrase("it did"))
    text = phrase(
        "LoadGen did not issue every sample equally often (sample_concatenate_permutation "
        "was off), so short articles may have come up more. Run it again."
    )
    return failed(phrase("it did not"), text, full_run(evidence))


@rule(
    "token-latencies",
    OFFICIAL,
    source="loadgen/mlperf.conf:101-103",
    required=phrase("LoadGen counted tokens"),
    needs=LOGS,
)
def _token_latencies(evidence: Evidence, logs: list[Log]) -> Finding:
    if unknown_model(evidence):
        return not_applicable(phrase("LoadGen did not know the model."))
    for test, log in logs:
        if log.requested.get("use_token_latencies") is not True:
            text = phrase(
                "LoadGen did not count tokens in the {test} test (use_token_latencies was "
                "off), so its log has no tokens per second and no TTFT. Run it again.",
                test=test,
            )
            return failed(phrase("off in the {test} log", test=test), text, full_run(evidence))
    return passed(phrase("on"))


LOADGEN = (
    *RELEASE,
    _model_name,
    _scenario,
    _settings,
    _equal_issue,
    _token_latencies,
)
