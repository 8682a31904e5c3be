"""Which answers a report shows, and how somebody else's text looks in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.logs.readable import write_readable
from harness.metrics import END_TOKEN, LENGTH, ReadableAnswer
from harness.report.examples import chosen
from harness.report.make import make_report
from tests.builders import rouge, text_of
from tests.report.conftest import MakeRun

pytestmark = pytest.mark.usefixtures("drawn")


def answer(index: int, score: float | None, text: str = "It voted.") -> ReadableAnswer:
    return ReadableAnswer(
        index, "The council met", "It voted .", text, 5, END_TOKEN, score, score, score, score
    )


def shown(answers: list[ReadableAnswer]) -> list[tuple[str, int]]:
    return [(example["which"], example["index"]) for example in chosen(answers)]


def test_the_worst_the_median_and_the_best_are_shown() -> None:
    answers = [answer(i, score) for i, score in enumerate([0.3, 0.1, 0.5, 0.2, 0.4])]

    assert shown(answers) == [("worst", 1), ("median", 0), ("best", 2)]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([], []),
        ([0.2], [("best", 0)]),
        ([0.2, 0.1], [("worst", 1), ("best", 0)]),
        ([None, None, None, None], [("an answer", 0), ("an answer", 1), ("an answer", 2)]),
    ],
)
def test_few_answers_or_none_scored_are_shown_as_what_they_are(
    scores: list[float | None], expected: list[tuple[str, int]]
) -> None:
    assert shown([answer(i, score) for i, score in enumerate(scores)]) == expected


def report_with(make_run: MakeRun, answers: list[ReadableAnswer]) -> tuple[Path, str]:
    folder = make_run(rouge=rouge(1.0))
    write_readable(folder / "Accuracy" / "answers.jsonl", answers)
    make_report(folder)
    return folder, text_of(folder)


def test_the_report_shows_article_reference_answer_and_scores(make_run: MakeRun) -> None:
    _, text = report_with(
        make_run, [answer(0, 0.125), answer(1, 0.5, "It *voted* | <b>twice</b>.")]
    )

    section = text.split("### Answers to read\n")[1].split("\n## ")[0]
    assert "these are the worst, the median and the best by rougeL" in section
    assert section.endswith(
        "| best | sample 1 |\n"
        "| --- | --- |\n"
        "| the article begins | The council met … |\n"
        "| a person's summary | It voted . |\n"
        r"| the answer | It \*voted\* \| \<b\>twice\</b\>. |" + "\n"
        "| its length | 5 tokens, ended by an end token |\n"
        "| its scores | rouge1 50.0 %, rouge2 50.0 %, rougeL 50.0 %, rougeLsum 50.0 % |\n"
    )


def test_the_report_of_answers_that_were_not_judged_shows_no_scores(make_run: MakeRun) -> None:
    silent = ReadableAnswer(0, None, None, "a\n\n# b", 128, LENGTH, None, None, None, None)
    _, text = report_with(make_run, [silent])

    section = text.split("### Answers to read\n")[1].split("\n## ")[0]
    assert "rouge" not in section
    assert "the article begins" not in section
    assert "| the answer | a # b |" in section
    assert "128 tokens, cut at the longest answer allowed" in section


def test_a_run_without_the_file_has_a_report_without_the_section(make_run: MakeRun) -> None:
    folder = make_run(rouge=rouge(1.0))
    record = make_report(folder)

    assert record["run"]["accuracy"]["examples"] == []
    assert record["logs"]["answers_jsonl"] is None
    assert "Answers to read" not in text_of(folder)
