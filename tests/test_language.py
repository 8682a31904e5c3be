"""Phrases: English as texts, and another language where a person reads them."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest

from harness import language
from harness.config import RunConfig
from harness.errors import BenchmarkError, UsageError
from harness.language import Phrase, capitalised, joined, phrase, recalled, text_of, translated
from tests.builders import SAMPLES, rouge, write_run
from tests.korean import english_left

KOREAN = pytest.mark.usefixtures("korean")
PROJECT = Path(__file__).resolve().parent.parent
RAN = "It ran {samples} samples; an official run uses all {whole}."


def in_english(statement: str) -> str:
    """What a new process prints."""
    return subprocess.run(
        [sys.executable, "-c", f"import sys; {statement}"],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip


@KOREAN
def test_a_phrase_is_its_english_text_whatever_is_chosen() -> None:
    text = phrase(RAN, samples="20", whole="13,368")
    assert text == "It ran 20 samples; an official run uses all 13,368."
    assert json.dumps([text]) == '["It ran 20 samples; an official run uses all 13,368."]'
    assert translated(text) == "샘플 20개를 실행했습니다. 공식 실행은 13,368개를 모두 실행합니다."


def test_in_english_a_phrase_is_said_as_it_is() -> None:
    assert translated(phrase("{samples} samples", samples=20)) == "20 samples"
    assert recalled("20 samples") == "20 samples"


@KOREAN
def test_a_value_that_is_a_phrase_is_translated_too() -> None:
    because = phrase("The model is the tiny demo model with random weights, not "
                     "Llama-3.1-8B-Instruct.")  # fmt: skip
    text = phrase("{because} Leave out --model.", because=because)
    assert not english_left(translated(text))
    assert translated(text).endswith(" 데모 모델입니다. --model 없이 실행하십시오.")


@KOREAN
def test_joined_added_and_capitalised_phrases_stay_phrases() -> None:
    parts = phrase("no accuracy test"), "bf16"
    assert joined("; ", parts) == "no accuracy test; bf16"
    assert translated(joined("; ", parts)) == "정확도 테스트 없음; bf16"
    assert translated(parts[0] + "!") == "정확도 테스트 없음!"
    assert capitalised(parts[0]) == "No accuracy test"
    assert translated(capitalised(parts[0])) == "정확도 테스트 없음"


@KOREAN
def test_a_copy_of_a_phrase_is_the_phrase() -> None:
    text = phrase("{samples} samples", samples=20)
    assert translated(copy.deepcopy([text])[0]) == "샘플 20개"


@KOREAN
def test_what_a_file_recorded_is_recalled_with_its_values() -> None:
    text = recalled("It ran 20 samples; an official run uses all 13,368.")
    assert translated(text) == "샘플 20개를 실행했습니다. 공식 실행은 13,368개를 모두 실행합니다."
    assert text == "It ran 20 samples; an official run uses all 13,368."


@KOREAN
@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "It ran 4 samples; an official run uses all 13,368. Leave out --total-sample-count.",
            "샘플 4개를 실행했습니다. 공식 실행은 13,368개를 모두 실행합니다. "
            "--total-sample-count 없이 실행하십시오.",
        ),
        (
            "It ran 4 samples; an official run uses all 13,368.\nSomebody said that. 4 of 5.",
            "샘플 4개를 실행했습니다. 공식 실행은 13,368개를 모두 실행합니다.\n"
            "Somebody said that. 4 of 5.",
        ),
        (
            "1.5 tokens/s at 2.0 queries/s, 1.0 queries/s answered ± 0.3 tokens/s, the median of 2 "
            "tests",
            "1.5 tokens/s(2.0 queries/s 요청), 응답 1.0 queries/s ± 0.3 tokens/s, "
            "테스트 2회의 중앙값",
        ),
    ],
)
def test_each_sentence_of_a_text_is_recalled_by_itself(text: str, said: str) -> None:
    assert recalled(text) == text
    assert translated(recalled(text)) == said


@KOREAN
def test_a_sentence_within_another_is_recalled_too() -> None:
    why = "It ran 4 samples; an official run uses all 13,368. Leave out --total-sample-count."
    text = phrase("note: the page of all runs could not be made: {error}", error=why)
    assert translated(recalled(str(text))) == translated(text)
    assert not english_left(translated(text))


@KOREAN
@pytest.mark.parametrize(
    "text", ["bf16", "performance", "my own samples of 2 kinds", "My own. 2 kinds.", ""]
)
def test_what_was_no_sentence_of_the_program_stays_as_it_is(text: str) -> None:
    assert translated(recalled(text)) == text
    assert not isinstance(recalled(text), Phrase)


@KOREAN
def test_an_error_is_said_with_the_error_within_it() -> None:
    cause = UsageError(phrase("The run did not finish."))
    error = BenchmarkError(phrase("The run {what}: {error}", what=phrase("failed"), error=cause))
    assert str(error) == "The run failed: The run did not finish."
    assert translated(text_of(error)) == "실행 실패: 실행이 끝나지 않았습니다."
    said = translated(text_of(BenchmarkError("The run did not finish.")))
    assert said == "실행이 끝나지 않았습니다."


@KOREAN
def test_a_value_with_braces_is_not_taken_for_a_template() -> None:
    assert translated(phrase("LoadGen logged an error: {error}", error="{x}")).endswith("{x}")


@KOREAN
def test_the_variable_names_the_language_and_the_flag_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(language.VARIABLE, "ko")
    language.choose(None)
    assert language.chosen() == "ko"
    language.choose("en")
    assert language.chosen() == "en"
    monkeypatch.setenv(language.VARIABLE, "")
    language.choose(None)
    assert language.chosen() == "en"


def test_a_variable_of_no_known_language_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(language.VARIABLE, "fr")
    with pytest.raises(UsageError, match="MLPERF_LANG=fr: this is none of en, ko"):
        language.choose(None)


@KOREAN
def test_without_babel_the_way_out_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "babel.messages.pofile", None)
    monkeypatch.delitem(sys.modules, "harness.catalogue", raising=False)
    with pytest.raises(BenchmarkError, match="--lang ko needs babel: pip install babel"):
        language.choose("ko")


def test_english_reads_no_catalogue(tmp_path: Path) -> None:
    settings = RunConfig(model="demo", dataset="sample", total_sample_count=SAMPLES)
    folder = write_run(tmp_path / "run", settings, test="offline-valid", scores=rouge(1.0))
    loaded = in_english(
        "import run, mmlu, report; "
        f"report.main([{str(folder)!r}]); "
        "print([name for name in sys.modules if name.startswith(('babel', 'harness.catalogue'))])"
    )
    assert loaded.splitlines()[0] == str(folder / "report.md")
    assert loaded.splitlines()[-1] == "[]"
