"""TEST06: real LoadGen under the official audit.config, and each check broken once."""

from __future__ import annotations

import asyncio
import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import report
from harness import config
from harness.config import RunConfig, Scenario
from harness.errors import LogError, UsageError
from harness.loadgen import planning, sut
from harness.loadgen import process as loadgen
from harness.loadgen.answering import Progress
from harness.loadgen.user_conf import user_conf_text
from harness.logs.answers import read_audit_log
from harness.logs.detail import read_detail_log
from harness.metrics import AuditedAnswer, ComplianceResult, LoadGenRun
from harness.report.text import terminal_summary
from harness.results.folder import RunFolder
from harness.rounds import V5_1, LatencyLimits
from harness.scoring import test06 as compliance
from tests.fakes import FakeEngine, answer_to, make_prompts

SAMPLES = 30
GOOD = AuditedAnswer(7, (11, 12, 13, 128009), (11,), 4)
LOADGEN_RUN = LoadGenRun(
    scenario="Server",
    mode="PerformanceOnly",
    loadgen_version="5.1.2",
    qsl_rng_seed=1,
    sample_index_rng_seed=2,
    schedule_rng_seed=3,
    effective={},
    results={"num_errors": 0},
    errors=(),
    warnings=("Found Audit Config file (audit.config). Overriding TestSettings.",),
    valid=False,
    ended=True,
    sample_count=100,
)

OFFLINE_RUN = dataclasses.replace(LOADGEN_RUN, scenario="Offline")
WITH_LIMITS = dataclasses.replace(
    LOADGEN_RUN,
    requested={"server_ttft_latency": 2_000_000_000, "server_tpot_latency": 100_000_000},
)


def run_test06(folder: Path, scenario: Scenario, *, with_audit_config: bool = True) -> None:
    """Real LoadGen against the fake engine, with the settings of a smoke run."""
    settings = RunConfig(scenario=scenario)
    user_conf, audit_config = folder / "user.conf", folder / "audit.config"
    target = planning.Target("a test", SAMPLES, 1, qps=2000)
    user_conf.write_text(
        user_conf_text(settings, sample_count=SAMPLES, min_duration_s=0, target=target)
    )
    audit_config.write_text(compliance.AUDIT_CONFIG)
    plan = loadgen.LoadGenPlan(
        loadgen_model=settings.round.loadgen_model("datacenter", scenario.value),
        scenario=scenario.loadgen_name,
        accuracy=False,
        user_conf=user_conf,
        log_dir=folder,
        total_samples=SAMPLES,
        write_samples=None,
        audit_config=audit_config if with_audit_config else None,
    )
    asyncio.run(
        sut.run_test(
            FakeEngine(),
            make_prompts(SAMPLES),
            plan,
            sut.Serving(stream_first_token=scenario is not Scenario.OFFLINE, stall_timeout_s=20),
            Progress(),
        )
    )


def judged(folder: Path, scenario: Scenario) -> ComplianceResult:
    return compliance.judge(
        read_audit_log(folder / "mlperf_log_accuracy.json"),
        read_detail_log(folder / "mlperf_log_detail.txt"),
        scenario,
        (),
    )


@pytest.mark.parametrize("scenario", [Scenario.OFFLINE, Scenario.SERVER, Scenario.INTERACTIVE])
def test_an_honest_system_passes_with_100_answers_in_real_logs(
    scenario: Scenario, tmp_path: Path
) -> None:
    run_test06(tmp_path, scenario)

    result = judged(tmp_path, scenario)

    answers = read_audit_log(tmp_path / "mlperf_log_accuracy.json")
    prompts = make_prompts(SAMPLES)
    expected = [tuple(answer_to(prompts[answer.sample_index])) for answer in answers]
    assert [answer.token_ids for answer in answers] == expected
    assert len(answers) == 100
    assert result.passed, [check.sentence for check in result.checks if not check.passed]
    first = "Skipped" if scenario is Scenario.OFFLINE else "True"
    assert compliance.verify_accuracy_text(result) == (
        f"First token check pass: {first}\n"
        "EOS check pass: True\n"
        "Sample length check pass: True\n"
        "TEST06 verification complete\n"
    )


def test_audit_config_is_the_official_one_to_the_byte() -> None:
    # compliance/TEST06/audit.config of v5.1.1: 543 bytes, without an end of the last line.
    assert len(compliance.AUDIT_CONFIG) == 543
    assert compliance.AUDIT_CONFIG.endswith("sample_concatenate_permutation = 0")


def test_an_ordinary_test_is_not_taken_for_test06(tmp_path: Path) -> None:
    run_test06(tmp_path, Scenario.SERVER, with_audit_config=False)

    run = read_detail_log(tmp_path / "mlperf_log_detail.txt")
    result = compliance.judge([GOOD] * 100, run, Scenario.SERVER, ())

    assert [check.name for check in result.checks if not check.passed] == ["audit_config"]
    assert "ordinary test" in result.checks[0].sentence


@pytest.mark.parametrize(
    ("bad", "name", "words"),
    [
        ({"first_token_ids": ()}, "first_token", "or had none"),
        ({"first_token_ids": (99,)}, "first_token", "1 of 100 answers do not begin"),
        ({"token_ids": (11, 12, 128009, 128009)}, "end_tokens", "further end tokens"),
        ({"token_ids": (11, 12, 128001, 128008)}, "end_tokens", "further end tokens"),
        ({"token_ids": (11, 12, 2, 2)}, "end_tokens", "further end tokens"),
        ({"token_ids": (11, 12, 555, 555)}, "end_tokens", "further end tokens"),
        ({"told_count": 5}, "sample_length", "another number of tokens"),
        ({"told_count": None}, "sample_length", "another number of tokens"),
    ],
)
def test_one_bad_answer_of_100_fails_its_check_alone(
    bad: dict[str, tuple[int, ...]], name: str, words: str
) -> None:
    answers = [*[GOOD] * 99, dataclasses.replace(GOOD, sample_index=41, **bad)]  # type: ignore[arg-type]

    result = compliance.judge(answers, LOADGEN_RUN, Scenario.SERVER, (555,))

    failed = [check for check in result.checks if not check.passed]
    assert [check.name for check in failed] == [name]
    assert words in failed[0].sentence
    assert "sample 41" in failed[0].sentence
    assert "verification failed" in compliance.verify_accuracy_text(result)


