"""What is changed in vLLM's client."""

from __future__ import annotations

import asyncio
import types

from harness.engine import client


def test_the_end_of_the_engine_finds_nobody_who_takes_it_for_a_failure() -> None:
    async def shut_down() -> tuple[bool, list[Exception]]:
        outputs, failures = asyncio.Queue[Exception](), list[Exception]()

        async def wait_for_outputs() -> None:
            failures.append(await outputs.get())

        llm = types.SimpleNamespace(output_handler=asyncio.create_task(wait_for_outputs()))
        await asyncio.sleep(0)  # it waits
        client.cancel_output_handler(llm)
        outputs.put_nowait(
            RuntimeError("the engine is dead")
        )  # as vLLM does it, before the loop goes on
        await asyncio.wait([llm.output_handler])
        return llm.output_handler.cancelled(), failures

    assert asyncio.run(shut_down()) == (True, [])


def test_a_client_that_never_waited_or_whose_loop_is_closed_is_left_alone() -> None:
    async def wait_for_outputs() -> asyncio.Task[None]:
        return asyncio.create_task(asyncio.sleep(0))

    client.cancel_output_handler(types.SimpleNamespace(output_handler=None))
    closed = asyncio.run(wait_for_outputs())
    client.cancel_output_handler(types.SimpleNamespace(output_handler=closed))
