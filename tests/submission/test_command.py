"""run.py --submission: what is refused, and what it says when the tree is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import run
from tests import submission_rules
from tests.submission.conftest import SCENARIOS, Runs


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Iterator[Callable[[list[str]], tuple[int, str]]]:
    def ask(arguments: list[str]) -> tuple[int, str]:
        status = run.main(arguments)
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    yield ask


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--submission", "out"], "--submission: name the run folders"),
        (["--submission", "out", "results/latest"], "--submitter NAME is missing"),
        (["results/latest"], "results/latest: this goes with --submission"),
        (["--submitter", "ACME"], "--submitter: this goes with --submission"),
        (["--system-json", "x.json"], "--system-json: this goes with --submission"),
        (
            ["--submission", "out", "--submitter", "ACME", "no/such/folder"],
            "is not a run folder",
        ),
    ],
)
def test_a_command_that_lacks_its_other_half_is_refused_in_a_sentence(
    arguments: list[str], words: str, said: Callable[[list[str]], tuple[int, str]]
) -> None:
    status, text = said(arguments)

    assert status == 2
    assert words in text
    assert text.count("\n") == 1


def test_the_command_makes_the_tree_and_says_how_to_check_it(
    runs: Runs, tmp_path: Path, project: Path, system_json: Path,
    said: Callable[[list[str]], tuple[int, str]], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(run, "PROJECT", project)
    folders = [str(runs["5.1", "edge", name]) for name in SCENARIOS["edge"]]

    status, text = said(
        ["--submission", str(tmp_path / "out"), "--submitter", "ACME",
         "--system-json", str(system_json), *folders]
    )  # fmt: skip

    assert (status, text) == (
        0,
        f"The closed submission of ACME is in {tmp_path / 'out'}.\n"
        "The official checker: make third-party, then make check-submission "
        f"TREE={tmp_path / 'out'}\n",
    )
    assert submission_rules.problems(tmp_path / "out", "5.1") == []