@pytest.mark.parametrize(
    ("answers", "run", "name"),
    [
        ([GOOD] * 99, LOADGEN_RUN, "answers"),
        ([GOOD] * 100, dataclasses.replace(LOADGEN_RUN, errors=("Tokens < 2",)), "loadgen"),
        ([GOOD] * 100, dataclasses.replace(LOADGEN_RUN, results={"num_errors": 5}), "loadgen"),
        ([GOOD] * 100, dataclasses.replace(LOADGEN_RUN, mode="AccuracyOnly"), "scenario"),
        ([GOOD] * 100, dataclasses.replace(LOADGEN_RUN, ended=False), "loadgen"),
        ([GOOD] * 100, dataclasses.replace(LOADGEN_RUN, warnings=()), "audit_config"),
    ],
)
def test_a_log_that_is_not_whole_fails_its_check_alone(
    answers: list[AuditedAnswer], run: LoadGenRun, name: str
) -> None:
    result = compliance.judge(answers, run, Scenario.SERVER, ())

    assert [check.name for check in result.checks if not check.passed] == [name]


def test_no_answers_at_all_pass_nothing() -> None:
    result = compliance.judge([], LOADGEN_RUN, Scenario.SERVER, ())

    passed = {check.name for check in result.checks if check.passed}
    assert passed == {"audit_config", "scenario", "loadgen"}


def test_offline_is_not_asked_for_first_tokens() -> None:
    answers = [dataclasses.replace(GOOD, first_token_ids=())] * 100

    run = dataclasses.replace(LOADGEN_RUN, scenario="Offline")

    assert compliance.judge(answers, run, Scenario.OFFLINE, ()).passed


@pytest.mark.parametrize(
    ("run", "scenario", "limits", "words"),
    [
        (LOADGEN_RUN, Scenario.OFFLINE, None, "not of Offline but of another scenario"),
        (OFFLINE_RUN, Scenario.OFFLINE, None, "it has first tokens"),
        (OFFLINE_RUN, Scenario.SERVER, None, "not of Server but of Offline"),
        (WITH_LIMITS, Scenario.INTERACTIVE, V5_1.interactive_limits, "Server with other limits"),
    ],
)
def test_a_log_of_another_scenario_fails_its_check_alone(
    run: LoadGenRun, scenario: Scenario, limits: LatencyLimits | None, words: str
) -> None:
    result = compliance.judge([GOOD] * 100, run, scenario, (), limits)

    (failed,) = [check for check in result.checks if not check.passed]
    assert failed.name == "scenario" and words in failed.sentence


def test_a_log_with_the_limits_of_its_scenario_passes() -> None:
    result = compliance.judge([GOOD] * 100, WITH_LIMITS, Scenario.SERVER, (), V5_1.server_limits)

    assert result.passed


def test_one_end_token_is_allowed_and_so_is_an_answer_of_one() -> None:
    answers = [*[GOOD] * 99, AuditedAnswer(1, (128009,), (128009,), 1)]

    assert compliance.judge(answers, LOADGEN_RUN, Scenario.SERVER, ()).passed


@pytest.mark.parametrize(
    ("text", "words"),
    [("[\n{", "breaks off"), ('[{"data": "00"}]', "not a LoadGen"), ("[1]", "not a LoadGen")],
)
def test_a_damaged_audit_log_is_named(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "mlperf_log_accuracy.json"
    path.write_text(text)

    with pytest.raises(LogError, match=words):
        read_audit_log(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"category": "edge"}, "an edge submission needs no compliance test"),
        ({"mode": "accuracy"}, "use --mode both"),
    ],
)
def test_the_flag_is_refused_where_test06_has_no_place(change: dict[str, str], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        config.validate(RunConfig(compliance=True).with_values(**change))


def test_a_failed_test06_is_in_the_report_and_on_the_terminal(
    make_compliance_run: Callable[[ComplianceResult], Path],
) -> None:
    bad = [*[GOOD] * 99, dataclasses.replace(GOOD, told_count=5)]
    folder = make_compliance_run(compliance.judge(bad, LOADGEN_RUN, Scenario.SERVER, ()))

    record = report.make_report(folder)

    sentence = "1 of 100 answers hold another number of tokens than LoadGen was told"
    assert record["run"]["compliance"]["passed"] is False
    assert sentence in (folder / "report.md").read_text()
    said = " ".join(terminal_summary(record).split())
    assert f"TEST06 failed TEST06 {sentence}" in said


@pytest.fixture
def make_compliance_run(tmp_path: Path) -> Callable[[ComplianceResult], Path]:
    """A finished run folder of which only TEST06 is there."""
    from tests.builders import config_json

    def make(result: ComplianceResult) -> Path:
        folder = RunFolder(tmp_path / "results" / "20261123-141500-datacenter-server")
        folder.test06.mkdir(parents=True)
        settings = RunConfig(scenario=Scenario.SERVER, compliance=True, mode="performance")
        folder.config_json.write_text(json.dumps(config_json(settings)))
        (folder.test06 / "result.json").write_text(json.dumps(compliance.to_json(result)))
        folder.run_log.write_text("")
        return folder.path

    return make
