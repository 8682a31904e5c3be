"""A guess saves transformers time and never changes what it answers."""

from __future__ import annotations

import pytest

from harness.inputs import demo_model
from tests.whole_runs.greedy import Greedy

PROMPT = list(range(300, 320))
LENGTH = 12


@pytest.fixture(scope="module")
def greedy(tmp_path_factory: pytest.TempPathFactory) -> Greedy:
    folder = tmp_path_factory.mktemp("demo")
    demo_model.build_demo_model(folder)
    return Greedy(folder)


@pytest.fixture(scope="module")
def generated(greedy: Greedy) -> list[int]:
    """What the model says without a guess; all of it differs, so that a slip by one is seen."""
    answer = greedy.answer(PROMPT, LENGTH)
    assert len(set(answer)) == len(answer) == LENGTH
    return answer


@pytest.fixture
def ends_at(greedy: Greedy, monkeypatch: pytest.MonkeyPatch, generated: list[int]) -> int:
    """Where an answer ends now, as one of its tokens is made the end token."""
    place = 7
    monkeypatch.setattr(greedy, "end_tokens", {generated[place]})
    monkeypatch.setattr(greedy.model.generation_config, "eos_token_id", generated[place])
    return place


def test_a_right_guess_is_the_answer_and_nothing_is_generated(
    greedy: Greedy, generated: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(greedy.model, "generate", None)

    assert greedy.answer(PROMPT, LENGTH, generated) == generated
    assert greedy.answer(PROMPT, LENGTH - 1, generated) == generated[:-1]


@pytest.mark.parametrize("wrong", [0, 5, LENGTH - 1])
def test_a_wrong_token_of_a_guess_is_replaced_and_so_is_what_follows(
    wrong: int, greedy: Greedy, generated: list[int]
) -> None:
    guess = [*generated[:wrong], generated[wrong] + 1, *generated[wrong + 1 :]]

    assert greedy.answer(PROMPT, LENGTH, guess) == generated


def test_a_guess_that_breaks_off_is_taken_to_its_end(greedy: Greedy, generated: list[int]) -> None:
    assert greedy.answer(PROMPT, LENGTH, generated[:4]) == generated


def test_a_guess_that_ends_too_late_or_too_early_is_cut_or_taken_to_the_end_token(
    greedy: Greedy, generated: list[int], ends_at: int
) -> None:
    whole = generated[: ends_at + 1]

    assert greedy.answer(PROMPT, LENGTH) == whole
    for guess in (generated, whole, generated[:ends_at], [generated[ends_at]]):
        assert greedy.answer(PROMPT, LENGTH, guess) == whole
