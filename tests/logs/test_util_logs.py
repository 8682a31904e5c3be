"""LoadGen's logs, on files that real LoadGen wrote (tests/data/make_logs.py)."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import util_logs
from harness.errors import LogError
from harness.metrics import Generation, PerformanceResult, SampleTimes, TimelinePoint
from harness.rounds import V5_1
from harness.rules.validity import invalid_reasons

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "tests" / "data"
DETAIL = "mlperf_log_detail.txt"
SUMMARY = "mlperf_log_summary.txt"
ACCURACY = "mlperf_log_accuracy.json"


@pytest.fixture
def run_dir(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of the run folder that the test names, to be damaged."""
    return Path(shutil.copytree(DATA / request.param, tmp_path / "run"))


def performance(run_dir: Path) -> PerformanceResult:
    result = util_logs.performance_result(run_dir)
    assert result is not None
    return result


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def logged(run_dir: Path, key: str) -> float:
    """A value of the detail log, found without the parser under test."""
    line = next(x for x in (run_dir / "Performance" / DETAIL).open() if f'"key": "{key}"' in x)
    value = json.loads(line.removeprefix(":::MLLOG "))["value"]
    assert isinstance(value, int | float)
    return value


def test_offline_run_is_read_with_its_seeds_rates_and_latencies() -> None:
    folder = DATA / "offline-valid"
    result = performance(folder)
    assert invalid_reasons(result) == ()
    assert (result.scenario, result.sample_count, result.total_new_tokens) == ("Offline", 20, 100)
    assert result.tokens_per_second == logged(folder, "result_tokens_per_second")
    assert result.samples_per_second == logged(folder, "result_samples_per_second")
    assert (result.target_qps, result.achieved_qps) == (30, result.samples_per_second)
    assert result.latency.p90_ms == logged(folder, "result_90.00_percentile_latency_ns") / 1e6
    assert result.latency.mean_ms == logged(folder, "result_mean_latency_ns") / 1e6
    assert (result.ttft, result.tpot) == (None, None)
    run = result.loadgen
    assert (run.mode, run.valid, run.ended, run.errors) == ("PerformanceOnly", True, True, ())
    assert run.loadgen_version == "5.1.2 @ 06c742a84a"
    assert (run.qsl_rng_seed, run.sample_index_rng_seed, run.schedule_rng_seed) == (
        V5_1.seeds.qsl_rng_seed,
        V5_1.seeds.sample_index_rng_seed,
        V5_1.seeds.schedule_rng_seed,
    )
    assert run.effective["performance_sample_count"] == 20
    assert run.results["result_validity"] == "VALID"


def test_server_run_is_read_with_first_token_and_per_token_times() -> None:
    folder = DATA / "server-valid"
    result = performance(folder)
    assert invalid_reasons(result) == ()
    assert (result.sample_count, result.total_new_tokens, result.target_qps) == (500, 2500, 1000)
    assert result.tokens_per_second == logged(folder, "result_completed_tokens_per_second")
    assert result.achieved_qps == logged(folder, "result_completed_samples_per_sec")
    assert result.ttft is not None
    assert result.tpot is not None
    first = logged(folder, "result_first_token_99.00_percentile_latency_ns")
    each = logged(folder, "result_time_per_output_token_99.00_percentile_ns")
    assert (result.ttft.p99_ms, result.tpot.p99_ms) == (first / 1e6, each / 1e6)
    assert result.ttft.p999_ms == (
        logged(folder, "result_first_token_99.90_percentile_latency_ns") / 1e6
    )
    assert result.tpot.mean_ms == logged(folder, "result_time_to_output_token_mean") / 1e6
    assert None not in dataclasses.astuple(result.tpot)


def test_single_stream_run_has_a_rate_and_no_target() -> None:
    folder = DATA / "singlestream-valid"
    result = performance(folder)
    assert invalid_reasons(result) == ()
    assert (result.sample_count, result.total_new_tokens) == (120, 600)
    assert result.target_qps is None
    assert result.tokens_per_second == logged(folder, "result_completed_tokens_per_second")
    assert result.samples_per_second == logged(folder, "result_qps_with_loadgen_overhead")


def test_duration_is_first_query_to_last_answer() -> None:
    rows = (DATA / "server-valid/samples.csv").read_text().splitlines()[1:]
    last = max(float(row.split(",")[3]) for row in rows)
    assert performance(DATA / "server-valid").duration_s == pytest.approx(last)


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_offline_duration_comes_from_loadgen_without_sample_times(run_dir: Path) -> None:
    (run_dir / "samples.csv").unlink()
    result = performance(run_dir)
    assert result.duration_s == logged(run_dir, "result_max_latency_ns") / 1e9
    assert result.total_new_tokens is None


