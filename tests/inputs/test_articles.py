"""Files of articles that cannot be run as they are, each refused with a sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.config import RunConfig
from harness.inputs.dataset import load_dataset
from tests.inputs.article_files import VOCAB, entries, refused, write

GOOD = {"tok_input": [1, 2], "output": "a"}
TEXT = {"input": "Story.", "output": "a"}


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    assert refused(RunConfig(dataset_path=f"{tmp_path}/none.json")) == (
        f"--dataset-path {tmp_path}/none.json: there is no such file; give the official "
        "cnn_eval.json, or use --dataset sample."
    )


def test_a_file_that_is_not_json_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("<html>")

    assert refused(RunConfig(dataset_path=str(path))) == (
        f"--dataset-path {path}: the file is not JSON (Expecting value: line 1 column 1 (char 0)); "
        "give the official cnn_eval.json as it came."
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[{"input": "Story \\ud800.", "output": "a"}]',
         "[0].input holds half a character, U+D800"),
        ('[{"input": ' + "[" * 100_000 + "]" * 100_000 + ', "output": "a"}]',
         "it is nested too deep"),
    ],
)  # fmt: skip
def test_an_article_that_is_no_text_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "x.json"
    path.write_text(text)

    assert f"{path}: the file is not JSON ({said}); give" in refused(
        RunConfig(dataset_path=str(path))
    )


def test_a_mark_before_the_text_of_a_file_is_accepted(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text(json.dumps([GOOD]), encoding="utf-8-sig")

    assert len(load_dataset(RunConfig(dataset_path=str(path)), None, VOCAB)) == 1


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"a": 1}, "the file is not a JSON list of articles; give one in the schema of the "
                   "official cnn_eval.json."),
        ([], "the data set holds no articles; give one that does."),
        ([3], "entry 0 is not an object; each needs input and output."),
        ([GOOD, {"output": "b"}], "entry 1 has no tok_input; every entry needs tok_input and "
                                  "output."),
        ([GOOD, {"tok_input": [3]}], "entry 1 has no output; every entry needs tok_input and "
                                     "output."),
        ([TEXT, {"output": "b"}], "entry 1 has no input; every entry needs input and output."),
        ([GOOD, {**GOOD, "tok_input": "1 2"}], "tok_input of entry 1 is not a list of token ids; "
                                               "correct the file."),
        ([GOOD, {**GOOD, "tok_input": [1.5]}], "tok_input of entry 1 is not a list of token ids; "
                                               "correct the file."),
        ([{**GOOD, "tok_input": []}], "tok_input of entry 0 is empty; fill or remove the entry."),
        ([{**TEXT, "input": None}], "input of entry 0 is not a text; correct the file."),
        ([{**TEXT, "output": 5}], "output of entry 0 is not a text; correct the file."),
        ([TEXT, {**TEXT, "input": " "}], "input of entry 1 is empty; fill or remove the entry."),
        ([{**GOOD, "output": ""}], "output of entry 0 is empty; fill or remove the entry."),
        ([GOOD, TEXT | {"tok_input": [9]}, GOOD], "entries 0 and 2 have the same tok_input; "
                                                  "remove one of them."),
        ([TEXT, {**TEXT, "output": "b"}], "entries 0 and 1 have the same input; remove one of "
                                          "them."),
        ([GOOD, {"tok_input": [5, 4096], "output": "b"}],
         "entry 1 has token id 4096, and the model's vocabulary has 4,096 tokens; use the model "
         "the file was tokenised for, or remove tok_input from the file."),
        ([{"tok_input": [-1, 5], "output": "b"}],
         "entry 0 has token id -1, and the model's vocabulary has 4,096 tokens; use the model "
         "the file was tokenised for, or remove tok_input from the file."),
    ],
)  # fmt: skip
def test_a_bad_file_is_refused_with_the_entry_named(
    tmp_path: Path, content: Any, said: str
) -> None:
    assert (
        refused(write(tmp_path / "x.json", content)) == f"--dataset-path {tmp_path}/x.json: {said}"
    )


def test_an_empty_prompt_is_refused_at_the_official_size_too(tmp_path: Path) -> None:
    content = [*entries(13367), {"tok_input": [], "output": "b"}]

    assert "tok_input of entry 13367 is empty" in refused(write(tmp_path / "x.json", content))
