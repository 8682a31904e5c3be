"""report.md and the summary on the terminal, in the order in which people ask."""

from __future__ import annotations

import dataclasses
import re

import pytest

from harness.config import RunConfig, Scenario
from harness.report import summary
from harness.report.make import make_report
from harness.report.text import terminal_summary
from harness.results.files import read_object, write_json
from harness.results.folder import RunFolder
from harness.rules.read import read_evidence
from tests.builders import SAMPLES, rouge, text_of
from tests.report.conftest import MakeRun

pytestmark = pytest.mark.usefixtures("drawn")


def test_first_lines_give_the_figure_and_say_what_it_is_not(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(1.0))
    record = make_report(folder)
    first, second, third = [line for line in text_of(folder).splitlines() if line][:3]
    assert first == "# Offline (datacenter): demo, bf16"
    assert second == f"**{record['headline']['text']}**"
    assert " tokens/s (" in second and " samples/s)" in second
    assert third == (
        "**Not an official MLPerf result:** smoke run of 20 of 13,368 samples; demo model; "
        "data set sample."
    )


def test_first_lines_of_an_invalid_run_say_what_it_misses(make_run: MakeRun) -> None:
    settings = RunConfig(mode="performance", total_sample_count=SAMPLES)
    folder = make_run(settings, test="offline-one-token")
    make_report(folder)
    third = [line for line in text_of(folder).splitlines() if line][2]
    assert third == (
        "**Required, but missed:** LoadGen has no errors in the performance test (found: 3 errors)."
    )
    assert third.strip("*.").split(":** ")[1] in (folder / "report.html").read_text()


def test_random_tokens_are_not_called_news(make_run: MakeRun) -> None:
    random_tokens = RunConfig(mode="performance", dataset="synthetic", total_sample_count=SAMPLES)
    folder = make_run(random_tokens)
    make_report(folder)
    assert "was given random tokens, in prompts as long as those" in text_of(folder)
    assert "news articles" not in text_of(folder)
    make_report(news := make_run(name="20261123-141501-datacenter-offline"))
    assert "was given news articles to summarise." in text_of(news)


def test_weights_that_came_quantised_stand_in_the_title_and_the_settings(
    make_run: MakeRun,
) -> None:
    folder = make_run(rouge=rouge(1.0))
    record = read_object(folder / "config.json")
    record["model"]["quantization"] = {"label": "int4 weights by awq"}
    write_json(folder / "config.json", record)

    summary = make_report(folder)

    formats = "int4 weights by awq, bf16 arithmetic"
    assert summary["meta"]["quantization"] == "int4 weights by awq"
    assert text_of(folder).startswith(f"# Offline (datacenter): demo, {formats}\n")
    assert f"| number formats | {formats} |" in text_of(folder)
    assert terminal_summary(summary).startswith(f"Offline (datacenter): demo, {formats}\n")


def test_every_broken_rule_is_a_line_of_the_report_and_said_once(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(1.0))
    record = make_report(folder)
    broken = [rule for rule in record["verdict"]["rules"] if rule["outcome"] == "failed"]
    assert {rule["id"] for rule in broken} >= {"whole-data-set", "model", "data-set"}
    for rule in broken:
        line = f"| {rule['id']} | unofficial | {rule['sentence']} | step 1 |\n"
        assert text_of(folder).count(line) == text_of(folder).count(rule["sentence"]) == 1
    assert text_of(folder).count(record["next_steps"][0]["command"]) == 1


def test_report_lists_the_rules_that_are_kept_with_what_was_found(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(1.0))
    make_report(folder)
    kept = text_of(folder).split("## Rules kept\n")[1].split("\n## ")[0]
    assert "| prefix-caching | prefix caching is off | off | rules:459-460,773,895-905 |" in kept
    assert "| performance-errors | LoadGen has no errors in the performance test | none |" in kept
    assert "whole-data-set" not in kept
    assert re.search(r"Not asked of this run: .*\bttft\b.*\.", kept)


def test_report_follows_the_order_in_which_people_ask(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(1.0))
    make_report(folder)
    headings = [line[3:] for line in text_of(folder).splitlines() if line.startswith("## ")]
    assert headings == [
        "Verdict: VALID BUT UNOFFICIAL", "Accuracy", "Performance", "Rules kept", "The machine",
        "Settings", "Where the time went", "Plots", "Files", "Next",
    ]  # fmt: skip


def test_links_and_pictures_of_the_report_lead_to_files(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(0.5))
    record = make_report(folder)
    targets = re.findall(r"\]\(([^)]+)\)", text_of(folder))
    assert len(targets) > 10
    assert [target for target in targets if not (folder / target).is_file()] == []
    absent = {name for name, path in record["plots"].items() if not path}
    first_tokens = {"ttft_cdf", "tpot_cdf", "latency_over_time"}  # Offline has none of them
    assert absent == first_tokens | {"queue_depth", "rate_search", "history", "telemetry"}