@pytest.mark.parametrize("run_dir", ["offline-valid", "server-valid"], indirect=True)
@pytest.mark.parametrize("key", ["loaded_qsl_set", "result_validity", "num_errors"])
def test_a_log_cut_off_in_the_middle_is_a_test_that_did_not_end(run_dir: Path, key: str) -> None:
    detail = run_dir / "Performance" / DETAIL
    text = detail.read_text()
    detail.write_text(text[: text.index(key) + 5])
    result = performance(run_dir)
    assert result.sample_count is None
    assert not result.loadgen.ended
    assert invalid_reasons(result) == (
        "LoadGen's log breaks off: the test did not end. run.log says why; run it again.",
    )


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_a_log_cut_off_before_the_settings_is_refused(run_dir: Path) -> None:
    detail = run_dir / "Performance" / DETAIL
    detail.write_text(detail.read_text()[:9000])
    with pytest.raises(LogError, match="breaks off before the test began"):
        performance(run_dir)


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_a_file_that_loadgen_did_not_write_is_refused(run_dir: Path) -> None:
    (run_dir / "Performance" / DETAIL).write_text("hello\n")
    with pytest.raises(LogError, match="is not a LoadGen detail log"):
        performance(run_dir)


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_two_logs_that_disagree_on_validity_are_refused(run_dir: Path) -> None:
    edit(run_dir / "Performance" / SUMMARY, "Result is : VALID", "Result is : INVALID")
    with pytest.raises(LogError, match="the detail log says VALID, the summary log INVALID"):
        performance(run_dir)


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_a_missing_summary_log_is_refused(run_dir: Path) -> None:
    (run_dir / "Performance" / SUMMARY).unlink()
    with pytest.raises(LogError, match=r"mlperf_log_summary\.txt cannot be read"):
        performance(run_dir)


@pytest.mark.parametrize("run_dir", ["server-valid", "singlestream-valid"], indirect=True)
def test_a_token_count_that_loadgen_did_not_see_is_refused(run_dir: Path) -> None:
    samples = run_dir / "samples.csv"
    lines = samples.read_text().splitlines()
    index, *times, tokens = lines[1].split(",")
    lines[1] = ",".join([index, *times, str(int(tokens) + 2)])
    samples.write_text("\n".join(lines) + "\n")
    with pytest.raises(LogError, match="tokens, LoadGen's rates to about"):
        performance(run_dir)


@pytest.mark.parametrize(
    "run_dir", ["offline-valid", "server-valid", "singlestream-valid"], indirect=True
)
def test_a_sample_too_few_in_the_sample_times_is_refused(run_dir: Path) -> None:
    samples = run_dir / "samples.csv"
    samples.write_text("".join(samples.read_text().splitlines(keepends=True)[:-1]))
    with pytest.raises(LogError, match="they are not of the same test"):
        performance(run_dir)


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_values_that_are_no_json_are_unknown_and_messages_may_span_lines(run_dir: Path) -> None:
    detail = run_dir / "Performance" / DETAIL
    rate = logged(run_dir, "result_samples_per_second")
    edit(detail, f'"result_samples_per_second", "value": {rate:g}', '"x", "value": -nan')
    edit(detail, '"value": "Starting performance mode"', '"value": "Starting\n performance mode"')
    edit(detail, '"qsl_name", "value": "PyQSL"', '"qsl_name", "value": "a "quoted" name"')
    result = performance(run_dir)
    assert result.samples_per_second is None
    assert invalid_reasons(result) == ()


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_errors_and_warnings_are_gathered_as_sentences(run_dir: Path) -> None:
    detail = run_dir / "Performance" / DETAIL
    lines = detail.read_text().splitlines(keepends=True)
    error = next(x for x in lines if "generic_message" in x).replace("false", "true", 1)
    warning = lines[0].replace('"is_warning": false', '"is_warning": true')
    detail.write_text("".join([*lines[:-1], error, error, warning, lines[-1]]))
    run = util_logs.read_detail_log(detail)
    assert run.errors == ("Starting performance mode (2 times)",)
    assert run.warnings == ("5.1.2 @ 06c742a84a",)


def test_a_folder_without_a_performance_test_has_no_performance_result(tmp_path: Path) -> None:
    assert util_logs.performance_result(tmp_path) is None


