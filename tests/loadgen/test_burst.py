"""Prompts given to the engine without LoadGen, and the speed that is seen."""

from __future__ import annotations

import asyncio
import gc

import pytest

from harness.errors import EngineError
from harness.loadgen.answering import Progress
from harness.loadgen.burst import Burst, TimedAnswer, burst
from tests.fakes import FakeEngine, make_prompts


def test_a_burst_answers_every_prompt_and_counts_the_tokens() -> None:
    engine = FakeEngine(seconds_per_answer=0.01)
    progress = Progress()

    result = asyncio.run(burst(engine, make_prompts(25), stall_timeout_s=10, progress=progress))

    assert len(engine.prompts) == result.samples == progress.samples_done == 25
    assert result.tokens == sum(len(prompt) for prompt in make_prompts(25))
    assert result.samples_per_second == 25 / result.seconds
    assert 0.01 <= progress.last_done_s <= result.seconds


def test_a_burst_gives_up_on_a_quiet_engine() -> None:
    with pytest.raises(EngineError, match="stuck"):
        asyncio.run(
            burst(
                FakeEngine(goes_quiet_after=0),
                make_prompts(2),
                stall_timeout_s=0.5,
                progress=Progress(),
            )
        )


def test_an_engine_that_dies_under_several_prompts_is_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    dying = burst(
        FakeEngine(dies_after=0), make_prompts(5), stall_timeout_s=10, progress=Progress()
    )
    with pytest.raises(EngineError, match="as this double was asked to"):
        asyncio.run(dying)

    gc.collect()  # asyncio complains of an error that nobody asked for
    assert caplog.records == []


def test_first_tokens_are_timed_where_they_are_asked_for() -> None:
    engine = FakeEngine(first_token_after_s=0.02, seconds_per_answer=0.03)

    def answered(*, stream_first_token: bool) -> TimedAnswer:
        result = asyncio.run(
            burst(
                engine,
                make_prompts(1),
                stall_timeout_s=10,
                progress=Progress(),
                stream_first_token=stream_first_token,
            )
        )
        return result.answers[0]

    streamed = answered(stream_first_token=True)
    whole = answered(stream_first_token=False)

    assert 20 <= streamed.ttft_ms <= streamed.latency_ms - 30
    # The answer has two tokens.
    assert streamed.tpot_ms == pytest.approx(streamed.latency_ms - streamed.ttft_ms)
    assert whole.first_s == whole.done_s


def even_answers(times_s: list[float]) -> Burst:
    """Answers of four tokens each, whole at these moments."""
    return Burst(
        times_s[-1],
        tuple(
            TimedAnswer(0.0, time_s, time_s, 4, 4 * (number + 1))
            for number, time_s in enumerate(times_s)
        ),
    )


def test_the_steady_speed_leaves_out_filling_and_draining() -> None:
    # Two answers take 10 s to come, four come one a second, and the last two within 10 s.
    result = even_answers([10.0, 10.0, 11.0, 12.0, 13.0, 14.0, 20.0, 24.0])

    assert result.steady_samples_per_second(2) == pytest.approx(5 / 10)  # from 10 to 20 s
    assert result.steady_tokens_per_second(2) == pytest.approx(4 * 5 / 10)
    assert result.samples_per_second == 8 / 24


def test_a_burst_of_one_fill_is_looked_at_as_a_whole() -> None:
    result = even_answers([1.0, 2.0, 3.0, 4.0])

    assert result.steady_samples_per_second(100) == pytest.approx(1.0)
