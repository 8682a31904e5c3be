"""Which figures a run folder gets."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from harness.config import RunConfig, Scenario
from harness.report.make import make_report
from tests.builders import SAMPLES, rouge, text_of
from tests.report.conftest import MakeRun, timed_run

pytestmark = pytest.mark.usefixtures("drawn")


def test_plot_that_is_no_longer_drawn_is_removed(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(1.0))
    assert make_report(folder)["plots"]["rouge_vs_threshold"]
    shutil.rmtree(folder / "Accuracy")
    assert make_report(folder)["plots"]["rouge_vs_threshold"] is None
    assert not (folder / "plots" / "rouge_vs_threshold.png").exists()


def test_history_has_the_finished_runs_of_the_same_model_and_scenario(make_run: MakeRun) -> None:
    strangers = (
        RunConfig(model="x", dataset="sample", total_sample_count=SAMPLES),
        RunConfig(model="demo", scenario=Scenario.SERVER, total_sample_count=SAMPLES),
    )
    for number, settings in enumerate(strangers):
        make_report(make_run(settings, name=f"20261123-12000{number}-datacenter-offline"))
    failed = make_run(status="failed", error="killed", name="20261123-130000-datacenter-offline")
    make_report(failed)
    folder = make_run()
    assert make_report(folder)["plots"]["history"] is None
    make_report(make_run(name="20261122-100000-datacenter-offline"))
    assert make_report(folder)["plots"]["history"] == "plots/history.png"


def test_history_heeds_no_index_that_is_stale_or_damaged(make_run: MakeRun) -> None:
    folder = make_run()
    other = make_run(name="20261122-100000-datacenter-offline")
    make_report(other)
    index = folder.parent / "index.json"
    for text in ("[]", "{broken"):
        index.write_text(text)
        assert make_report(folder)["plots"]["history"] == "plots/history.png"
    shutil.rmtree(other)
    index.write_text(json.dumps([{"run": other.name, "status": "finished"}]))
    assert make_report(folder)["plots"]["history"] is None


@pytest.mark.parametrize(
    ("test", "scenario", "absent"),
    [
        ("server-valid", Scenario.SERVER, set[str]()),
        ("server-few", Scenario.INTERACTIVE, set[str]()),
        ("singlestream-valid", Scenario.SINGLESTREAM, {"queue_depth"}),
    ],
)
def test_each_latency_figure_stands_in_the_report_with_a_sentence(
    tmp_path: Path, test: str, scenario: Scenario, absent: set[str]
) -> None:
    folder = timed_run(tmp_path, test, scenario)
    plots = make_report(folder)["plots"]
    expected = {"latency_cdf", "ttft_cdf", "tpot_cdf", "latency_over_time", "queue_depth"}
    assert {name for name in expected if plots[name] is None} == absent
    for name in expected - absent:
        sentence = rf"\n[A-Z][^\n]+\.\n\n!\[{name}\]\(plots/{name}\.png\)\n"
        assert re.search(sentence, text_of(folder)), name