def test_accuracy_mode_ends_without_a_verdict() -> None:
    run = util_logs.read_detail_log(DATA / "server-valid" / "Accuracy" / DETAIL)
    assert (run.mode, run.valid, run.ended, run.sample_count) == ("AccuracyOnly", None, True, 20)


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_an_accuracy_test_that_did_not_load_all_samples_has_not_ended(run_dir: Path) -> None:
    detail = run_dir / "Accuracy" / DETAIL
    edit(
        detail, '"qsl_reported_total_count", "value": 20', '"qsl_reported_total_count", "value": 40'
    )
    assert not util_logs.read_detail_log(detail).ended


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_an_accuracy_test_is_not_over_while_its_last_set_of_samples_runs(run_dir: Path) -> None:
    detail = run_dir / "Accuracy" / DETAIL
    edit(
        detail, '"qsl_reported_total_count", "value": 20', '"qsl_reported_total_count", "value": 40'
    )
    lines = detail.read_text().splitlines(keepends=True)
    loading = next(line for line in lines if "loaded_qsl_set" in line)
    detail.write_text("".join([*lines, loading]))
    assert not util_logs.read_detail_log(detail).ended
    detail.write_text("".join([*lines, loading, lines[-1]]))
    assert util_logs.read_detail_log(detail).sample_count == 40


@pytest.mark.parametrize("name", ["offline-valid", "server-valid"])
def test_accuracy_log_gives_the_tokens_of_every_sample(name: str) -> None:
    generations = util_logs.read_accuracy_log(DATA / name / "Accuracy" / ACCURACY)
    by_index = {generation.sample_index: generation.token_ids for generation in generations}
    assert len(generations) == len(by_index) == 20
    assert by_index[0] == (0, 1, 2)
    assert by_index[3] == (3, 4, 5, 6, 7, 8)
    assert by_index[19] == (19, 20, 21, 22, 23, 24, 25)
    util_logs.check_complete(generations, 20)


def test_of_two_answers_to_a_sample_the_first_counts(tmp_path: Path) -> None:
    path = tmp_path / ACCURACY
    path.write_text(
        '[\n{ "seq_id" : 0, "qsl_idx" : 4, "data" : "FFFFFF7F", "token_count" : 1 },\n'
        '{ "seq_id" : 1, "qsl_idx" : 4, "data" : "01000000", "token_count" : 1 }\n]\n'
    )
    assert util_logs.read_accuracy_log(path) == [Generation(4, (2147483647,))]


@pytest.mark.parametrize(
    ("data", "count", "sentence"),
    [
        ("0100000002", 1, "the answer to sample 7 is not a whole number of 4 byte"),
        ("0100000G", 1, "the answer to sample 7 is not a whole number of 4 byte"),
        ("01000000", 2, "the answer to sample 7 holds 1 int32 tokens, but LoadGen was told 2"),
    ],
)
def test_an_answer_that_is_not_int32_tokens_is_refused(
    tmp_path: Path, data: str, count: int, sentence: str
) -> None:
    path = tmp_path / ACCURACY
    path.write_text(json.dumps([{"qsl_idx": 7, "data": data, "token_count": count}]))
    with pytest.raises(LogError, match=sentence):
        util_logs.read_accuracy_log(path)


@pytest.mark.parametrize("text", ["[]", "[\n]\n"])
def test_a_performance_test_leaves_an_accuracy_log_without_answers(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / ACCURACY).write_text(text)
    assert util_logs.read_accuracy_log(tmp_path / ACCURACY) == []


@pytest.mark.parametrize("text", ["[1]", '{"a": 1}', "3", '[{"qsl_idx": 1}]'])
def test_json_of_another_kind_is_no_accuracy_log(tmp_path: Path, text: str) -> None:
    (tmp_path / ACCURACY).write_text(text)
    with pytest.raises(LogError, match="is not a LoadGen accuracy log"):
        util_logs.read_accuracy_log(tmp_path / ACCURACY)


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_a_broken_off_accuracy_log_fails_aloud(run_dir: Path) -> None:
    path = run_dir / "Accuracy" / ACCURACY
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:6]) + lines[6][:30])
    with pytest.raises(LogError, match="breaks off after 5 answers"):
        util_logs.read_accuracy_log(path)