def test_the_report_says_where_the_settings_are_from_and_when_the_first_query_was_timed(
    make_run: MakeRun,
) -> None:
    folder = make_run()
    record = make_report(folder)

    assert record["meta"]["first_query_s"] == 27.6
    text = text_of(folder)
    assert "| engine settings | profile tuned-bf16-offline: tuned on 2026-11-24: faster |" in text
    assert "| from the command to the first query of a test | 28 s |" in text


def test_missed_gate_of_the_demo_model_is_called_expected(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(0.1))
    record = make_report(folder)
    assert record["verdict"]["accuracy_passed"] is False
    assert "expected of the demo model" in text_of(folder)
    assert "expected of the demo model" in terminal_summary(record)


def test_server_report_shows_first_token_and_token_time_with_their_limits(
    make_run: MakeRun,
) -> None:
    settings = RunConfig(scenario=Scenario.SERVER, mode="performance", total_sample_count=SAMPLES)
    folder = make_run(settings, test="server-few")
    record = make_report(folder)
    assert re.search(r"\| first token \(TTFT\) \| .* \| p99 below 2,000 ms \|", text_of(folder))
    assert re.search(r"\(TPOT\) \| .* \| p99 below 100.0 ms \|", text_of(folder))
    assert record["headline"]["text"].endswith("tokens/s at 200.0 queries/s")


def test_p99_of_a_few_queries_is_called_the_slowest(make_run: MakeRun) -> None:
    said = "fewer than 100 here, so it is the slowest of them"
    settings = RunConfig(scenario=Scenario.SERVER, mode="performance", total_sample_count=SAMPLES)
    few = make_run(settings, test="server-few", name="few")
    many = make_run(settings, test="server-valid", name="many")

    counts = [make_report(folder)["run"]["performance"]["sample_count"] for folder in (few, many)]

    assert counts[0] < 100 <= counts[1]
    for page in ("report.md", "report.html"):
        assert said in (few / page).read_text()
        assert said not in (many / page).read_text()


def test_of_a_run_that_fell_behind_the_headline_says_what_was_answered(make_run: MakeRun) -> None:
    settings = RunConfig(scenario=Scenario.SERVER, mode="performance", total_sample_count=SAMPLES)
    evidence = read_evidence(RunFolder(make_run(settings, test="server-few")))
    assert evidence.performance is not None

    slower = dataclasses.replace(evidence.performance, achieved_qps=190.04)
    text = summary.headline(dataclasses.replace(evidence, performance=slower))["text"]

    assert text.endswith("tokens/s at 200.0 queries/s, 190.0 queries/s answered")


def test_invalid_run_says_why_and_what_to_type(make_run: MakeRun) -> None:
    folder = make_run(RunConfig(mode="performance", min_duration_s=2.0), test="offline-short")
    record = make_report(folder)
    assert record["verdict"]["result"] == "INVALID"
    assert "has to last at least 2.0 s" in record["verdict"]["reasons"][0]
    assert record["next_steps"][0]["command"].endswith("--mode both")
    for reason in record["verdict"]["reasons"]:
        assert f"| {reason} |" in text_of(folder)


def test_failed_run_has_a_report_with_the_reason_at_the_top(make_run: MakeRun) -> None:
    error = "The engine did not start: out of memory. Lower --max-model-len."
    folder = make_run(test=None, status="failed", error=error)
    record = make_report(folder)
    head = text_of(folder).split("## ")[0]
    assert "No result: the run failed" in head and error in head and "(run.log)" in head
    rules = record["verdict"].pop("rules")
    assert {rule["id"] for rule in rules if rule["outcome"] != "not applicable"} == {"finished"}
    assert record["verdict"] == {
        "result": "FAILED",
        "official": False,
        "valid": None,
        "accuracy_passed": None,
        "reasons": [f"The run failed: {error}"],
    }
    assert record["run"] == {"accuracy": None, "performance": None, "compliance": None}
    assert set(record["plots"].values()) == {None}


def test_terminal_summary_is_short_and_ends_with_the_next_command(make_run: MakeRun) -> None:
    record = make_report(make_run(rouge=rouge(1.0)))
    lines = terminal_summary(record).splitlines()
    assert 10 <= len(lines) <= 22
    assert lines[2] == f"  {record['headline']['text']}"
    verdict = lines.index("  verdict      VALID BUT UNOFFICIAL")
    told = " ".join(line.strip() for line in lines[verdict + 1 :])
    assert told.startswith(" ".join(f"- {reason}" for reason in record["verdict"]["reasons"]))
    assert lines[-1] == f"    {record['next_steps'][0]['command']}"
    assert "  report       results/20261123-141500-datacenter-offline/report.md" in lines
