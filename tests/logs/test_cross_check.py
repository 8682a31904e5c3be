"""Records of one test that contradict each other are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.errors import LogError
from harness.results.folder import DETAIL_LOG, SUMMARY_LOG
from tests.builders import edit, performance


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_two_logs_that_disagree_on_validity_are_refused(run_dir: Path) -> None:
    edit(run_dir / "Performance" / SUMMARY_LOG, "Result is : VALID", "Result is : INVALID")
    with pytest.raises(LogError, match="the detail log says VALID, the summary log INVALID"):
        performance(run_dir)


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_a_detail_log_without_a_verdict_is_not_said_to_hold_one(run_dir: Path) -> None:
    edit(run_dir / "Performance" / DETAIL_LOG, '"result_validity"', '"result_validities"')
    with pytest.raises(LogError, match="the detail log says nothing, the summary log VALID"):
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
