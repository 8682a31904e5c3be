"""The messages on the pipe between LoadGen's process and the system under test.

They are arrays of 32-bit numbers in this machine's byte order:

  LoadGen -> SUT   QUERIES + uint32 [sequence, sample index] ...  or ENDED
  SUT -> LoadGen   int32 [kind, sequence, n, n token ids] ...     kind is FIRST_TOKEN or ALL_TOKENS

The sequence of a query says as which one LoadGen issued it, counted from 0.
"""

from __future__ import annotations

import array
import itertools
import os
import socket
import struct
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.connection import Connection

QUERIES = b"Q"  # the first byte of a message with queries
ENDED = b"E"  # the whole message at the end of a test
FIRST_TOKEN = 1
ALL_TOKENS = 2
UNSIGNED = "I"  # array code of a sequence or a sample index: 4 bytes
SIGNED = "i"  # array code of a token id: metrics.TOKEN_DTYPE
_A_YEAR_S = 365 * 86_400  # as good as no limit, and a number that the system takes


Query = tuple[int, int]  # sequence, sample index
# Kind, sequence, and which of the message's numbers are the token ids: the first one and how many.
Answer = tuple[int, int, int, int]


def limit_waiting(pipe: Connection, seconds: float) -> None:
    """Has a message raise BlockingIOError that the other end leaves half sent or taken for so long.

    Whoever is stopped takes nothing, and without a limit would hold up the one who sends.
    """
    seconds = min(seconds, _A_YEAR_S)
    limit = struct.pack("ll", int(seconds), int(seconds % 1 * 1_000_000))
    with socket.socket(fileno=os.dup(pipe.fileno())) as end:
        for way in (socket.SO_SNDTIMEO, socket.SO_RCVTIMEO):
            end.setsockopt(socket.SOL_SOCKET, way, limit)


def pack_queries(first_sequence: int, sample_indexes: Iterable[int]) -> bytes:
    """One message for the queries that LoadGen issues at a time, in their order."""
    numbers = array.array(UNSIGNED)
    numbers.extend(itertools.chain.from_iterable(enumerate(sample_indexes, first_sequence)))
    return QUERIES + numbers.tobytes()


def unpack_queries(message: bytes) -> list[Query]:
    """The queries of a message that is not ENDED."""
    numbers = array.array(UNSIGNED)
    numbers.frombytes(memoryview(message)[len(QUERIES) :])
    return list(zip(numbers[::2], numbers[1::2], strict=True))


class AnswerMessage:
    """First tokens and whole answers on their way to LoadGen, gathered into one message."""

    def __init__(self) -> None:
        self._numbers = array.array(SIGNED)

    def __bool__(self) -> bool:
        return bool(self._numbers)

    def add(self, kind: int, sequence: int, token_ids: Sequence[int]) -> None:
        """Puts an answer, or its first token, behind what is there."""
        self._numbers.extend((kind, sequence, len(token_ids)))
        self._numbers.extend(token_ids)

    def pack(self) -> bytes:
        """The message as it goes through the pipe."""
        return self._numbers.tobytes()


def unpack_numbers(message: bytes) -> array.array[int]:
    """The numbers of an answer message, in memory whose address LoadGen can be given."""
    numbers = array.array(SIGNED)
    numbers.frombytes(message)
    return numbers


def answers_among(numbers: array.array[int]) -> Iterator[Answer]:
    """Says where each answer of a message lies, without copying a token id."""
    position = 0
    while position < len(numbers):
        kind, sequence, count = numbers[position : position + 3]
        yield kind, sequence, position + 3, count
        position += 3 + count