@pytest.mark.parametrize(
    ("indexes", "sentence"),
    [
        ([1, 3], "of 4 samples 2 have no answer (sample 0, 2)"),
        ([], "of 4 samples 4 have no answer (sample 0, 1, 2, 3)"),
        ([0, 1, 2, 2, 3], "of 4 samples 1 were answered more than once (sample 2)"),
        ([0, 1, 2, 3, 9], "of 4 samples 1 are not in the data set (sample 9)"),
    ],
)
def test_an_incomplete_accuracy_log_fails_aloud(indexes: list[int], sentence: str) -> None:
    generations = [Generation(index, (1, 2)) for index in indexes]
    with pytest.raises(LogError) as caught:
        util_logs.check_complete(generations, 4)
    assert sentence in str(caught.value)


def test_many_missing_answers_are_named_by_their_number_and_the_first_few() -> None:
    with pytest.raises(LogError) as caught:
        util_logs.check_complete([Generation(i, (1, 2)) for i in range(2000)], 13368)
    assert str(caught.value) == (
        "The accuracy log is not complete: of 13,368 samples 11,368 have no answer "
        "(sample 2000, 2001, 2002, 2003, 2004, ...). Run the accuracy test again."
    )


def test_sample_times_and_timeline_are_read(tmp_path: Path) -> None:
    samples, timeline = tmp_path / "samples.csv", tmp_path / "timeline.csv"
    samples.write_text(
        "sample_index,issued_s,first_token_s,completed_s,tokens\n"
        "7,0.000000,,1.500000,128\n3,0.250000,0.500000,2.000000,64\n"
    )
    timeline.write_text("time_s,tokens,samples_done,outstanding\n0.5,10,0,2\n")
    assert util_logs.read_sample_times(samples) == [
        SampleTimes(7, 0.0, None, 1.5, 128),
        SampleTimes(3, 0.25, 0.5, 2.0, 64),
    ]
    assert util_logs.read_timeline(timeline) == [TimelinePoint(0.5, 10, 0, 2)]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "does not begin with the line sample_index,issued_s"),
        ("time_s,tokens\n", "does not begin with the line sample_index,issued_s"),
        (
            "sample_index,issued_s,first_token_s,completed_s,tokens\n1,0.0,,1\n",
            "line 2: '1,0.0,,1'",
        ),
        ("sample_index,issued_s,first_token_s,completed_s,tokens\n1,0,,1,\n", "line 2: '1,0,,1,'"),
    ],
)
def test_damaged_sample_times_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    path = tmp_path / "samples.csv"
    path.write_text(text)
    with pytest.raises(LogError, match=sentence):
        util_logs.read_sample_times(path)


def test_summary_log_is_read_as_names_and_values() -> None:
    summary = util_logs.read_summary_log(DATA / "server-valid" / "Performance" / SUMMARY)
    assert summary["Result is"] == "VALID"
    assert summary["Scenario"] == "Server"
    assert summary["ttft_latency (ns)"] == 2_000_000_000
    assert summary["qsl_rng_seed"] == V5_1.seeds.qsl_rng_seed
    assert isinstance(summary["Completed tokens per second"], float)


def command(*arguments: str) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, str(ROOT / "util_logs.py"), *arguments]
    return subprocess.run(program, capture_output=True, text=True, check=False)


def test_the_command_prints_everything_as_json() -> None:
    done = command(str(DATA / "offline-valid"))
    assert (done.returncode, done.stderr) == (0, "")
    printed = json.loads(done.stdout)
    assert printed["performance"]["valid"] is True
    assert printed["performance"]["loadgen"]["qsl_rng_seed"] == V5_1.seeds.qsl_rng_seed
    assert printed["accuracy"]["answers"] == 20
    assert printed["accuracy"]["tokens"] == {"total": 100, "min": 3, "mean": 5.0, "max": 7}


def test_the_command_helps() -> None:
    done = command("--help")
    assert done.returncode == 0
    assert "python util_logs.py results/latest" in done.stdout


@pytest.mark.parametrize(
    ("folder", "sentence"),
    [
        ("nowhere", "nowhere: no such folder; give a run folder, for example results/latest."),
        (".", "holds no LoadGen logs: neither Performance/mlperf_log_detail.txt nor Accuracy/"),
    ],
)
def test_a_wrong_folder_is_one_sentence_and_status_2(folder: str, sentence: str) -> None:
    done = command(folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert sentence in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_a_damaged_log_is_one_sentence_and_status_1(run_dir: Path) -> None:
    (run_dir / "Accuracy" / ACCURACY).write_text("[\n")
    done = command(str(run_dir))
    assert (done.returncode, done.stdout) == (1, "")
    assert "breaks off after 0 answers" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_the_command_needs_neither_vllm_nor_loadgen_nor_torch() -> None:
    code = (
        "import sys, util_logs; "
        "print([m for m in ('torch', 'vllm', 'mlperf_loadgen', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
