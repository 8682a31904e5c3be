"""The performance test, on files that real LoadGen wrote (tests/data/make_logs.py)."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from harness.errors import LogError
from harness.logs.performance import performance_result
from harness.results.folder import DETAIL_LOG, SUMMARY_LOG
from harness.rounds import V5_1
from harness.rules.validity import invalid_reasons
from tests.builders import DATA, edit, logged, performance


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
    detail = run_dir / "Performance" / DETAIL_LOG
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
    detail = run_dir / "Performance" / DETAIL_LOG
    detail.write_text(detail.read_text()[:9000])
    with pytest.raises(LogError, match="breaks off before the test began"):
        performance(run_dir)


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_a_file_that_loadgen_did_not_write_is_refused(run_dir: Path) -> None:
    (run_dir / "Performance" / DETAIL_LOG).write_text("hello\n")
    with pytest.raises(LogError, match="is not a LoadGen detail log"):
        performance(run_dir)


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_a_missing_summary_log_is_refused(run_dir: Path) -> None:
    (run_dir / "Performance" / SUMMARY_LOG).unlink()
    with pytest.raises(LogError, match=r"mlperf_log_summary\.txt cannot be read"):
        performance(run_dir)


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_values_that_are_no_json_are_unknown_and_messages_may_span_lines(run_dir: Path) -> None:
    detail = run_dir / "Performance" / DETAIL_LOG
    rate = logged(run_dir, "result_samples_per_second")
    edit(detail, f'"result_samples_per_second", "value": {rate:g}', '"x", "value": -nan')
    edit(run_dir / "Performance" / SUMMARY_LOG, f"Samples per second: {rate:g}", "x: -nan")
    edit(detail, '"value": "Starting performance mode"', '"value": "Starting\n performance mode"')
    edit(detail, '"qsl_name", "value": "PyQSL"', '"qsl_name", "value": "a "quoted" name"')
    result = performance(run_dir)
    assert result.samples_per_second is None
    assert invalid_reasons(result) == ()


def test_a_folder_without_a_performance_test_has_no_performance_result(tmp_path: Path) -> None:
    assert performance_result(tmp_path) is None
