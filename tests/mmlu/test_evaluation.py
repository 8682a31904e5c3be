"""MMLU's prompts, answers, subset and score."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.mmlu import prompts as mmlu_prompts
from harness.mmlu import results as mmlu_results
from harness.mmlu.files import load_questions
from harness.mmlu.questions import Question, QuestionSet, choose
from harness.mmlu.score import Answered, likeliest, score
from harness.mmlu.subjects import DOMAIN_OF, DOMAINS

EXAMPLE = Question("us_foreign_policy", 0, " Who?\n", ("one", "two ", "three", "four"), 2)
ASKED = Question("us_foreign_policy", 0, "Why {not}?", ("A.", "é", '"x"', "50%"), 0)


def test_the_plain_prompt_is_that_of_lm_evaluation_harness() -> None:
    # Written out by hand from lm_eval/tasks/mmlu/default: choices are not stripped.
    assert mmlu_prompts.plain_prompt(ASKED, [EXAMPLE]) == (
        "The following are multiple choice questions (with answers) about us foreign policy.\n\n"
        "Who?\nA. one\nB. two \nC. three\nD. four\nAnswer: C\n\n"
        'Why {not}?\nA. A.\nB. é\nC. "x"\nD. 50%\nAnswer:'
    )


def test_the_llama_prompt_ends_inside_the_assistants_turn() -> None:
    turns = mmlu_prompts.llama_messages(ASKED, [EXAMPLE])

    assert [turn["role"] for turn in turns] == ["user", "assistant", "user", "assistant"]
    assert turns[0]["content"] == (
        "Given the following question and four candidate answers (A, B, C and D), choose the best "
        "answer.\nQuestion: Who?\nA. one\nB. two \nC. three\nD. four\nYour response should end "
        'with "The best answer is [the_answer_letter]" where the [the_answer_letter] is one of A, '
        "B, C or D."
    )
    assert turns[1]["content"] == "The best answer is C."
    assert turns[3]["content"] == "The best answer is"


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        (" B.", "B"),
        (" b", "B"),
        (" (D). That is", "D"),
        (" $A$.", "A"),
        (" A\n", "A"),
        ("A ", "A"),
        (" A .", "A"),
        (" E.", None),
        (" A or B.", None),
        ("", None),
        (".", None),
        (" The answer", None),
    ],
)
def test_an_answer_is_its_letter_or_nothing(text: str, letter: str | None) -> None:
    found = mmlu_prompts.parse_llama_answer(text)

    assert (None if found is None else "ABCD"[found]) == letter


def test_the_57_subjects_have_their_domains() -> None:
    # The sizes of lm-evaluation-harness's groups.
    sizes = {domain: len(subjects) for domain, subjects in DOMAINS.items()}
    assert sizes == {"STEM": 19, "humanities": 13, "social sciences": 12, "other": 13}
    assert len(DOMAIN_OF) == 57
    assert DOMAIN_OF["anatomy"] == "STEM"


def test_the_sample_covers_the_domains_with_five_examples_and_questions_each() -> None:
    data = load_questions("sample", None)

    assert len(data.subjects) >= 8
    assert {DOMAIN_OF[subject] for subject in data.subjects} == set(DOMAINS)
    for subject in data.subjects:
        assert len(data.examples[subject]) == 5
        assert sum(one.subject == subject for one in data.questions) == 5
    everything = [*data.questions, *(one for shown in data.examples.values() for one in shown)]
    assert len({one.question for one in everything}) == len(everything)
    assert all(len(set(one.choices)) == 4 for one in everything)
    right = [sum(one.answer == letter for one in everything) for letter in range(4)]
    assert right == [20, 20, 20, 20]


def made(sizes: dict[str, int]) -> QuestionSet:
    questions = [
        Question(subject, number, f"{subject} {number}?", ("a", "b", "c", "d"), number % 4)
        for subject, size in sizes.items()
        for number in range(size)
    ]
    return QuestionSet("made", "here", tuple(questions), {}, len(questions))


def chosen(data: QuestionSet, limit: int | None, *subjects: str) -> list[str]:
    found = choose(data, subjects=subjects, total_limit=limit, num_fewshot=0)
    return [one.id for one in found.questions]


@given(
    st.dictionaries(st.sampled_from(sorted(DOMAIN_OF)), st.integers(1, 40), min_size=1),
    st.integers(1, 300),
)
def test_a_limit_takes_that_many_and_every_subject_where_it_can(
    sizes: dict[str, int], limit: int
) -> None:
    data = made(sizes)

    found = choose(data, subjects=(), total_limit=limit, num_fewshot=0)

    assert len(found.questions) == min(limit, len(data.questions))
    assert len(found.subjects) == min(limit, len(sizes))
    assert chosen(data, limit) == [one.id for one in found.questions]
    in_order = [one for one in data.questions if one in found.questions]
    assert list(found.questions) == in_order


def test_a_larger_subject_gets_more_of_the_limit() -> None:
    # One each, and 8 x 39/48 = 6.5 and 8 x 9/48 = 1.5 of the rest: 7 or 8, and 2 or 3.
    ids = chosen(made({"anatomy": 40, "virology": 10}), 10)

    assert [sum(one.startswith(name) for one in ids) for name in ("anatomy", "virology")] in (
        [8, 2],
        [7, 3],
    )


def test_the_questions_of_a_subject_do_not_hang_on_the_other_subjects() -> None:
    both = chosen(made({"anatomy": 40, "virology": 40}), 20)
    alone = chosen(made({"anatomy": 40, "virology": 40}), 10, "anatomy")

    assert [one for one in both if one.startswith("anatomy")] == alone


def test_the_subset_of_the_sample_is_the_same_as_ever() -> None:
    ids = chosen(load_questions("sample", None), 8)

    assert ids == [
        "astronomy-1",
        "elementary_mathematics-4",
        "high_school_geography-4",
        "high_school_microeconomics-3",
        "high_school_world_history-0",
        "marketing-3",
        "nutrition-1",
        "philosophy-3",
    ]


def answered(subject: str, right: int, wrong: int, unparsed: int = 0) -> list[Answered]:
    question = Question(subject, 0, "?", ("a", "b", "c", "d"), 1)
    preds: list[int | None] = [1] * right + [2] * wrong + [None] * unparsed
    return [Answered(question, pred, None, "", 1.0, 10, 1) for pred in preds]


def test_the_score_is_that_of_a_hand_computation() -> None:
    answers = (
        answered("anatomy", 3, 1)
        + answered("astronomy", 1, 5)
        + answered("virology", 2, 6, unparsed=2)
    )

    found = score(answers)

    # 3 + 1 + 2 of 4 + 6 + 10.
    assert found.overall.accuracy == pytest.approx(6 / 20)
    assert found.macro_accuracy == pytest.approx((3 / 4 + 1 / 6 + 2 / 10) / 3)
    # sqrt(0.3 x 0.7 / 19)
    assert found.overall.standard_error == pytest.approx(0.1051314966)
    assert list(found.domains) == ["STEM", "other"]
    assert found.domains["STEM"].accuracy == pytest.approx(4 / 10)
    # sqrt(0.4 x 0.6 / 9)
    assert found.domains["STEM"].standard_error == pytest.approx(0.1632993162)
    assert found.domains["other"].accuracy == pytest.approx(2 / 10)
    assert found.overall.unparsed == found.subjects["virology"].unparsed == 2


def test_every_file_names_the_protocol() -> None:
    files = mmlu_results.to_json(score(answered("anatomy", 1, 0)), "plain", 5)

    assert [(one["protocol"], one["num_fewshot"]) for one in files.values()] == [("plain", 5)] * 3
    assert files["overall.json"]["standard_error"] is None  # one question has none
    assert files["by_domain.json"]["domains"]["STEM"]["subjects"] == 1


def test_the_likeliest_letter_is_the_first_of_equal_ones() -> None:
    assert likeliest([-3.0, -1.5, -1.5, -9.0]) == 1
