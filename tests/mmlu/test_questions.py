"""Which questions mmlu.py takes, and how it refuses the others."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

import mmlu
from harness.errors import UsageError
from harness.inputs import llama3_tokenizer
from harness.mmlu import prompts as mmlu_prompts
from harness.mmlu.files import SAMPLE_FILE, load_questions

# What mmlu.py refuses.

ROW: dict[str, Any] = {"subject": "anatomy", "question": "?", "choices": ["a", "b", "c", "d"],
                       "answer": 0, "split": "test"}  # fmt: skip


def write(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


Refused = Callable[..., str]


@pytest.fixture
def refused(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Refused:
    """Runs mmlu.py in this process, whatever the user has fetched; returns what it said."""
    monkeypatch.setattr(llama3_tokenizer, "fetched", lambda: None)

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
        (
            {**ROW, "question": "\ud800?"},
            "line 2 is not JSON (question holds half a character, U+D800)",
        ),
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


@pytest.mark.usefixtures("korean")
def test_what_it_reads_is_said_in_korean(capfd: pytest.CaptureFixture[str]) -> None:
    asked = ["--model", "demo", "--dataset", "sample", "--subjects", "none", "--lang", "ko"]
    assert mmlu.main(asked) == 2
    assert capfd.readouterr().out == "문제를 읽는 중(sample) ...\n"


def test_too_few_examples_are_counted(refused: Refused, tmp_path: Path) -> None:
    path = write(tmp_path / "questions.jsonl", [ROW, {**ROW, "split": "dev"}])

    said = refused("--dataset-path", str(path))

    assert "--num-fewshot 5: anatomy has 1 examples (split dev)" in said


def test_a_file_that_is_not_there_or_not_json_is_refused(refused: Refused, tmp_path: Path) -> None:
    torn = tmp_path / "torn.jsonl"
    torn.write_text(json.dumps(ROW) + "\n{")

    assert "there is no such file or folder" in refused("--dataset-path", str(tmp_path / "none"))
    assert "line 2 is not JSON" in refused("--dataset-path", str(torn))
    torn.write_text("[" * 100_000)
    assert "line 1 is not JSON (it is nested too deep)" in refused("--dataset-path", str(torn))
    assert "no questions (split test)" in refused(
        "--dataset-path", str(write(tmp_path / "empty.jsonl", []))
    )
    assert "the folder has no all/test-*.parquet" in refused("--dataset-path", str(tmp_path))


def test_a_mark_before_the_text_of_a_file_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "questions.jsonl"
    path.write_text(json.dumps(ROW), encoding="utf-8-sig")

    assert len(load_questions("mmlu", str(path)).questions) == 1


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
