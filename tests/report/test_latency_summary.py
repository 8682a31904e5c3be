"""Latencies, limits and goodput in summary.json."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.config import Scenario
from harness.report.make import make_report
from tests.builders import DATA
from tests.report.conftest import timed_run

pytestmark = pytest.mark.usefixtures("drawn")


def test_server_summary_counts_queries_over_the_limits_and_goodput(tmp_path: Path) -> None:
    folder = timed_run(tmp_path)
    rows = (folder / "samples.csv").read_text().splitlines()
    index, issued, _, completed, tokens = rows[7].split(",")
    # Three seconds of waiting; tokens and samples stay what LoadGen counted.
    late = [index, str(float(issued) - 3), completed, completed, tokens]
    (folder / "samples.csv").write_text("\n".join([*rows[:7], ",".join(late), *rows[8:]]) + "\n")
    performance = make_report(folder)["run"]["performance"]
    assert performance["over_limit"] == {"ttft": 1, "tpot": 0, "allowed": 0}
    assert performance["goodput"]["share"] == 499 / 500
    assert performance["goodput"]["queries_per_sec"] == pytest.approx(
        performance["samples_per_sec"] * 499 / 500
    )
    assert performance["probes"] == []


def test_goodput_of_a_test_within_its_limits_is_loadgens_rate(tmp_path: Path) -> None:
    performance = make_report(timed_run(tmp_path))["run"]["performance"]
    assert performance["goodput"] == {"share": 1.0, "queries_per_sec": performance["achieved_qps"]}


def test_scenarios_without_limits_have_no_goodput(tmp_path: Path) -> None:
    folder = timed_run(tmp_path, "singlestream-valid", Scenario.SINGLESTREAM)
    performance = make_report(folder)["run"]["performance"]
    assert (performance["over_limit"], performance["goodput"]) == (None, None)
    assert performance["limits_ms"] is None


@pytest.mark.parametrize(
    ("test", "scenario"),
    [
        ("server-valid", Scenario.SERVER),
        ("server-few", Scenario.INTERACTIVE),
        ("singlestream-valid", Scenario.SINGLESTREAM),
    ],
)
def test_every_percentile_is_the_one_loadgen_printed(
    tmp_path: Path, test: str, scenario: Scenario
) -> None:
    performance = make_report(timed_run(tmp_path, test, scenario))["run"]["performance"]
    text = (DATA / test / "Performance" / "mlperf_log_summary.txt").read_text()
    printed = {
        " ".join(name.lower().split()): float(value)
        for name, value in re.findall(r"^([^:\n]+\(ns\))\s*: ([\d.]+)$", text, re.MULTILINE)
    }
    keys = {"p50": "50.00", "p90": "90.00", "p95": "95.00", "p99": "99.00", "p999": "99.90"}
    names = {
        "latency_ms": ("latency", "latency"),
        "ttft_ms": ("first token latency", "first token latency"),
        "tpot_ms": ("time per output token", "time to output token"),
    }
    for table, (mean, percentile) in names.items():
        assert performance[table]["mean"] == printed[f"mean {mean} (ns)"] / 1e6
        for key, number in keys.items():
            expected = printed[f"{number} percentile {percentile} (ns)"] / 1e6
            assert performance[table][key] == expected, (table, key)


def test_headline_of_single_stream_is_loadgens_p90_latency_not_its_early_stopping_estimate(
    tmp_path: Path,
) -> None:
    folder = timed_run(tmp_path, "singlestream-valid", Scenario.SINGLESTREAM)
    headline = make_report(folder)["headline"]
    log = (folder / "Performance" / "mlperf_log_detail.txt").read_text()
    found = re.search(r'"result_90.00_percentile_latency_ns", "value": (\d+)', log)
    other = re.search(r'"early_stopping_latency_ss", "value": (\d+)', log)
    assert found and other and found[1] != other[1]
    assert headline["value"] == int(found[1]) / 1e6
    assert headline["text"] == "p90 latency 2.29 ms"
