"""LoadGen's detail and summary logs, on files that real LoadGen wrote."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.errors import LogError
from harness.logs.detail import read_detail_log, read_summary_log
from harness.results.folder import DETAIL_LOG, SUMMARY_LOG
from harness.rounds import V5_1
from tests.builders import DATA, edit


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_errors_and_warnings_are_gathered_as_sentences(run_dir: Path) -> None:
    detail = run_dir / "Performance" / DETAIL_LOG
    lines = detail.read_text().splitlines(keepends=True)
    error = next(x for x in lines if "generic_message" in x).replace("false", "true", 1)
    warning = lines[0].replace('"is_warning": false', '"is_warning": true')
    detail.write_text("".join([*lines[:-1], error, error, warning, lines[-1]]))
    run = read_detail_log(detail)
    assert run.errors == ("Starting performance mode (2 times)",)
    assert run.warnings == ("5.1.2 @ 06c742a84a",)


def test_accuracy_mode_ends_without_a_verdict() -> None:
    run = read_detail_log(DATA / "server-valid" / "Accuracy" / DETAIL_LOG)
    assert (run.mode, run.valid, run.ended, run.sample_count) == ("AccuracyOnly", None, True, 20)


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_an_accuracy_test_that_did_not_load_all_samples_has_not_ended(run_dir: Path) -> None:
    detail = run_dir / "Accuracy" / DETAIL_LOG
    edit(
        detail, '"qsl_reported_total_count", "value": 20', '"qsl_reported_total_count", "value": 40'
    )
    assert not read_detail_log(detail).ended


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_an_accuracy_test_is_not_over_while_its_last_set_of_samples_runs(run_dir: Path) -> None:
    detail = run_dir / "Accuracy" / DETAIL_LOG
    edit(
        detail, '"qsl_reported_total_count", "value": 20', '"qsl_reported_total_count", "value": 40'
    )
    lines = detail.read_text().splitlines(keepends=True)
    loading = next(line for line in lines if "loaded_qsl_set" in line)
    detail.write_text("".join([*lines, loading]))
    assert not read_detail_log(detail).ended
    detail.write_text("".join([*lines, loading, lines[-1]]))
    assert read_detail_log(detail).sample_count == 40


def test_summary_log_is_read_as_names_and_values() -> None:
    summary = read_summary_log(DATA / "server-valid" / "Performance" / SUMMARY_LOG)
    assert summary["Result is"] == "VALID"
    assert summary["Scenario"] == "Server"
    assert summary["ttft_latency (ns)"] == 2_000_000_000
    assert summary["qsl_rng_seed"] == V5_1.seeds.qsl_rng_seed
    assert isinstance(summary["Completed tokens per second"], float)


@pytest.mark.parametrize("run_dir", ["server-valid"], indirect=True)
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("effective_scenario", "7"),
        ("effective_scenario", '"MultiStream"'),  # none of ours
        ("qsl_reported_total_count", "-1"),
        ("qsl_reported_total_count", "true"),
        ("generated_samples_per_query", "1000000000000000"),
        ("effective_test_mode", "inf"),
        ("result_query_count", '"500"'),
        ("result_query_count", "99999"),  # more than were generated
        ("qsl_reported_total_count", "[]"),
        ("result_validity", "{}"),
        ("loaded_qsl_set", "0"),
    ],
)
def test_a_key_of_another_kind_is_named(run_dir: Path, key: str, value: str) -> None:
    detail = run_dir / "Performance" / DETAIL_LOG
    text = re.sub(
        rf'("key": "{key}", "value": )[^,\[]*(\[[^]]*\])?,', rf"\g<1>{value},", detail.read_text()
    )
    detail.write_text(text)

    with pytest.raises(LogError, match=f"is damaged: {key} is"):
        read_detail_log(detail)


@pytest.mark.parametrize("run_dir", ["server-valid"], indirect=True)
def test_a_number_of_errors_that_is_none_is_no_end_of_a_test(run_dir: Path) -> None:
    detail = run_dir / "Performance" / DETAIL_LOG
    edit(detail, '"num_errors", "value": 0', '"num_errors", "value": inf')

    assert not read_detail_log(detail).ended
