"""What vLLM's client costs in the process that drives the engine: CPU time for each request and for
each token.

  python benchmarks/client.py                     (the demo model: a minute and a half on 2 cores)
  python benchmarks/client.py --requests 4000 --in-flight 512

The engine core sends every token of every request in every step to this one process, whatever
stream_interval says, so this is what bounds many engines behind one client. The same requests are
answered twice, with 2 tokens and with 128; the difference gives the cost of a token, the rest that
of a request. Every step of the engine has a cost of its own, which its tokens share: the more in
flight, the less a token costs. Prompts are synthetic, of the real lengths. Threads of this process
count in. The figures hold for this CPU; JSON comes last.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import command
from harness import flags
from harness.config import RunConfig, Scenario
from harness.engine import life as engine_life
from harness.engine.vllm import Engine
from harness.loadgen.answering import Progress
from harness.loadgen.burst import Burst, burst
from harness.machine import process_limits
from harness.measure import preparation
from harness.metrics import EngineState
from harness.terminal import output_to

SHORT, LONG = 2, 128  # tokens of an answer
WARM_UP_REQUESTS = 64
STALL_TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Cost:
    """What answering all requests took."""

    requests: int
    tokens: int
    seconds: float
    client_cpu_s: float


class _Streaming:
    """Asks for first tokens, as a Server test does."""

    def __init__(self, engine: Engine):
        self._engine = engine

    @property
    def tokens_generated(self) -> int:
        return self._engine.tokens_generated

    @property
    def last_output_at(self) -> float:
        return self._engine.last_output_at

    def state(self) -> EngineState | None:
        return self._engine.state()

    def gpus_elsewhere(self) -> list[Any]:
        return []

    def processes_of_ray(self) -> list[int]:
        return []

    async def answer(self, token_ids: list[int], _on_first: object = None) -> list[int]:
        return await self._engine.answer(token_ids, lambda _tokens: None)


async def measure(config: RunConfig, in_flight: int) -> Cost:
    """One engine, all requests once after a warm-up."""
    prepared = preparation.prepare(config, lambda _text: None)
    prompts = [sample.token_ids for sample in prepared.dataset.samples]
    engine = Engine(prepared.plan, prepared.sampling)
    streaming = _Streaming(engine)

    async def answer(some: list[list[int]]) -> Burst:
        return await burst(
            streaming,
            some,
            stall_timeout_s=STALL_TIMEOUT_S,
            progress=Progress(),
            at_once=in_flight,
        )

    try:
        await engine_life.load(engine)
        await answer(prompts[:WARM_UP_REQUESTS])
        cpu_before_s = time.process_time()
        answered = await answer(prompts)
        cpu_s = time.process_time() - cpu_before_s
    finally:
        engine_life.shut_down(engine)
    return Cost(answered.samples, answered.tokens, answered.seconds, cpu_s)


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints both measurements and the two costs."""
    parser = flags.Parser(__doc__ or "")
    parser.add_argument("--requests", type=command.count, default=1000, help="requests to answer")
    parser.add_argument("--in-flight", type=command.count, default=256, help="requests at a time")
    values = parser.parse_args(arguments)
    costs = []
    for tokens in (SHORT, LONG):
        config = RunConfig(
            model="demo",
            dataset="synthetic",
            mode="performance",
            scenario=Scenario.SERVER,
            total_sample_count=values.requests,
            max_new_tokens=tokens,
            engine_args={"max_num_seqs": values.in_flight},
        )
        with output_to(Path(os.devnull)):
            costs.append(asyncio.run(measure(config, values.in_flight)))
    short, long = costs
    token_s = (long.client_cpu_s - short.client_cpu_s) / (long.tokens - short.tokens)
    request_s = (short.client_cpu_s - short.tokens * token_s) / short.requests
    for cost in costs:
        print(
            f"{cost.requests:,} requests, {cost.tokens:,} tokens: {cost.client_cpu_s:.2f} s of CPU "
            f"in {cost.seconds:.1f} s"
        )
    print(
        f"a request takes {1e6 * request_s:,.0f} us of the client's CPU, "
        f"a token {1e6 * token_s:.1f} us"
    )
    result = {"costs": [asdict(cost) for cost in costs], "request_s": request_s, "token_s": token_s}
    print(
        json.dumps({"cores": process_limits.core_count(), "in_flight": values.in_flight, **result})
    )
    return 0


if __name__ == "__main__":
    sys.exit(command.carry_out(main))
