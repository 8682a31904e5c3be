"""Reports are made of whatever a run folder holds, as often as asked."""

from __future__ import annotations

import json

import pytest

from harness.config import RunConfig
from harness.errors import LogError
from harness.report.make import make_report
from tests.builders import config_json, rouge, text_of
from tests.report.conftest import MakeRun

pytestmark = pytest.mark.usefixtures("drawn")


def test_torn_logs_of_a_failed_run_become_notes_and_of_a_finished_one_an_error(
    make_run: MakeRun,
) -> None:
    folder = make_run(rouge=rouge(1.0), status="failed", error="killed")
    log = folder / "Accuracy" / "mlperf_log_accuracy.json"
    log.write_text(log.read_text()[:-100])
    record = make_report(folder)
    assert len(record["problems"]) == 1 and "breaks off" in record["problems"][0]
    assert record["problems"][0] in text_of(folder)
    (folder / "config.json").write_text(json.dumps(config_json(RunConfig())))
    with pytest.raises(LogError, match="breaks off"):
        make_report(folder)


def test_report_can_be_made_again_after_the_folder_has_moved(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(1.0))
    first = make_report(folder)
    moved = folder.rename(folder.with_name("20990101-000000-datacenter-offline"))
    second = make_report(moved)
    first["meta"]["name"] = second["meta"]["name"] = ""
    assert second == first


def test_report_of_latest_is_that_of_the_run_it_points_to(make_run: MakeRun) -> None:
    folder = make_run()
    latest = folder.parent / "latest"
    latest.symlink_to(folder.name)
    assert make_report(latest)["meta"]["name"] == folder.name
