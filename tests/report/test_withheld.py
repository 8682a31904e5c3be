"""A report of records that contradict each other has no figures that look like findings."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from matplotlib.figure import Figure

from harness.config import RunConfig, Scenario
from harness.logs.text import sha256
from harness.report.make import make_report
from harness.report.text import terminal_summary
from harness.results import index
from harness.results.folder import ACCURACY_LOG, DETAIL_LOG
from tests.builders import SAMPLES, edit, rouge, text_of
from tests.report.conftest import MakeRun
from tests.report.html import Page
from tests.test_summary_schema import check

LEFT_OUT = "The figures of the {test} test, and the rules that they keep, are left out"
AGREE = "The records of the {test} test agree with each other, and are shown."
NO_RESULT = "No result: the records of this run contradict each other"


@pytest.fixture
def folder(make_run: MakeRun, drawn: list[Figure]) -> Path:
    """A run of both tests that passes the gate, its scores bound to their log."""
    assert not drawn
    settings = RunConfig(total_sample_count=SAMPLES)
    made = make_run(settings, rouge=rouge(1.0))
    scores = made / "Accuracy" / "rouge.json"
    record = json.loads(scores.read_text())
    record["accuracy_log_sha256"] = sha256(made / "Accuracy" / ACCURACY_LOG)
    scores.write_text(json.dumps(record))
    return made


def change_an_answer(folder: Path) -> None:
    log = folder / "Accuracy" / ACCURACY_LOG
    answers = json.loads(log.read_text())
    answers[0] |= {"data": answers[1]["data"], "token_count": answers[1]["token_count"]}
    log.write_text(json.dumps(answers))


def change_what_was_met(folder: Path) -> None:
    key = '"key": "result_min_queries_met", "value": '
    edit(folder / "Performance" / DETAIL_LOG, f"{key}true", f"{key}false")


def said(folder: Path, record: dict[str, Any]) -> list[str]:
    """The report in each of its forms, as one line each."""
    page = Page((folder / "report.html").read_text())
    return [page.words, *(" ".join(t.split()) for t in (text_of(folder), terminal_summary(record)))]


def test_scores_of_another_log_do_not_pass_the_gate_in_a_report(folder: Path) -> None:
    assert all("gate is passed" in text for text in said(folder, make_report(folder)))

    change_an_answer(folder)
    record = make_report(folder)

    check(record)
    assert record["verdict"]["result"] == "INVALID"
    assert record["run"]["accuracy"] is None and record["verdict"]["accuracy_passed"] is None
    assert record["plots"]["rouge_vs_threshold"] is None
    assert record["headline"]["metric"] == "tokens_per_second"
    for text in said(folder, record):
        assert LEFT_OUT.format(test="accuracy") in text and "(scored-log)" in text
        assert AGREE.format(test="performance") in text
        assert "gate is passed" not in text and "rougeLsum" not in text
    for text in said(folder, record)[:2]:
        assert "Left out: the verdict above says why." in text
        assert "accuracy-complete" not in text  # a kept rule on those records


def test_a_test_called_valid_against_its_own_log_has_no_figures_in_a_report(folder: Path) -> None:
    figure = make_report(folder)["headline"]["text"]

    change_what_was_met(folder)
    record = make_report(folder)

    check(record)
    assert record["verdict"]["result"] == "INVALID" and record["verdict"]["valid"] is False
    assert record["headline"] == {"metric": None, "value": None, "unit": "", "text": NO_RESULT}
    assert record["run"]["performance"] is None and record["telemetry"] is None
    assert record["plots"]["tokens_per_sec"] is record["plots"]["latency_cdf"] is None
    for text in said(folder, record):
        assert LEFT_OUT.format(test="performance") in text
        assert "(LoadGen's VALID, queries-reached)" in text
        assert AGREE.format(test="accuracy") in text and "gate is passed" in text
        assert figure not in text and "tokens/s" not in text
    page = said(folder, record)[0]
    assert page.index(AGREE.format(test="accuracy")) < page.index("How near the limits")
    assert "headline-figure" not in page


def test_where_nothing_agrees_nothing_is_called_so(folder: Path) -> None:
    change_an_answer(folder)
    change_what_was_met(folder)
    record = make_report(folder)
    assert record["run"] == {"accuracy": None, "performance": None, "compliance": None}
    for text in said(folder, record):
        assert text.count("are left out: its records contradict each other") == 2
        assert "agree with each other" not in text
    assert "How near the limits" not in said(folder, record)[0]


def test_the_index_does_not_say_that_such_a_run_passed(folder: Path) -> None:
    change_an_answer(folder)
    record = make_report(folder)
    config = json.loads((folder / "config.json").read_text())
    line = index.table([index.entry(folder.name, record, config, alive=False)])
    assert "| INVALID |" in line and "gate passed" not in line


def test_an_invalid_run_whose_records_agree_keeps_its_figures(
    make_run: MakeRun, drawn: list[Figure]
) -> None:
    settings = RunConfig(mode="performance", min_duration_s=2.0, scenario=Scenario.OFFLINE)
    made = make_run(settings, test="offline-short")
    record = make_report(made)
    assert record["verdict"]["result"] == "INVALID" and drawn
    assert record["withheld"] == {"accuracy": [], "performance": []}
    assert record["headline"]["text"] in text_of(made) and "left out" not in text_of(made)


def test_a_summary_of_an_earlier_version_leaves_nothing_out(folder: Path) -> None:
    record = make_report(folder)
    del record["withheld"]
    assert "gate is passed" in terminal_summary(record)
