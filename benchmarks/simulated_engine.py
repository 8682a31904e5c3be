"""An engine that batches continuously, simulated step by step: the times of a test's queries.

benchmarks/compare_power.py makes pairs of tests by it whose true difference is known. The constants
are near an H100's in fp8; what matters is that queues form as they do and noise is alike in a row.
"""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from harness.report.comparison_runs import TimedTest
from harness.report.comparison_statistics import Array

TOKENS_A_STEP, SEQUENCES = 5120, 1008  # the fp8 profile of an H100
MAX_STEPS = 200_000  # of one test
TIMELINE_EVERY_S = 0.25


@dataclasses.dataclass(frozen=True)
class Engine:
    """A step takes so long: the same for each, for each answer in it, for each prompt token."""

    step_s: float = 0.006
    answer_s: float = 35e-6
    prompt_token_s: float = 12e-6
    noise: float = 0.02  # standard deviation of a step's time, as a share
    alike: float = 0.9  # correlation of a step's noise with that of the next
    stalls: float = 0.002  # share of the steps that wait for something else
    stall_s: float = 0.1


def noisy_steps(engine: Engine, chance: np.random.Generator) -> tuple[Array, Array]:
    """A factor and a stall for each step."""
    shocks = chance.normal(size=MAX_STEPS) * engine.noise * (1 - engine.alike**2) ** 0.5
    levels = itertools.accumulate(shocks.tolist(), lambda last, shock: engine.alike * last + shock)
    factors: Array = np.exp(np.fromiter(levels, np.float64, MAX_STEPS))
    return factors, engine.stall_s * (chance.random(MAX_STEPS) < engine.stalls)


def simulate(
    issued_s: Array,
    prompts: Array,
    answers: Array,
    engine: Engine,
    chance: np.random.Generator,
    *,
    slower: float = 1.0,
    sequences: int = SEQUENCES,
) -> TimedTest:
    """The times of the queries when an engine batches them continuously, step by step."""
    factors, stalls = noisy_steps(engine, chance)
    count = len(issued_s)
    first_s, done_s, left = np.zeros(count), np.zeros(count), prompts.astype(int).tolist()
    arrivals, lengths = issued_s.tolist(), answers.astype(int).tolist()
    ending: dict[int, list[int]] = {}
    timeline: list[tuple[float, int, int]] = []
    now, step, head, decoding, done, tokens = 0.0, 0, 0, 0, 0, 0
    while done < count:
        if not decoding and head < count:
            now = max(now, arrivals[head])
        room, started = TOKENS_A_STEP - decoding, list[int]()
        while head < count and arrivals[head] <= now and decoding + len(started) < sequences:
            taken = min(left[head], room)
            left[head] -= taken
            room -= taken
            if left[head]:
                break
            started.append(head)
            head += 1
        prefilled = TOKENS_A_STEP - decoding - room
        seconds = engine.step_s + engine.answer_s * decoding + engine.prompt_token_s * prefilled
        now += slower * (seconds * factors[step] + stalls[step])
        tokens += decoding + len(started)
        finished = ending.pop(step, [])
        done_s[finished] = now
        first_s[started] = now
        for query in started:
            ending.setdefault(step + max(lengths[query] - 1, 1), []).append(query)
        decoding += len(started) - len(finished)
        done += len(finished)
        step += 1
        if not timeline or now >= timeline[-1][0] + TIMELINE_EVERY_S or done == count:
            timeline.append((now, tokens, done))
    points = np.array(timeline, dtype=np.float64).T
    return TimedTest(np.arange(count), issued_s, first_s, done_s, answers, *points)


def one_at_a_time(
    prompts: Array,
    answers: Array,
    engine: Engine,
    chance: np.random.Generator,
    *,
    slower: float = 1.0,
) -> TimedTest:
    """SingleStream: a query comes when the one before is answered."""
    factors, stalls = noisy_steps(engine, chance)
    steps = answers.astype(int)
    ends = np.cumsum(steps)
    seconds = slower * (engine.step_s * factors[: ends[-1]] + stalls[: ends[-1]])
    seconds[ends - steps] += slower * engine.prompt_token_s * prompts
    passed = np.cumsum(seconds)
    done_s, first_s = passed[ends - 1], passed[ends - steps]
    issued_s = np.concatenate(([0.0], done_s[:-1]))
    order = np.arange(len(prompts))
    return TimedTest(
        order, issued_s, first_s, done_s, answers, done_s, np.cumsum(answers), order + 1.0
    )
