"""All scenarios in one command, with TEST06, through real vLLM and real LoadGen."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from harness import rounds
from harness.logs.detail import read_detail_log
from harness.logs.times import read_samples
from tests.conftest import PROJECT, WholeRun, run_py


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory, demo_cache: Path) -> Callable[[str], WholeRun]:
    """All scenarios of a category in one command, run once for all who ask."""
    asked = {
        "datacenter": ["--mode", "both", "--total-sample-count", "20", "--compliance", "1"],
        "edge": ["--mode", "performance", "--total-sample-count", "64"],
    }
    done: dict[str, WholeRun] = {}

    def run(category: str) -> WholeRun:
        if category not in done:
            results = tmp_path_factory.mktemp(category) / "results"
            words = ["--category", category, "--scenario", "all", *asked[category]]
            done[category] = run_py(words, results, demo_cache)
        return done[category]

    return run


@pytest.mark.parametrize("category", ["datacenter", "edge"])
def test_all_scenarios_run_on_one_engine_load(
    category: str, series: Callable[[str], WholeRun]
) -> None:
    run = series(category)

    assert run.exit_status == 0, run.stderr
    scenarios = rounds.V5_1.category(category).scenarios
    folders = sorted(path for path in run.results.glob(f"*-{category}-*") if path.is_dir())
    assert sorted(path.name.split("-")[3] for path in folders) == sorted(scenarios)
    run_logs = "".join((path / "run.log").read_text() for path in folders)
    assert run_logs.count("Initializing a V1 LLM engine") == 1
    lines = run.stdout.splitlines()
    (heading,) = (n for n, line in enumerate(lines) if line.startswith("  scenario"))
    table = lines[heading + 1 : heading + 1 + len(scenarios)]
    assert [line.split()[0].lower() for line in table] == list(scenarios)
    assert sum(line.startswith("  next: ") for line in lines) == 1
    invalid = [line.split()[0] for line in table if "INVALID" in line]
    assert ("INVALID: " + ", ".join(invalid) in lines[-1]) == bool(invalid), lines[-1]


@pytest.mark.parametrize(
    ("category", "scenario", "samples"),
    [
        ("datacenter", "offline", 20),
        ("datacenter", "server", 20),
        ("datacenter", "interactive", 20),
        ("edge", "singlestream", 64),
        ("edge", "offline", 64),
    ],
)
def test_every_scenario_answers_each_query_once_and_agrees_with_loadgens_summary(
    category: str, scenario: str, samples: int, series: Callable[[str], WholeRun]
) -> None:
    (folder,) = series(category).results.glob(f"*-{category}-{scenario}")

    performance = json.loads((folder / "summary.json").read_text())["run"]["performance"]
    rows = read_samples(folder / "samples.csv")
    assert len(rows) == performance["sample_count"] == samples
    assert sorted(row.sample_index for row in rows) == list(range(samples))
    detail = read_detail_log(folder / "Performance" / "mlperf_log_detail.txt")
    assert detail.errors == ()
    if scenario == "offline":
        return
    assert all(row.first_token_s is not None for row in rows)
    printed = (folder / "Performance" / "mlperf_log_summary.txt").read_text()
    for name, part in (("First Token latency", "ttft_ms"), ("Time per Output Token", "tpot_ms")):
        found = re.search(rf"Mean {name} \(ns\) *: (\d+)", printed)
        assert found is not None
        assert performance[part]["mean"] == pytest.approx(int(found[1]) / 1e6)


@pytest.fixture(params=["offline", "server", "interactive"])
def audited(request: pytest.FixtureRequest, series: Callable[[str], WholeRun]) -> Path:
    """The folder of a run with --compliance 1, once for each scenario."""
    (folder,) = series("datacenter").results.glob(f"*-datacenter-{request.param}")
    return folder


def test_test06_logs_100_real_answers_and_passes_every_check(audited: Path) -> None:
    offline = audited.name.endswith("-offline")
    folder = audited / "Compliance" / "TEST06"

    entries = json.loads((folder / "mlperf_log_accuracy.json").read_text())
    assert len({entry["seq_id"] for entry in entries}) == len(entries) == 100
    assert {entry["qsl_idx"] for entry in entries} <= set(range(20))
    for entry in entries:
        assert len(entry["data"]) == 8 * entry["token_count"] > 0  # a token: 4 bytes, 8 hex digits
        if offline:
            assert "token_data" not in entry
        else:
            assert entry["token_data"] == entry["data"][:8]
    result = json.loads((audited / "summary.json").read_text())["run"]["compliance"]
    assert result["passed"] is True
    assert {check["name"]: check["passed"] for check in result["checks"]} == {
        "audit_config": True,
        "scenario": True,
        "answers": True,
        "loadgen": True,
        **({} if offline else {"first_token": True}),
        "end_tokens": True,
        "sample_length": True,
    }
    assert (folder / "verify_accuracy.txt").read_text() == (
        f"First token check pass: {'Skipped' if offline else 'True'}\n"
        "EOS check pass: True\n"
        "Sample length check pass: True\n"
        "TEST06 verification complete\n"
    )


def test_the_audit_settings_rule_test06_and_no_other_test(audited: Path) -> None:
    logs = {
        name: read_detail_log(audited / name / "mlperf_log_detail.txt")
        for name in ("Accuracy", "Performance", "Compliance/TEST06")
    }
    audit_settings = {
        "accuracy_log_rng_seed": 720381539243781796,
        "accuracy_log_sampling_target": 100,
        "min_query_count": 100,
        "sample_concatenate_permutation": False,
    }
    own = {
        "accuracy_log_rng_seed": 0,
        "accuracy_log_sampling_target": 0,
        "min_query_count": 20,
        "sample_concatenate_permutation": True,
    }

    for name, log in logs.items():
        asked = audit_settings if name == "Compliance/TEST06" else own
        # What LoadGen then made of it: Offline holds all samples in one query.
        made = asked | {"min_query_count": 1} if log.scenario == "Offline" else asked
        assert {key: log.requested[key] for key in asked} == asked, name
        assert {key: log.effective[key] for key in asked} == made, name
        found = [warning for warning in log.warnings if "Found Audit Config file" in warning]
        assert len(found) == (name == "Compliance/TEST06"), name
        assert log.mode == ("AccuracyOnly" if name == "Accuracy" else "PerformanceOnly")
        assert log.sample_count == (100 if name == "Compliance/TEST06" else 20), name
    assert json.loads((audited / "Performance" / "mlperf_log_accuracy.json").read_text()) == []


def test_no_audit_config_is_left_where_a_later_test_would_find_it(audited: Path) -> None:
    assert (audited / "Compliance" / "TEST06" / "audit.config").is_file()
    assert not (PROJECT / "audit.config").exists()
    assert not (PROJECT / "no-audit.config").exists()
