"""How a loaded engine's settings are scored, on engines whose speed is known."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from harness import rounds
from harness.config import Scenario
from harness.errors import EngineError
from harness.tuning import trial
from harness.tuning.trial import Loop, NoScoreError, Work
from tests.fakes import FakeEngine, make_prompts

LIMITS = rounds.LatencyLimits(ttft_p99_ms=100.0, tpot_p99_ms=1000.0)


def work(scenario: Scenario, most_sequences: int = 8) -> Work:
    limits = LIMITS if scenario in (Scenario.SERVER, Scenario.INTERACTIVE) else None
    return Work(scenario, make_prompts(10), most_sequences, limits, stall_timeout_s=10.0)


def loop(in_flight: int, tokens_per_second: float, share: float) -> Loop:
    return Loop(in_flight, tokens_per_second, 100 * share, 10.0, share)


class SlotsEngine(FakeEngine):
    """Answers `slots` prompts at a time, each in the same time; the rest wait for a slot."""

    def __init__(self, slots: int, seconds: float):
        super().__init__(seconds_per_answer=seconds)
        self.turn = asyncio.Semaphore(slots)

    async def answer(
        self, token_ids: list[int], on_first_token: Callable[[list[int]], None] | None = None
    ) -> list[int]:
        async with self.turn:
            return await super().answer(token_ids, on_first_token)


def test_offline_counts_the_full_engine_alone() -> None:
    engine = SlotsEngine(slots=8, seconds=0.02)

    score = asyncio.run(trial.measure(engine, work(Scenario.OFFLINE), sequences=8))

    # 8 answers of 4 tokens (2, 3, 4, 5, 6 in turn) every 0.02 s, and no more than a pass early.
    assert 0.6 * 1600 < score.value < 1.4 * 1600
    assert len(engine.prompts) == 64 + 4 * 8
    assert engine.most_at_once == 8


def test_every_trial_of_a_search_answers_the_same_prompts() -> None:
    small, large = FakeEngine(), FakeEngine()

    asyncio.run(trial.measure(small, work(Scenario.OFFLINE, 16), sequences=4))
    asyncio.run(trial.measure(large, work(Scenario.OFFLINE, 16), sequences=16))

    assert small.prompts == large.prompts


def test_singlestream_scores_the_mean_latency_of_one_query_after_another() -> None:
    engine = FakeEngine(seconds_per_answer=0.01, first_token_after_s=0.005)

    score = asyncio.run(trial.measure(engine, work(Scenario.SINGLESTREAM), sequences=1))

    assert engine.most_at_once == 1
    assert 15 <= score.value < 60
    assert 5 <= score.details["ttft_mean_ms"] < score.value


def test_server_finds_how_many_queries_keep_the_limits() -> None:
    # 0.02 s for 10 at a time: the TTFT limit of 0.1 s is reached with about 50 in flight.
    engine = SlotsEngine(slots=10, seconds=0.0)
    engine._first_token_after_s = 0.02

    score = asyncio.run(trial.measure(engine, work(Scenario.SERVER), sequences=200, in_flight=20))

    assert 20 <= score.details["in_flight"] <= 60
    assert score.details["ttft_p99_ms"] <= LIMITS.ttft_p99_ms


def test_the_number_in_flight_is_varied_until_it_stands_on_both_sides_of_the_limits() -> None:
    assert trial.next_in_flight([], first=256, most=1024) == 256
    assert trial.next_in_flight([loop(256, 1, 0.5)], 256, 1024) == 384
    assert trial.next_in_flight([loop(256, 1, 1.5)], 256, 1024) == 171
    assert trial.next_in_flight([loop(256, 1, 0.5), loop(384, 1, 1.5)], 256, 1024) is None


def test_the_number_in_flight_ends_where_the_engine_does() -> None:
    assert trial.next_in_flight([loop(900, 1, 0.5)], 256, 1024) == 1024
    assert trial.next_in_flight([loop(1024, 1, 0.5)], 256, 1024) is None
    assert trial.next_in_flight([loop(1, 1, 1.5)], 256, 1024) is None


def test_the_score_lies_between_the_loops_where_the_limit_is_reached() -> None:
    # A quarter of the way from 0.9 to 1.3.
    score = trial.score_of([loop(256, 4000, 0.9), loop(384, 4400, 1.3)])

    assert score.value == pytest.approx(4000 + 400 / 4)
    assert score.details["in_flight"] == 256


def test_an_engine_that_keeps_the_limits_full_scores_its_full_speed() -> None:
    assert trial.score_of([loop(512, 4000, 0.4), loop(1024, 5000, 0.8)]).value == 5000


def test_settings_that_never_keep_the_limits_have_no_score() -> None:
    with pytest.raises(NoScoreError, match="even with 1 queries in flight"):
        trial.score_of([loop(2, 10, 3.0), loop(1, 5, 2.0)])


def test_an_engine_that_goes_quiet_is_not_waited_for() -> None:
    engine = FakeEngine(goes_quiet_after=70)
    started = time.monotonic()
    short = Work(Scenario.OFFLINE, make_prompts(10), 8, None, stall_timeout_s=0.5)

    with pytest.raises(EngineError, match="it is stuck"):
        asyncio.run(trial.measure(engine, short, sequences=8))
    assert time.monotonic() - started < 5
