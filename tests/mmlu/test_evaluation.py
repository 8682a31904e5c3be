"""MMLU's prompts, subsets and scores, and what mmlu.py refuses before the model loads."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmlu
from harness.errors import UsageError
from harness.mmlu import prompts as mmlu_prompts
from harness.mmlu import results as mmlu_results
from harness.mmlu.files import SAMPLE_FILE, load_questions
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


# What mmlu.py refuses.

ROW: dict[str, Any] = {"subject": "anatomy", "question": "?", "choices": ["a", "b", "c", "d"],
                       "answer": 0, "split": "test"}  # fmt: skip


def write(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


Refused = Callable[..., str]


@pytest.fixture
def refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> Refused:
    """Runs mmlu.py in this process; returns what it said on stderr."""

    def run(*arguments: str) -> str:
        results = tmp_path / "results"
        demo = [] if "--model" in arguments else ["--model", "demo"]
        assert mmlu.main([*demo, *arguments, "--results-dir", str(results)]) == 2
        assert not results.exists()
        said = capfd.readouterr().err
        assert said.startswith("mmlu.py: ")
        assert said.count("\n") == 1
        return said

    return run


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ({**ROW, "choices": ["a", "b", "c"]}, "line 2 has 3 choices; 4 are needed"),
        ({**ROW, "answer": 4}, "line 2 has the answer 4; a whole number from 0"),
        ({**ROW, "answer": "B"}, "line 2 has the answer 'B'"),
        ({**ROW, "answer": True}, "line 2 has the answer True"),
        ({**ROW, "subject": "alchemy"}, "line 2 has the subject 'alchemy', which is none of"),
        ({**ROW, "question": "  "}, "line 2 has an empty question"),
        ({**ROW, "split": "train"}, "line 2 has the split 'train'"),
        ({key: ROW[key] for key in ROW if key != "answer"}, "line 2 has no answer"),
        ({**ROW, "choices": "abcd"}, "line 2 has choices that are not a list of texts"),
        ({**ROW, "split": None}, "line 2 has no split"),
        ({**ROW, "split": ["test"]}, "line 2 has the split ['test']"),
        ({**ROW, "subject": ["anatomy"]}, "line 2 has the subject ['anatomy'], which is none of"),
        ({**ROW, "answer": 1.0}, "line 2 has the answer 1.0"),
        ({**ROW, "choices": ["a", None, "c", "d"]}, "line 2 has choices that are not a list"),
        (["anatomy"], "line 2 is not an object"),
        (None, "line 2 is not an object"),
    ],
)
def test_a_malformed_question_is_named(
    row: Any, text: str, tmp_path: Path, refused: Refused
) -> None:
    path = write(tmp_path / "questions.jsonl", [ROW, row])

    said = refused("--dataset-path", str(path), "--num-fewshot", "0")

    assert text in said
    assert str(path) in said


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--total-limit", "0"], "--total-limit 0: at least 1 question"),
        (["--num-fewshot", "6"], "--num-fewshot 6: 0 to 5"),
        (["--subjects", "xyz"], "have none of that subject; there are astronomy, elementary_"),
        (["--subjects", "astronmy"], "have none of that subject; did you mean astronomy?"),
        (["--max-model-len", "200"], "--max-model-len 200: the longest prompt (high_school_world"),
        (["--dataset-path", "nowhere"], "--dataset-path goes with --dataset mmlu"),
        (["--precision", "fp8"], "--precision fp8 needs a GPU"),
        (["--engine-arg", "dtype=float16"], "--engine-arg dtype: use --precision"),
        (["--weights", "dummy", "--model", "llama3.1-8b-instruct"], "has no tokenizer here"),
    ],
)
def test_a_bad_flag_is_refused_in_a_sentence(
    arguments: list[str], text: str, refused: Refused
) -> None:
    assert text in refused("--dataset", "sample", *arguments)


def test_a_prompt_that_is_too_long_names_its_subject_and_the_length_needed(
    refused: Refused, tmp_path: Path
) -> None:
    long = {**ROW, "subject": "professional_law", "question": "word " * 900}
    path = write(tmp_path / "questions.jsonl", [ROW, long])

    said = refused("--dataset-path", str(path), "--num-fewshot", "0", "--max-model-len", "500")

    assert "--max-model-len 500: the longest prompt (professional_law, 0 examples) has " in said
    tokens = int(said.split(" has ")[1].split()[0])
    assert f"so {tokens + 1} are needed; use --max-model-len auto" in said


def test_too_few_examples_are_counted(refused: Refused, tmp_path: Path) -> None:
    path = write(tmp_path / "questions.jsonl", [ROW, {**ROW, "split": "dev"}])

    said = refused("--dataset-path", str(path))

    assert "--num-fewshot 5: anatomy has 1 examples (split dev)" in said


def test_a_file_that_is_not_there_or_not_json_is_refused(refused: Refused, tmp_path: Path) -> None:
    torn = tmp_path / "torn.jsonl"
    torn.write_text(json.dumps(ROW) + "\n{")

    assert "there is no such file or folder" in refused("--dataset-path", str(tmp_path / "none"))
    assert "line 2 is not JSON" in refused("--dataset-path", str(torn))
    assert "no questions (split test)" in refused(
        "--dataset-path", str(write(tmp_path / "empty.jsonl", []))
    )
    assert "the folder has no all/test-*.parquet" in refused("--dataset-path", str(tmp_path))


class ByteTokenizer:
    """Every byte a token: a letter after a space takes two."""

    chat_template = None

    def encode(self, text: str, *, add_special_tokens: bool) -> list[int]:
        assert not add_special_tokens
        return list(text.encode())


def test_letters_of_more_than_one_token_are_refused() -> None:
    with pytest.raises(UsageError, match='" A" is not a single token'):
        mmlu_prompts.letter_token_ids(ByteTokenizer())


def test_the_llama_protocol_needs_a_chat_template() -> None:
    data = load_questions("sample", None)

    with pytest.raises(UsageError, match="no chat template; use --protocol plain"):
        mmlu_prompts.tokenise("llama", data, ByteTokenizer())


def rows_of(subject: str, split: str, count: int) -> list[dict[str, Any]]:
    return [
        {"question": f"{subject} {split} {number}?", "subject": subject,
         "choices": ["a", "b", "c", "d"], "answer": number % 4}
        for number in range(count)
    ]  # fmt: skip


def parquet(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), path)


def test_the_hubs_parquet_files_are_read_in_both_layouts(tmp_path: Path) -> None:
    subjects = ("virology", "anatomy")
    for split, count in (("test", 7), ("dev", 5), ("validation", 2)):
        rows = {subject: rows_of(subject, split, count) for subject in subjects}
        whole = tmp_path / "whole" / "all" / f"{split}-00000-of-00001.parquet"
        parquet(whole, [*rows["virology"], *rows["anatomy"]])
        for subject in subjects:
            parquet(tmp_path / "apart" / subject / f"{split}-00000-of-00001.parquet", rows[subject])

    whole_set = load_questions("mmlu", str(tmp_path / "whole"))
    apart_set = load_questions("mmlu", str(tmp_path / "apart"))

    assert whole_set.questions == apart_set.questions
    assert whole_set.examples == apart_set.examples
    assert whole_set.subjects == ("anatomy", "virology")
    assert [len(shown) for shown in whole_set.examples.values()] == [5, 5]
    assert whole_set.questions[9].id == "virology-2"
    assert whole_set.questions[9].letter == "C"


def test_a_damaged_parquet_file_is_named(refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "all" / "test-00000-of-00001.parquet"
    path.parent.mkdir()
    path.write_bytes(b"PAR1 torn")

    said = refused("--dataset-path", str(tmp_path))

    assert "all/test-00000-of-00001.parquet is no parquet file" in said


def test_a_byte_order_mark_and_windows_line_ends_are_no_matter(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    line = json.dumps({**ROW, "question": "a\u2028b\r?"}).encode()
    path.write_bytes(b"\xef\xbb\xbf" + line + b"\r\n\r\n" + line + b"\r\n")

    data = load_questions("mmlu", str(path))

    assert [one.question for one in data.questions] == ["a\u2028b\r?"] * 2


def test_the_shipped_file_is_the_format_that_dataset_path_takes() -> None:
    as_file = load_questions("mmlu", str(SAMPLE_FILE))

    assert as_file.questions == load_questions("sample", None).questions
