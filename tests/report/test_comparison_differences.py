"""What differs between runs, and which did not do the same work."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.config import Scenario
from harness.errors import UsageError
from harness.report import comparison_differences as differing
from harness.report.comparison_runs import ComparedRun, read_runs
from tests.report.comparisons import compared, folder_of, server_test

Change = Callable[[dict[str, Any]], None]


def pair(change: Change) -> list[ComparedRun]:
    runs = [compared(server_test(60), label=label) for label in "AB"]
    change(runs[1].config)
    return runs


def found(change: Change) -> list[tuple[str, str, tuple[str, ...]]]:
    return [(d.group, d.name, d.values) for d in differing.differences(pair(change))]


def test_only_what_differs_is_shown() -> None:
    def change(config: dict[str, Any]) -> None:
        config["flags"] |= {"precision": "fp8", "min_duration_s": 60.0, "results_dir": "elsewhere"}
        config["resolved"]["engine"] |= {"max_num_seqs": 1008, "compilation": {"mode": 3}}
        config["system"] |= {"vllm_version": "0.26.0", "gpu_name": "NVIDIA H100"}
        config["system"]["git_commit"] = "0123456789abcdef"
        config["run"]["started"] = "2030-01-01T00:00:00+00:00"
        config["model"]["path"] = "/elsewhere"

    assert found(lambda _: None) == []
    assert found(change) == [
        ("settings", "--precision", ("bf16", "fp8")),
        ("settings", "--min-duration", ("-", "60.0")),
        ("engine", "max_num_seqs", ("32", "1008")),
        ("engine", "compilation.mode", ("-", "3")),
        ("system", "gpu_name", ("NVIDIA H200", "NVIDIA H100")),
        ("versions", "vllm_version", ("-", "0.26.0")),
        ("versions", "git_commit", ("-", "0123456789ab")),
    ]


def test_the_rate_asked_for_is_a_setting() -> None:
    runs = [compared(server_test(60), label=a, qps=qps) for a, qps in (("A", 10.0), ("B", 12.0))]
    (difference,) = differing.differences(runs)
    assert difference.name == "rate asked for"
    assert difference.values == ("10.0 queries/s", "12.0 queries/s")
    assert not differing.same_rates(runs)
    # LoadGen prints six digits of a rate.
    alike = [compared(server_test(60), qps=qps) for qps in (10.0, 10.00001)]
    assert differing.same_rates(alike)


def test_runs_that_differ_in_settings_alone_are_compared() -> None:
    runs = pair(lambda config: config["flags"].update(precision="fp8"))
    differing.refuse_what_cannot_be_compared(runs)


@pytest.mark.parametrize(
    ("part", "values", "reason"),
    [
        ("flags", {"model": "demo"}, "model: A meta-llama/Llama-3.1-8B-Instruct .*, B demo"),
        ("flags", {"scenario": "offline"}, "scenario: A server, B offline"),
        ("flags", {"weights": "dummy"}, "weights: A real, B dummy"),
        ("flags", {"version": "5.0"}, "MLPerf round: A 5.1, B 5.0"),
        ("model", {"revision": "f" * 40}, r"model: .*, B .* \(ffffffffffff\)"),
        ("dataset", {"name": "synthetic"}, "data set: A cnndm, B synthetic"),
        ("dataset", {"checksum_sha256": "ff"}, "content of the data set"),
        ("resolved", {"sample_count": 20}, "number of samples of the data set: A 13368, B 20"),
        ("resolved", {"sampling": {"max_tokens": 64}}, "lengths and choice of tokens"),
    ],
)
def test_what_did_not_do_the_same_work_is_refused_with_the_way_out(
    part: str, values: dict[str, Any], reason: str
) -> None:
    runs = pair(lambda config: config[part].update(values))
    with pytest.raises(UsageError, match=reason) as refused:
        differing.refuse_what_cannot_be_compared(runs)
    assert "--anyway" in str(refused.value)


def test_a_model_is_the_same_by_any_of_its_names(tmp_path: Path) -> None:
    runs = read_runs([
        folder_of(tmp_path / "one", model="llama3.1-8b-instruct"),
        folder_of(tmp_path / "two", model="meta-llama/Llama-3.1-8B-Instruct"),
    ])  # fmt: skip
    assert list(differing.incomparable(runs)) == []
    assert runs[0].scenario is Scenario.SERVER
