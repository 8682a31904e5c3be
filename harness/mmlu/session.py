"""One evaluation on a loaded engine: every question one request, all of them in flight at once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence

from harness.engine import life as engine_life
from harness.engine.causes import EngineLog
from harness.engine.vllm import Engine
from harness.errors import EngineError
from harness.inputs.tokenizer import decode
from harness.language import phrase
from harness.loadgen.answering import check_stall
from harness.measure.record import RunRecord
from harness.mmlu import prompts as mmlu_prompts
from harness.mmlu import results as mmlu_results
from harness.mmlu.config import PLAIN
from harness.mmlu.preparation import PreparedMmlu
from harness.mmlu.questions import Question
from harness.mmlu.score import Answered, likeliest
from harness.results.folder import RunFolder
from harness.terminal import Terminal, progress_line

LOOK_EVERY_S = 0.5

log = logging.getLogger("harness")


async def evaluate(
    prepared: PreparedMmlu, folder: RunFolder, record: RunRecord, terminal: Terminal
) -> None:
    """Leaves the results in the run folder. Raises BenchmarkError."""
    engine = Engine(prepared.plan, prepared.sampling)
    engine_log = EngineLog(folder.run_log)
    engine_log.begin()
    try:
        async with record.phase(terminal, "engine_load_s", phrase("loading the engine")):
            await engine_life.load(engine, prepared.config.run.stall_timeout_s)
        engine_log.begin()
        record.first_query(ago_s=0)
        answers = await answer_all(engine, prepared, record, terminal)
    except EngineError as error:
        raise EngineError(engine_life.explain(error, engine_log)) from error
    finally:
        async with record.phase(terminal, "shutdown_s", phrase("shutting the engine down")):
            await asyncio.to_thread(engine_life.shut_down, engine)
    record.requests(engine.requests)
    mmlu_results.write(folder, prepared.config, answers)


async def answer_all(
    engine: Engine, prepared: PreparedMmlu, record: RunRecord, terminal: Terminal
) -> list[Answered]:
    """What became of each question, in their order. Raises EngineError."""
    ask = _asker(engine, prepared)
    total, started = len(prepared.prompts), time.monotonic()
    tasks = [
        asyncio.ensure_future(ask(question, prompt))
        for question, prompt in zip(prepared.data.questions, prepared.prompts, strict=True)
    ]
    pending = set(tasks)
    done_count = 0

    def describe() -> str:
        elapsed_s = time.monotonic() - started
        return progress_line("MMLU", done_count, total, 0, elapsed_s, of_questions=True)

    async with record.phase(terminal, "questions_s", "MMLU", describe):
        try:
            while pending:
                done, pending = await asyncio.wait(
                    pending, timeout=LOOK_EVERY_S, return_when=asyncio.FIRST_EXCEPTION
                )
                for task in done:
                    task.result()
                done_count += len(done)
                check_stall(engine, started, len(pending), prepared.config.run.stall_timeout_s)
        finally:
            for task in pending:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
    log.info("MMLU: %d questions, %d requests", total, engine.requests)
    return [task.result() for task in tasks]


def _asker(
    engine: Engine, prepared: PreparedMmlu
) -> Callable[[Question, list[int]], Awaitable[Answered]]:
    """A function that puts one question to the engine, by the protocol asked for."""
    if prepared.config.protocol == PLAIN:
        score = engine.scorer(prepared.letters)

        async def ask_plain(question: Question, prompt: list[int]) -> Answered:
            started = time.monotonic()
            logprobs = await score(prompt)
            return Answered(
                question=question,
                pred=likeliest(logprobs),
                logprobs=tuple(logprobs),
                raw_text=None,
                latency_ms=1000 * (time.monotonic() - started),
                prompt_tokens=len(prompt),
                answer_tokens=1,
            )

        return ask_plain

    async def ask_llama(question: Question, prompt: list[int]) -> Answered:
        started = time.monotonic()
        tokens: Sequence[int] = await engine.answer(prompt)
        latency_ms = 1000 * (time.monotonic() - started)
        text = decode(prepared.tokenizer, [tokens])[0]
        return Answered(
            question=question,
            pred=mmlu_prompts.parse_llama_answer(text),
            logprobs=None,
            raw_text=text,
            latency_ms=latency_ms,
            prompt_tokens=len(prompt),
            answer_tokens=len(tokens),
        )

    return ask_llama
