"""The one ending of a command of several runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from harness.report import series
from harness.rules.verdict import INVALID, NOT_FINISHED, OFFICIAL_READY, UNOFFICIAL


def ended(
    scenario: str, result: str, *sentences: str, command: str | None = None, why: str = "Why:"
) -> series.Run:
    """A run with these broken rules, after which `command` is proposed."""
    rules = [
        {"outcome": "failed", "sentence": sentence,
         "kind": "validity" if sentence.startswith("Early") else "official"}
        for sentence in sentences
    ]  # fmt: skip
    rules += [{"outcome": "passed", "sentence": "Kept.", "kind": "validity"}]
    steps = [{"why": why, "command": command}] if command else []
    steps += [{"why": "Also:", "command": "python run.py"}]
    summary: dict[str, Any] = {
        "meta": {"scenario": scenario, "results_dir": "results", "name": f"a-{scenario}"},
        "headline": {"text": "59.1 samples/s"},
        "verdict": {"result": result, "rules": rules},
        "next_steps": steps,
    }
    return series.Run(scenario.capitalize(), Path("results") / f"a-{scenario}", summary)


def test_the_ending_is_one_table_one_next_step_and_the_worst_last() -> None:
    few = "Early stopping: 20 queries are too few."
    small = "It ran 20 samples; an official run uses all 13,368."
    runs = [
        ended("offline", UNOFFICIAL, small, command="python run.py --scenario offline"),
        ended("server", INVALID, few, small, command="python run.py --scenario server --x 1000"),
        ended("interactive", INVALID, few, small, command="python run.py --scenario interactive"),
    ]

    assert series.ending(runs) == (
        "  scenario     result          verdict               run folder\n"
        "  Offline      59.1 samples/s  VALID BUT UNOFFICIAL  results/a-offline\n"
        "  Server       59.1 samples/s  INVALID               results/a-server\n"
        "  Interactive  59.1 samples/s  INVALID               results/a-interactive\n"
        "\n"
        "  - Server, Interactive: Early stopping: 20 queries are too few.\n"
        "  - Offline, Server, Interactive: It ran 20 samples; an official run uses all 13,368.\n"
        "\n"
        "  next: Why:\n"
        "    python run.py --scenario server --x 1000\n"
        "\n"
        "Of 3 runs: INVALID: Server, Interactive; VALID BUT UNOFFICIAL: Offline."
    )


def test_what_is_the_same_for_all_scenarios_is_proposed_for_all() -> None:
    runs = [
        ended(scenario, UNOFFICIAL, command=f"python run.py --scenario {scenario} --compliance 1")
        for scenario in ("offline", "server", "interactive")
    ]

    lines = series.ending(runs).splitlines()

    assert "    python run.py --compliance 1 --scenario all" in lines
    assert lines[-1] == "All 3 runs are VALID BUT UNOFFICIAL."


def test_official_runs_lead_to_a_submission_of_them_all() -> None:
    runs = [ended(scenario, OFFICIAL_READY) for scenario in ("offline", "server")]

    lines = series.ending(runs).splitlines()

    assert lines[-3:] == [
        "    python run.py --submission submission --submitter NAME results/a-offline "
        "results/a-server",
        "",
        "All 2 runs are OFFICIAL-READY.",
    ]


@pytest.mark.parametrize(
    ("results", "not_begun", "last"),
    [
        ([INVALID, INVALID], [], "All 2 runs are INVALID."),
        ([OFFICIAL_READY, INVALID], [], "Of 2 runs: INVALID: Server; OFFICIAL-READY: Offline."),
        ([NOT_FINISHED], ["Server"], "Of 2 runs: not begun: Server; FAILED: Offline."),
        (
            [OFFICIAL_READY],
            ["Server", "Interactive"],
            "Of 3 runs: not begun: Server, Interactive; OFFICIAL-READY: Offline.",
        ),
    ],
)
def test_the_last_line_says_what_any_run_is(
    results: list[str], not_begun: list[str], last: str
) -> None:
    runs = [ended(s, r) for s, r in zip(("offline", "server"), results, strict=False)]

    assert series.ending(runs, not_begun).splitlines()[-1] == last


def test_a_run_without_a_report_is_in_the_table_all_the_same() -> None:
    runs = [ended("offline", OFFICIAL_READY), series.Run("Server", Path("results/x"), None)]

    text = series.ending(runs)

    assert "  Server    no report       FAILED          results/x\n" in text
    assert text.endswith("Of 2 runs: FAILED: Server; OFFICIAL-READY: Offline.")


def test_no_submission_is_proposed_of_a_series_that_was_cut_short() -> None:
    text = series.ending([ended("offline", OFFICIAL_READY)], ["Server", "Interactive"])

    assert "--submission" not in text


def test_between_runs_a_line_is_said() -> None:
    summary = ended("server", INVALID).summary

    assert summary is not None
    assert series.line(summary) == ("Server: 59.1 samples/s, INVALID (results/a-server/report.md)")
