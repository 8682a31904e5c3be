"""What goes through the pipe between LoadGen's process and the system under test."""

from __future__ import annotations

import array
import ctypes

from hypothesis import given
from hypothesis import strategies as st

from harness.loadgen import wire

UNSIGNED = st.integers(0, 2**32 - 1)
SEQUENCES = st.integers(0, 2**31 - 1)
TOKENS = st.integers(-(2**31), 2**31 - 1)
KINDS = st.sampled_from([wire.FIRST_TOKEN, wire.ALL_TOKENS])
ANSWERS = st.lists(st.tuples(KINDS, SEQUENCES, st.lists(TOKENS, max_size=8)), max_size=8)


@given(st.integers(0, 2**31), st.lists(UNSIGNED, max_size=20))
def test_queries_arrive_as_they_were_issued(first: int, sample_indexes: list[int]) -> None:
    message = wire.pack_queries(first, array.array(wire.UNSIGNED, sample_indexes))

    assert message != wire.ENDED
    assert wire.unpack_queries(message) == list(enumerate(sample_indexes, first))


@given(ANSWERS)
def test_answers_arrive_as_they_were_given(answers: list[tuple[int, int, list[int]]]) -> None:
    message = wire.AnswerMessage()
    for kind, sequence, token_ids in answers:
        message.add(kind, sequence, token_ids)

    assert bool(message) == bool(answers)
    numbers = wire.unpack_numbers(message.pack())
    assert answers == [
        (kind, sequence, list(numbers[start : start + count]))
        for kind, sequence, start, count in wire.answers_among(numbers)
    ]


@given(ANSWERS)
def test_token_ids_lie_in_memory_where_loadgen_is_shown_them(
    answers: list[tuple[int, int, list[int]]],
) -> None:
    message = wire.AnswerMessage()
    for kind, sequence, token_ids in answers:
        message.add(kind, sequence, token_ids)

    numbers = wire.unpack_numbers(message.pack())
    address, _ = numbers.buffer_info()
    in_memory = [
        list((ctypes.c_int32 * count).from_address(address + start * numbers.itemsize))
        for _, _, start, count in wire.answers_among(numbers)
    ]
    assert in_memory == [token_ids for _, _, token_ids in answers]
