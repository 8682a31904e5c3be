"""What the way through LoadGen costs: raw LLM.generate against an Offline test,
same settings, same prompts.

  python benchmarks/overhead.py --model demo --samples 200
  python benchmarks/overhead.py --weights dummy --samples 2000          (one GPU, no model needed)

Prints tokens per second of both and their ratio (LoadGen / raw), and a JSON line last. Both engines
are loaded one after the other with the same arguments; each measurement follows a warm-up, and
--repeat takes the best of several.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import command
from benchmarks.temporary_run import temporary_run
from harness import flags, processes
from harness.config import RunConfig, validate
from harness.engine import life as engine_life
from harness.engine.vllm import Engine
from harness.loadgen.answering import Progress
from harness.loadgen.burst import burst
from harness.loadgen.planning import Target
from harness.logs.detail import read_detail_log
from harness.logs.times import read_samples
from harness.measure import preparation, tests
from harness.measure.preparation import Prepared
from harness.results.folder import DETAIL_LOG

WARM_UP_SAMPLES = 64


@dataclass(frozen=True)
class Speed:
    """Tokens per second of one measurement."""

    tokens: int
    seconds: float

    @property
    def tokens_per_second(self) -> float:
        return self.tokens / self.seconds


def raw_speed(prepared: Prepared, prompts: list[list[int]], repeat: int) -> Speed:
    """The best of `repeat` calls of LLM.generate over all prompts."""
    from vllm import LLM, SamplingParams
    from vllm.inputs import TokensPrompt

    given = {
        name: value for name, value in prepared.plan.settings.items() if name != "stream_interval"
    }
    os.environ |= prepared.plan.environment
    params = SamplingParams(
        temperature=0.0,
        max_tokens=prepared.config.max_new_tokens,
        min_tokens=1,
        stop_token_ids=list(prepared.plan.model.eos_token_ids) or None,
        detokenize=False,
    )
    inputs = [TokensPrompt(prompt_token_ids=prompt) for prompt in prompts]
    speeds = []
    try:
        llm = LLM(**given)
        llm.generate(inputs[:WARM_UP_SAMPLES], params, use_tqdm=False)
        for _ in range(repeat):
            start = time.perf_counter()
            answers = llm.generate(inputs, params, use_tqdm=False)
            seconds = time.perf_counter() - start
            tokens = sum(len(answer.outputs[0].token_ids) for answer in answers)
            speeds.append(Speed(tokens, seconds))
        del llm
    finally:
        processes.end_children_for_good()
    return max(speeds, key=lambda speed: speed.tokens_per_second)


async def loadgen_speed(prepared: Prepared, prompts: list[list[int]], repeat: int) -> Speed:
    """The best of `repeat` Offline performance tests; tokens per second as LoadGen counts them."""
    engine = Engine(prepared.plan, prepared.sampling)
    try:
        await engine_life.load(engine, prepared.config.stall_timeout_s)
        await burst(
            engine,
            prompts[:WARM_UP_SAMPLES],
            stall_timeout_s=prepared.config.stall_timeout_s,
            progress=Progress(),
        )
        speeds = [await _one_test(prepared, engine) for _ in range(repeat)]
    finally:
        engine_life.shut_down(engine)
    return max(speeds, key=lambda speed: speed.tokens_per_second)


async def _one_test(prepared: Prepared, engine: Engine) -> Speed:
    with temporary_run(prepared, engine, "overhead.py") as run:
        target = Target("a benchmark", len(run.prompts), expected_duration_s=1, qps=1)
        await tests.loadgen_test(run, tests.performance_test(run, target))
        results = read_detail_log(run.folder.performance / DETAIL_LOG).results
        tokens = sum(row.tokens for row in read_samples(run.folder.samples_csv))
    rate = results["result_tokens_per_second"]
    assert isinstance(rate, int | float)
    return Speed(tokens, tokens / rate)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measures both and prints the ratio."""
    parser = flags.Parser(__doc__ or "")
    parser.add_argument(
        "--samples", type=command.count, default=200, help="synthetic prompts to answer"
    )
    parser.add_argument(
        "--repeat", type=command.count, default=1, help="measurements of each; the best counts"
    )
    group = parser.add_argument_group("model and engine")
    flags.add_model_flags(group)
    flags.add_engine_flags(group)
    values = vars(parser.parse_args(arguments))
    samples, repeat = values.pop("samples"), values.pop("repeat")
    config = RunConfig(
        **values, dataset="synthetic", mode="performance", total_sample_count=samples
    )
    validate(config)
    prepared = preparation.prepare(config, lambda text: print(text, flush=True))
    prompts = [sample.token_ids for sample in prepared.dataset.samples]
    through = asyncio.run(loadgen_speed(prepared, prompts, repeat))
    raw = raw_speed(prepared, prompts, repeat)
    _print_result(prepared, through, raw)
    return 0


def _print_result(prepared: Prepared, through: Speed, raw: Speed) -> None:
    ratio = through.tokens_per_second / raw.tokens_per_second
    print(f"raw LLM.generate   {raw.tokens_per_second:10,.1f} tokens/s  ({raw.tokens} tokens)")
    print(
        f"through LoadGen    {through.tokens_per_second:10,.1f} tokens/s  ({through.tokens} tokens)"
    )
    print(f"ratio              {ratio:10.3f}")
    result: dict[str, Any] = {
        "ratio": ratio,
        "raw_tokens_per_second": raw.tokens_per_second,
        "loadgen_tokens_per_second": through.tokens_per_second,
        "samples": len(prepared.dataset),
        "mean_prompt_tokens": prepared.dataset.mean_prompt_tokens,
        "engine": prepared.plan.settings,
        "vllm_version": prepared.plan.system.vllm_version,
        "gpu_name": prepared.plan.system.gpu_name,
    }
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    sys.exit(command.carry_out(main))
