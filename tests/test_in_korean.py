"""Reports, verdicts, errors, comparisons and checks in Korean have no sentence of English."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import report
import run
from harness.config import RunConfig, Scenario
from harness.engine import life, profiles
from harness.engine.causes import EngineLog
from harness.engine.profiles import Place
from harness.errors import EngineError, LogError, UsageError
from harness.language import text_of, translated
from harness.logs.answers import read_accuracy_log
from harness.mmlu import text as mmlu_text
from harness.mmlu.files import load_questions
from harness.report import pages, text
from harness.rules.evidence import Evidence
from harness.rules.verdict import judge
from harness.submission import checks, system_description
from tests.builders import DATA, SAMPLES, config_json, rouge, write_evaluation, write_run
from tests.korean import english_left
from tests.rules import test_verdict
from tests.rules.changes import Change, departed, each_case
from tests.rules.runs import SCENARIOS, good, names

pytestmark = pytest.mark.usefixtures("korean")
# What these runs were given in the words of the tests, and what LoadGen says.
FOREIGN = (
    "The articles are our own",
    "demo: built on this machine",
    "It is a remade subset",
    "Number of tokens need to be greater",
    "Ending early: Ran out of generated queries",
)


def left(words: str) -> list[str]:
    """English sentences in a Korean text, without those that the tests themselves put there."""
    return [found for found in english_left(words) if not found.startswith(FOREIGN)]


@each_case(test_verdict.CASES)
def test_a_broken_rule_is_said_in_korean(rule: str, scenario: Scenario, change: Change) -> None:
    broken = change(good(scenario))
    assert rule in names(judge(broken))
    assert_said_in_korean(broken)


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_a_kept_rule_is_said_in_korean(scenario: Scenario) -> None:
    assert_said_in_korean(good(scenario))


def test_a_departure_that_the_run_alone_recorded_is_said_in_korean() -> None:
    judged = judge(departed("weights")(good()))

    (broken,) = judged.failed
    assert broken.id == "weights"
    assert translated(broken.found) == "실행이 스스로 기록함"


def assert_said_in_korean(evidence: Evidence) -> None:
    for rule in judge(evidence).rules:
        for words in (rule.required, rule.found, rule.sentence, rule.remedy_why or ""):
            assert not left(translated(words)), rule.id


@pytest.mark.parametrize("test", sorted(path.name for path in DATA.iterdir() if path.is_dir()))
def test_the_report_of_every_fixture_is_in_korean(
    test: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scenario = Scenario(test.partition("-")[0])
    category = "edge" if scenario is Scenario.SINGLESTREAM else "datacenter"
    settings = RunConfig(
        scenario=scenario, category=category, model="demo", dataset="sample",
        total_sample_count=SAMPLES,
    )  # fmt: skip
    folder = write_run(tmp_path / test, settings, test=test, scores=rouge(0.5))

    assert report.main([str(folder), "--lang", "ko"]) == 0

    summary = report.make_report(folder)
    html = (folder / "report.html").read_text()
    assert '<html lang="ko">' in html
    for words in (
        (folder / "report.md").read_text(), html, text.terminal_summary(summary),
        capsys.readouterr().out,
    ):  # fmt: skip
        assert not left(words)


def test_the_report_of_a_run_that_failed_is_in_korean(tmp_path: Path) -> None:
    settings = RunConfig(model="demo", dataset="sample", total_sample_count=SAMPLES)
    record = config_json(settings, status="interrupted", error="interrupted by SIGINT")
    folder = write_run(tmp_path / "run", settings, record=record)
    summary = report.make_report(folder)
    assert "SIGINT 신호로 중단됨" in text.terminal_summary(summary)
    assert not left((folder / "report.md").read_text())


def test_figures_that_a_report_leaves_out_are_said_in_korean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = RunConfig(scenario=Scenario.SERVER, total_sample_count=SAMPLES)
    # Its accuracy log is one of Offline.
    folder = write_run(tmp_path / "run", settings, test="server-valid", scores=rouge(1.0))
    assert report.main([str(folder), str(folder), "--lang", "ko"]) == 0
    page = Path(capsys.readouterr().out.splitlines()[-1])
    for words in (page.read_text(), (folder / "report.md").read_text()):
        assert "기록이 서로 어긋나(loadgen-scenario) 어느 것이 참인지 알 수 없습니다" in words
        assert "성능 테스트의 기록은 서로 맞으므로 표시합니다." in words
        assert not left(words)


def test_the_report_says_in_korean_where_a_recorded_rate_came_from(tmp_path: Path) -> None:
    settings = RunConfig(
        scenario=Scenario.SERVER, model="demo", dataset="sample", total_sample_count=SAMPLES
    )
    record = config_json(settings)
    came_from = "0.8 x the 14.3 samples/s of the Offline run 20261123-141500-datacenter-offline"
    record["resolved"]["target_qps"]["source"] = came_from
    folder = write_run(tmp_path / "run", settings, test="server-valid", record=record)
    assert report.main([str(folder), "--lang", "ko"]) == 0
    words = (folder / "report.md").read_text()
    assert "Offline 실행 20261123-141500-datacenter-offline의 14.3 samples/s x 0.8" in words


def test_the_report_of_an_evaluation_is_in_korean(tmp_path: Path) -> None:
    folder = write_evaluation(tmp_path / "20261123-141500-mmlu")
    record = json.loads((folder / "config.json").read_text())
    record["dataset"]["source"] = load_questions("sample", None).source
    (folder / "config.json").write_text(json.dumps(record))
    summary = report.make_report(folder)
    words = (folder / "report.md").read_text()
    assert not left(words) and "이 프로그램에 포함된 문제" in words
    assert not left(mmlu_text.terminal_summary(summary))


def test_the_machine_and_an_unmeasured_profile_are_said_in_korean() -> None:
    rows = {translated(name) for name, _ in pages.machine_rows({"kernel": "6", "torch_version": 2})}
    assert rows == {"커널", "PyTorch 버전"}
    for place in (Place("cpu"), Place("gpu", holds_demo=True), Place("gpu", "A GPU of tomorrow")):
        profile = profiles.choose(place, "bf16", "offline")
        said = pages.profile({"name": profile.name, "source": str(profile.source)})
        assert not left(translated(said))


def test_what_programs_read_is_the_same_in_every_language(tmp_path: Path) -> None:
    settings = RunConfig(model="demo", dataset="sample", total_sample_count=SAMPLES)
    folder = write_run(tmp_path / "run", settings, test="offline-valid", scores=rouge(0.5))
    assert report.main([str(folder)]) == 0
    files = folder / "summary.json", folder / "config.json"
    english = [file.read_bytes() for file in files]
    words = (folder / "report.md").read_text()

    assert report.main([str(folder), "--lang", "ko"]) == 0

    assert [file.read_bytes() for file in files] == english
    assert (folder / "report.md").read_text() != words
    assert report.main([str(folder), "--lang", "en"]) == 0
    assert (folder / "report.md").read_text() == words


def test_a_folder_that_is_no_run_is_refused_in_korean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main([str(tmp_path), "--lang", "ko"]) == 2
    words = capsys.readouterr().err
    assert "실행 폴더가 아닙니다" in words and not left(words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--max-new-tokens", "1"], "--max-new-tokens 1: LoadGen은 2토큰보다 짧은 응답을"),
        (["--dataset", "synthetic", "--mode", "accuracy"], "--mode accuracy로 채점할 수 없습니다"),
        (["--scenario", "server", "--category", "edge"], "--category edge에 없는 시나리오"),
        (["--engine-arg", "hf_token=x"], "--engine-arg hf_token=...: 여기에 적은 비밀 값은"),
        (["--model", "/none", "--dataset", "sample"], "--model /none: 그런 폴더가 없습니다."),
    ],
)
def test_an_error_of_a_user_is_said_in_korean(
    arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run.main(["--lang", "ko", *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said and not left(said)


def test_text_of_an_error_that_is_no_phrase_is_its_text() -> None:
    assert text_of(ValueError("a number")) == "a number"
    assert json.loads(json.dumps(text_of(KeyError("name")))) == "'name'"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("[{", "응답 0개 뒤에서 끊겼습니다"),
        ("{}", "LoadGen의 정확도 로그가 아닙니다(log의 값이 {}인데 올바른 형식은 '목록'임)"),
        ("[{}]", "LoadGen의 정확도 로그가 아닙니다(log[0]에 qsl_idx 필드가 없음)"),
    ],
)
def test_what_is_wrong_with_a_log_is_said_in_korean(
    tmp_path: Path, content: str, words: str
) -> None:
    log = tmp_path / "mlperf_log_accuracy.json"
    log.write_text(content)
    with pytest.raises(LogError) as error:
        read_accuracy_log(log)
    assert words in translated(text_of(error.value))


def test_a_submission_of_nothing_and_its_lacking_words_are_refused_in_korean() -> None:
    with pytest.raises(UsageError) as error:
        checks.check([], "closed")
    assert "실행 폴더를 지정하십시오" in translated(text_of(error.value))
    config = config_json(RunConfig(model="demo", dataset="sample"))
    with pytest.raises(UsageError) as error:
        system_description.describe(config, {}, submitter="Us", division="open")
    said = translated(text_of(error.value))
    assert "시스템 설명에서 필드" in said
    assert "  host_memory_configuration: 메모리 모듈(예: 16 x 64 GB DDR5-4800)" in said
    assert not left(said)


def test_the_cause_of_an_engines_end_is_said_in_korean(tmp_path: Path) -> None:
    log = tmp_path / "run.log"
    log.write_text("process EngineCore was killed by SIGKILL (exit code -9)\n")
    said = translated(
        life.explain(EngineError("The engine was abandoned before it started."), EngineLog(log))
    )
    assert "(프로세스 EngineCore, SIGKILL 신호로 강제 종료됨(종료 코드 -9)). 누가 강제로" in said
    assert not left(said)


def two_runs(folder: Path) -> list[str]:
    """Folders of two runs with the same tests and different settings."""
    paths = []
    for name, precision in (
        ("20261123-141500-datacenter-offline", "bf16"),
        ("20261124-141500-datacenter-offline", "fp8"),
    ):
        settings = RunConfig(
            model="demo", dataset="sample", total_sample_count=SAMPLES, precision=precision
        )
        run = write_run(folder / name, settings, test="offline-valid", scores=rouge(0.5))
        paths.append(str(run))
    return paths


def test_a_comparison_is_in_korean(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "comparison"
    paths = two_runs(tmp_path)
    assert report.main(["compare", *paths, "--output", str(output), "--lang", "ko"]) == 0
    said = capsys.readouterr().out
    assert "설정" in said and "--precision" in said
    html = (output / "comparison.html").read_text()
    assert '<html lang="ko">' in html and "해석할 때 주의할 점" in html
    for words in (said, html, (output / "comparison.md").read_text()):
        assert not left(words)
    assert "해석" not in (output / "comparison.json").read_text()


def test_runs_that_did_other_work_are_refused_in_korean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert report.main(["compare", two_runs(tmp_path)[0], "--lang", "ko"]) == 2
    assert "compare에는 실행 폴더가 두 개 이상 필요합니다" in capsys.readouterr().err


def test_the_history_is_in_the_language_that_the_file_of_variables_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in two_runs(tmp_path):
        assert report.main([path, "--lang", "en"]) == 0
    monkeypatch.setattr(report, "load_env_file", lambda _: monkeypatch.setenv("MLPERF_LANG", "ko"))
    assert report.main(["history", str(tmp_path)]) == 0
    html = (tmp_path / "index.html").read_text()
    assert '<html lang="ko">' in html and "실행 목록" in html and not left(html)


@pytest.mark.parametrize("broken", [False, True])
def test_a_check_is_in_korean(
    broken: bool, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data.json"
    data.write_text("[]")
    flags = ["--dataset-path", str(data)] if broken else ["--dataset", "sample"]
    status = run.main(["check", "--model", "demo", *flags, "--lang", "ko"])
    said = capfd.readouterr().out
    assert status == (2 if broken else 0)
    assert ("실행할 수 없습니다" if broken else "실행할 수 있습니다") in said
    assert not left(said)
