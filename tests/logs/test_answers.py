"""The answers of LoadGen's accuracy log."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from harness.errors import LogError
from harness.logs.answers import check_complete, read_accuracy_log, read_audit_log
from harness.metrics import Generation
from harness.results.folder import ACCURACY_LOG
from tests.builders import DATA


@pytest.mark.parametrize("name", ["offline-valid", "server-valid"])
def test_accuracy_log_gives_the_tokens_of_every_sample(name: str) -> None:
    generations = read_accuracy_log(DATA / name / "Accuracy" / ACCURACY_LOG)
    by_index = {generation.sample_index: generation.token_ids for generation in generations}
    assert len(generations) == len(by_index) == 20
    assert by_index[0] == (0, 1, 2)
    assert by_index[3] == (3, 4, 5, 6, 7, 8)
    assert by_index[19] == (19, 20, 21, 22, 23, 24, 25)
    check_complete(generations, 20)


def test_of_two_answers_to_a_sample_the_first_counts(tmp_path: Path) -> None:
    path = tmp_path / ACCURACY_LOG
    path.write_text(
        '[\n{ "seq_id" : 0, "qsl_idx" : 4, "data" : "FFFFFF7F", "token_count" : 1 },\n'
        '{ "seq_id" : 1, "qsl_idx" : 4, "data" : "01000000", "token_count" : 1 }\n]\n'
    )
    assert read_accuracy_log(path) == [Generation(4, (2147483647,))]


@pytest.mark.parametrize(
    ("data", "count", "sentence"),
    [
        ("0100000002", 1, "the answer to sample 7 is not a whole number of 4 byte"),
        ("0100000G", 1, "the answer to sample 7 is not a whole number of 4 byte"),
        ("01000000", 2, "the answer to sample 7 holds 1 int32 tokens, but LoadGen was told 2"),
    ],
)
def test_an_answer_that_is_not_int32_tokens_is_refused(
    tmp_path: Path, data: str, count: int, sentence: str
) -> None:
    path = tmp_path / ACCURACY_LOG
    path.write_text(json.dumps([{"qsl_idx": 7, "data": data, "token_count": count}]))
    with pytest.raises(LogError, match=sentence):
        read_accuracy_log(path)


@pytest.mark.parametrize("text", ["[]", "[\n]\n"])
def test_a_performance_test_leaves_an_accuracy_log_without_answers(
    tmp_path: Path, text: str
) -> None:
    (tmp_path / ACCURACY_LOG).write_text(text)
    assert read_accuracy_log(tmp_path / ACCURACY_LOG) == []


@pytest.mark.parametrize(
    "text",
    [
        "[1]",
        '{"a": 1}',
        "3",
        '[{"qsl_idx": 1}]',
        '[{"qsl_idx": [1], "data": ""}]',
        '[{"qsl_idx": -1, "data": ""}]',
        '[{"qsl_idx": 1, "data": null}]',
        '[{"qsl_idx": 1, "data": "", "token_count": "0"}]',
    ],
)
def test_json_of_another_kind_is_no_accuracy_log(tmp_path: Path, text: str) -> None:
    (tmp_path / ACCURACY_LOG).write_text(text)
    for read in (read_accuracy_log, read_audit_log):
        with pytest.raises(LogError, match="is not a LoadGen accuracy log"):
            read(tmp_path / ACCURACY_LOG)


@pytest.mark.parametrize("run_dir", ["offline-valid"], indirect=True)
def test_a_broken_off_accuracy_log_fails_aloud(run_dir: Path) -> None:
    path = run_dir / "Accuracy" / ACCURACY_LOG
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:6]) + lines[6][:30])
    with pytest.raises(LogError, match="breaks off after 5 answers"):
        read_accuracy_log(path)


@pytest.mark.parametrize(
    ("indexes", "sentence"),
    [
        ([1, 3], "of 4 samples 2 have no answer (sample 0, 2)"),
        ([], "of 4 samples 4 have no answer (sample 0, 1, 2, 3)"),
        ([0, 1, 2, 2, 3], "of 4 samples 1 were answered more than once (sample 2)"),
        ([0, 1, 2, 3, 9], "of 4 samples 1 are not in the data set (sample 9)"),
    ],
)
def test_an_incomplete_accuracy_log_fails_aloud(indexes: list[int], sentence: str) -> None:
    generations = [Generation(index, (1, 2)) for index in indexes]
    with pytest.raises(LogError) as caught:
        check_complete(generations, 4)
    assert sentence in str(caught.value)


def test_many_missing_answers_are_named_by_their_number_and_the_first_few() -> None:
    with pytest.raises(LogError) as caught:
        check_complete([Generation(i, (1, 2)) for i in range(2000)], 13368)
    assert str(caught.value) == (
        "The accuracy log is not complete: of 13,368 samples 11,368 have no answer "
        "(sample 2000, 2001, 2002, 2003, 2004, ...). Run the accuracy test again."
    )
